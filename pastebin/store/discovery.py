"""Replicas found by DNS: names asked through aiodns, answers kept for their time to live."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import aiodns
import pycares

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 3.0
_TRY_SECONDS = 1.0
_TRIES = 2
_MOST_MEMBERS = 64


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask: `srv:_postgresql._tcp.db.example`, or `a:replicas.db.example:5432` for IPv4 and IPv6 addresses."""

    kind: str
    name: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The addresses found, in a stable order, and for how many seconds they may be believed."""

    addresses: tuple[tuple[str, int], ...]
    ttl_seconds: float


def question(text: str) -> Question:
    """Read the option `database.discover`. Raises ValueError with what is allowed."""
    kind, _, rest = text.partition(":")
    name, _, port = rest.partition(":")
    if kind == "srv" and name and not port:
        return Question("srv", name)
    if kind == "a" and name and port.isascii() and port.isdigit() and 0 < int(port) < 65536:
        return Question("a", name, int(port))
    raise ValueError("must be srv:NAME, such as srv:_postgresql._tcp.db.example, or a:NAME:PORT")


class Discovery:
    """Asks one question. Answers that are empty, late or wrong are no answers: nobody is dropped because of them."""

    def __init__(self, text: str, nameserver: str, *, option: str = "database.discover") -> None:
        """`text` is what `option` says; ask the system's name servers, or the one given as `address:port`."""
        self._asked = question(text)
        self._servers = [nameserver] if nameserver else None
        self._option = option
        self.trouble: str | None = None

    async def ask(self) -> Answer | None:
        """What the question yields now; None when there is no answer, and then `trouble` says why."""
        # A resolver of its own each time: c-ares keeps an answer without records for an hour, whatever DNS says.
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS),
                aiodns.DNSResolver(nameservers=self._servers, timeout=_TRY_SECONDS, tries=_TRIES) as resolver,
            ):
                answer = await (self._services(resolver) if self._asked.kind == "srv" else self._addresses(resolver))
        except (aiodns.error.DNSError, TimeoutError, UnicodeError) as error:
            self._note(str(error.args[-1]) if error.args else "no answer in time")
            return None
        if not answer.addresses:
            self._note("the answer is empty")
            return None
        if self.trouble:
            log.info("%s: %s is answered again", self._option, self._asked.name)
        self.trouble = None
        return answer

    def _note(self, text: str) -> None:
        if self.trouble is None:
            log.warning("%s: %s: %s", self._option, self._asked.name, text)
        self.trouble = f"{self._asked.name}: {text}"

    async def _addresses(self, resolver: aiodns.DNSResolver) -> Answer:
        found, ttl = await _resolve(resolver, self._asked.name)
        return _answer(((address, self._asked.port) for address in found), ttl)

    async def _services(self, resolver: aiodns.DNSResolver) -> Answer:
        """Targets of all priorities: which one is asked how much is decided by how they answer, not by weights."""
        result = await resolver.query_dns(self._asked.name, "SRV")
        pairs: list[tuple[str, int]] = []
        ttls: list[float] = []
        for record in result.answer[:_MOST_MEMBERS]:
            service = record.data
            if not isinstance(service, pycares.SRVRecordData) or service.target in (".", ""):
                continue  # a CNAME on the way, or RFC 2782's word for "no such service"
            found, ttl = await _resolve(resolver, service.target)
            pairs += [(address, service.port) for address in found]
            ttls += [float(record.ttl), ttl]
        return _answer(pairs, min(ttls, default=0.0))


async def _resolve(resolver: aiodns.DNSResolver, name: str) -> tuple[list[str], float]:
    """The addresses of a host, from the hosts file or DNS. One that cannot be resolved spoils the whole answer."""
    result = await resolver.getaddrinfo(name.rstrip("."), family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
    found = [_text(node.addr[0]) for node in result.nodes if node.family in (socket.AF_INET, socket.AF_INET6)]
    ttl = min([*(node.ttl for node in result.nodes), *(alias.ttl for alias in result.cnames)], default=0)
    return found, float(ttl)


def _answer(pairs: Iterable[tuple[str, int]], ttl_seconds: float) -> Answer:
    return Answer(tuple(sorted(set(pairs))[:_MOST_MEMBERS]), ttl_seconds)


def _text(address: bytes | str) -> str:
    return address.decode() if isinstance(address, bytes) else address
