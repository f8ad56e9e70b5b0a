"""The nodes of all regions: which there are, whether they are ready, and which one a request is sent to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from random import random
from urllib.parse import urlsplit

from multidict import CIMultiDict

from pastebin import portraits
from pastebin.breaking import Circuit
from pastebin.damping import Damping
from pastebin.errors import PastebinError
from pastebin.gateway import balancing
from pastebin.gateway.figures import Figures
from pastebin.gateway.members import Member, Word
from pastebin.gateway.wants import Want
from pastebin.geo import Geo
from pastebin.http.exchanges import Ask
from pastebin.http.strangers import Strangers
from pastebin.http.upstreams import IDLE_SECONDS, RemoteOrigin, Upstream
from pastebin.sections_regions import GatewaySection, RegionNodeSection, RegionSection
from pastebin.shedding import Share, Shedding, Told, told
from pastebin.steering import Steering
from pastebin.store.discovery import Answer, Discovery

log = logging.getLogger(__name__)

_REMEMBERED = 8192
_ANSWER_BYTES = 64 * 1024
_LONGEST_TTL_SECONDS = 300.0


class Fleet:
    """The members by region. `here` is the region of this gateway, or "" where it is of none.

    `secrets` are the fingerprints of the secrets that nodes may have: one that has another is sent nothing. Without
    any nobody is compared.
    """

    def __init__(
        self,
        section: GatewaySection,
        regions: Mapping[str, RegionSection],
        here: str,
        geo: Geo,
        figures: Figures,
        secrets: Collection[str] = (),
        strangers: Strangers | None = None,
    ) -> None:
        self._section = section
        self._regions = regions
        self._here = here if here in regions and not section.steer else ""
        self._geo = geo
        self._figures = figures
        self._secrets = secrets
        self._strangers = strangers
        self._steering = Steering(regions)
        self._damping = Damping(section.down, section.up)
        self._shedding = Shedding(0.0)
        self._shares = {name: Share() for name, region in regions.items() if region.capacity}
        self._members: dict[str, dict[str, list[Member]]] = {
            name: {node.name: [self._member(name, node)] for node in region.nodes if node.url}
            for name, region in regions.items()
        }
        self._flat: dict[str, list[Member]] = {}
        self._flatten()
        self._steered = lru_cache(_REMEMBERED)(self._steer)
        self._told: dict[str, Word] = {}

    def regions(self, want: Want, address: str) -> list[str]:
        """The regions for a request, in the order in which they are asked."""
        return balancing.order(want, self._steered(address), self._section.primary)

    def pick(self, regions: Sequence[str], want: Want, tried: Collection[Member], now: float) -> Member | None:
        """The node to ask; None where none is left that suits."""
        return balancing.pick([self._flat[name] for name in regions], want, tried, now, random)

    def passes_by_edge(self, member: Member, want: Want) -> bool:
        """Whether a reader is asked though there are edges before it, which alone are told of changes."""
        if want.kind not in ("web", "read") or "edge" in member.roles:
            return False
        return any("edge" in other.roles for other in self._flat[member.region])

    def members(self) -> Iterator[Member]:
        for region in self._flat.values():
            yield from region

    def portrait(self) -> list[portraits.Upstream]:
        """Every member as it is found from here."""
        now = asyncio.get_running_loop().time()
        return [member.portrait(now) for member in self.members()]

    async def check(self) -> str | None:
        """What is wrong where nodes have another secret than this gateway, and no other one is left to ask."""
        members = list(self.members())
        is_anybody_left = any(member.probed.is_up and not member.is_stranger for member in members)
        if not is_anybody_left and any(member.is_stranger for member in members):
            return "every node that answers has another node.secret than this gateway: give every node the same"
        return None

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for member in self.members():
            member.close()

    async def probe(self) -> None:
        """Ask every internal door for ever whether its node is ready."""
        while True:
            async with asyncio.TaskGroup() as tasks:
                for member in self.members():
                    if member.internal is not None:
                        tasks.create_task(self._probe(member, member.internal), name=f"probing {member.name}")
            now = time.monotonic()
            self._weigh(now)
            self._figures.show((member.region, member.name, member.word(now)) for member in self.members())
            self._tell(now)
            self._steered.cache_clear()  # places may have moved
            await asyncio.sleep(self._section.probe_interval_seconds * (0.9 + random() / 5))  # noqa: S311  (jitter)

    async def resolve(self, region: str, node: RegionNodeSection) -> None:
        """Keep up with the addresses of a node whose URL has a host name, for ever. No answer changes nothing."""
        parts = urlsplit(node.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        asked = Discovery(f"a:{parts.hostname}:{port}", self._section.nameserver, option=f"regions.{region}.nodes")
        while True:
            answer = await asked.ask()
            if answer is not None:
                self._take(region, node, answer)
            ttl = min(answer.ttl_seconds, _LONGEST_TTL_SECONDS) if answer is not None else 0.0
            await asyncio.sleep(max(ttl, self._section.resolve_seconds) * (1 + random() / 10))  # noqa: S311  (jitter)

    def named(self) -> Iterator[tuple[str, RegionNodeSection]]:
        """The nodes whose addresses have to be looked up."""
        for name, region in self._regions.items():
            for node in region.nodes:
                if node.url and not _is_address(urlsplit(node.url).hostname or ""):
                    yield name, node

    def _take(self, region: str, node: RegionNodeSection, answer: Answer) -> None:
        """Members for these addresses: those that are known stay as they are."""
        before = {member.name: member for member in self._members[region][node.name]}
        names = {f"{node.name}@{address}": address for address, _ in answer.addresses}
        after = [
            before.pop(name) if name in before else self._member(region, node, name, address)
            for name, address in names.items()
        ]
        self._members[region][node.name] = after
        self._flatten()
        for member in before.values():
            member.close()

    def _member(self, region: str, node: RegionNodeSection, name: str = "", address: str = "") -> Member:
        section = self._section
        internal = None
        if node.internal:
            # of several addresses behind one name each is asked itself
            host = address if address and urlsplit(node.internal).hostname == urlsplit(node.url).hostname else ""
            internal = Upstream(RemoteOrigin(node.internal, host), section, is_limited=True)
        return Member(
            name or node.name,
            region,
            tuple(node.roles),
            Upstream(RemoteOrigin(node.url, address), section, is_limited=True),
            Circuit(section.eject_seconds),
            internal,
        )

    def _flatten(self) -> None:
        self._flat = {
            region: [member for members in nodes.values() for member in members]
            for region, nodes in self._members.items()
        }

    def _steer(self, address: str) -> tuple[str, ...]:
        parts = {name: share.part for name, share in self._shares.items()}
        return self._steering.order(address, self._geo.place(address), parts, first=self._here).regions

    def _weigh(self, now: float) -> None:
        """Compare what the nodes of a region have to do, as they say, with its capacity."""
        for name, share in self._shares.items():
            load = sum(member.load for member in self._flat[name] if member.probed.is_up)
            self._shares[name] = self._shedding.after(share, load, self._regions[name].capacity, now)

    def _tell(self, now: float) -> None:
        """Whoever is not what it was at the last look, for operators; everybody is up at first."""
        words = {f"{member.region}/{member.name}": member.word(now) for member in self.members()}
        for name, word in words.items():
            before = self._told.get(name, "up")
            if word != before:
                log.log(logging.INFO if word == "up" else logging.WARNING, "node %s is %s, was %s", name, word, before)
        self._told = words

    async def _probe(self, member: Member, internal: Upstream) -> None:
        ask = Ask("GET", "/readyz", CIMultiDict({"Host": internal.name}))
        is_well = False
        try:
            async with asyncio.timeout(self._section.probe_timeout_seconds):
                _, reply = await internal.begin(ask, idle_seconds=IDLE_SECONDS)
                try:
                    is_well = 200 <= (await reply.headed()).status < 300
                    await reply.arrived()
                    body = b""
                    while len(body) < _ANSWER_BYTES and (piece := await reply.read()):
                        body += piece
                    self._hear(member, told(body))
                finally:
                    reply.close()
        except (PastebinError, TimeoutError):
            pass
        member.probed = self._damping.after(member.probed, is_well=is_well)

    def _hear(self, member: Member, said: Told) -> None:
        member.load = said.requests_per_second
        member.is_stranger = said.secret not in self._secrets if self._secrets and said.secret else None
        if member.is_stranger and self._strangers is not None:
            self._strangers.has_refused(f"node {member.name} of region {member.region}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
