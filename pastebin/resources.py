"""Everything a node holds open: opened once, only when an enabled role needs it, closed in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cached_property
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import urlsplit

from pastebin import embedded, keyring
from pastebin.agents import Agents, Habits
from pastebin.config import Config
from pastebin.errors import ResourceUnavailable, SchemaMismatch, Unavailable
from pastebin.fingerprints import fingerprint
from pastebin.geo import Geo
from pastebin.http.addresses import Addresses
from pastebin.http.admin_door import AdminDoor
from pastebin.http.administrators import Administrators
from pastebin.http.assets import Assets
from pastebin.http.compression import Compression
from pastebin.http.consistency import Tokens
from pastebin.http.internal import Check, Notices
from pastebin.http.pages import Pages
from pastebin.http.portraying import Portrayal
from pastebin.http.rates import Rates
from pastebin.http.representations import Representations
from pastebin.http.signing import SKEW_SECONDS, Signer, Verifier
from pastebin.http.strangers import Strangers
from pastebin.inherited import Sockets
from pastebin.loops import Loops
from pastebin.metrics import Metrics
from pastebin.portraits import Part, Store
from pastebin.sections import BlobsSection, BlobStore
from pastebin.services import counting, passwords
from pastebin.services.counting import Counting, People
from pastebin.services.lines import Lines
from pastebin.services.moderating import Moderating
from pastebin.services.passwords import Passwords
from pastebin.services.publishing import Publishing
from pastebin.services.purging import Purging
from pastebin.services.reading import Reading
from pastebin.services.rendering import Rendering
from pastebin.services.salting import Salting
from pastebin.services.searching import Searching
from pastebin.services.statistics import LocalAnalytics, Statistics
from pastebin.services.sweeping import Sweeping
from pastebin.services.warming import Pushes, Warming
from pastebin.store import portrait, schema
from pastebin.store.blobs import Blobs
from pastebin.store.complaints import Complaints
from pastebin.store.cursors import Cursors
from pastebin.store.database import Database
from pastebin.store.directory import DirectoryBlobs
from pastebin.store.installation import Installation
from pastebin.store.leftovers import Leftovers
from pastebin.store.line_indexes import LineIndexes
from pastebin.store.outbox import Outbox
from pastebin.store.partitions import Partitions
from pastebin.store.pastes import Pastes
from pastebin.store.salts import SaltStore
from pastebin.store.wakeups import Notifier
from pastebin.visitors import pseudonyms

# Roles that readers get answers from.
_SERVING = frozenset({"web", "read", "write", "edge"})


class Needs(Flag):
    """What a role cannot work without."""

    DATABASE = auto()
    BLOBS = auto()
    RENDERING = auto()
    SECRET = auto()


class LocalEdge(Protocol):
    """The edge in this process, which a worker in this process tells of changes without a network.

    `identity` tells it from the edges of other nodes, whatever these are called.
    """

    identity: str

    async def carry(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """Take what the signed address takes, and answer as it does."""

    async def state(self) -> dict[str, Any]:
        """How far it has come."""


@dataclass
class Resources:
    """What roles are given; a member that no enabled role needs is absent, and asking for it is a programming error."""

    config: Config
    metrics: Metrics
    loops: Loops
    database: Database = field(init=False)
    # where the primary is, or the server of this node; empty on nodes without
    dsn: str = field(default="", repr=False)
    pastes: Pastes = field(init=False)
    blobs: Blobs = field(init=False)
    lines: Lines = field(init=False)
    rendering: Rendering = field(init=False)
    passwords: Passwords = field(init=False)
    purging: Purging = field(init=False)
    notifier: Notifier = field(init=False)
    local_edge: LocalEdge | None = None
    local_analytics: LocalAnalytics | None = None
    statistics: Statistics = field(init=False)
    counting: Counting | None = None  # where visits are counted
    salting: Salting = field(init=False)
    secret: bytes = field(init=False, repr=False)
    # set when the node begins to drain: answers without an end take that for theirs
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    pushes: Pushes | None = None
    reread: Callable[[], Config] = field(init=False)  # the configuration again; blocks, and raises ConfigError
    sockets: Sockets = field(default_factory=dict)  # that were open before this process began, by door
    dns_address: tuple[str, int] | None = None  # where the name server of this node really is
    checks: dict[str, Check] = field(default_factory=dict)
    notices: dict[str, Notices] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)  # of the node's portrait
    portrayal: Portrayal = field(init=False)

    @cached_property
    def assets(self) -> Assets:
        return Assets.load(self.representations)

    @cached_property
    def pages(self) -> Pages:
        return Pages(self.config.site, self.assets)

    @cached_property
    def addresses(self) -> Addresses:
        return Addresses(self.config.site.url)

    @cached_property
    def representations(self) -> Representations:
        return Representations(Compression(is_on=self.config.site.compress))

    @cached_property
    def tokens(self) -> Tokens:
        return Tokens(self.secret, self.config.database.token_seconds, keyring.previous(self.config))

    @cached_property
    def strangers(self) -> Strangers:
        return Strangers(self.metrics)

    @cached_property
    def signer(self) -> Signer:
        return Signer(self.secret, node=self.config.node.name, strangers=self.strangers)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Those that other nodes may have, too: this node's own first, then the previous one, if there is one."""
        return tuple(filter(None, (self.secret, keyring.previous(self.config))))

    def verifier(self, skew_seconds: float = SKEW_SECONDS) -> Verifier:
        """What tells the requests of other nodes from all others, at one door."""
        return Verifier(*self.secrets, skew_seconds=skew_seconds)

    @cached_property
    def administrators(self) -> Administrators:
        return Administrators(keyring.of_administrator(self.config), self.secret)

    @cached_property
    def admin_door(self) -> AdminDoor:
        config = self.config
        first = "/admin/analytics" if "analytics" in config.node.roles else "/admin"
        return AdminDoor(self.administrators, self.pages, self.addresses, config.doors.body_idle_seconds, first)

    @cached_property
    def leftovers(self) -> Leftovers:
        return Leftovers(self.database)

    @cached_property
    def reading(self) -> Reading:
        return Reading(self.pastes, self.blobs, self.passwords)

    @cached_property
    def searching(self) -> Searching:
        return Searching(self.lines, self.config.search)

    @cached_property
    def publishing(self) -> Publishing:
        config = self.config
        return Publishing(
            self.pastes,
            self.blobs,
            self.leftovers,
            self.passwords,
            config.limits,
            config.blobs.inline_max_bytes,
            self.secrets,
            self.metrics,
            LineIndexes(self.database),
            self.purging,
        )

    @cached_property
    def moderating(self) -> Moderating:
        return Moderating(self.pastes, Complaints(self.database), self.purging)

    @cached_property
    def partitions(self) -> Partitions:
        return Partitions(self.database, self.config.cdn.retention_seconds)

    @cached_property
    def warming(self) -> Warming:
        config = self.config
        return Warming(config.cdn, config.node.region, config.site.url, self.pushes, self.metrics)

    @cached_property
    def sweeping(self) -> Sweeping:
        config = self.config
        return Sweeping(self.leftovers, self.blobs, config.sweeping, config.blobs, self.metrics, self.partitions)


@asynccontextmanager
async def opened(config: Config, needs: Needs, metrics: Metrics, loops: Loops) -> AsyncIterator[Resources]:
    """Open what `needs` names. Raises a StartError that says what cannot be had."""
    async with AsyncExitStack() as stack:
        resources = Resources(config, metrics, loops)
        if config.uses_embedded or not config.node.secret:
            stack.enter_context(embedded.claim(config.data_dir))
        if Needs.SECRET in needs:
            resources.secret = keyring.of_node(config)
            resources.notices["secret"] = resources.strangers.notices
            statistics = Statistics.opened(config.visits, resources.signer, lambda: resources.local_analytics)
            resources.statistics = await stack.enter_async_context(statistics)
        if Needs.DATABASE in needs:
            await _open_database(resources, stack)
            if Needs.SECRET in needs:
                await _compare_secrets(resources)
        if Needs.SECRET in needs:
            await _open_salting(resources, needs, stack)
            if config.counts_visits and not _SERVING.isdisjoint(config.node.roles):
                await _open_counting(resources, stack)
        if Needs.BLOBS in needs:
            resources.blobs = await stack.enter_async_context(open_blobs(config, config.blobs.store, metrics))
            resources.parts["blobs"] = lambda: _store(config.blobs)
        if Needs.RENDERING in needs:
            resources.rendering = await stack.enter_async_context(Rendering.running(config.rendering, metrics))
        if resources.warming.is_on:
            await stack.enter_async_context(loops.running(resources.warming.run(), name="warming"))
        resources.passwords = Passwords(Rates(passwords.GUESSES_PER_SECOND, passwords.GUESSES))
        stack.callback(resources.passwords.close)
        if Needs.BLOBS in needs:
            lines = Lines.running(resources.reading, LineIndexes(resources.database))
            resources.lines = await stack.enter_async_context(lines)
        yield resources


async def _open_database(resources: Resources, stack: AsyncExitStack) -> None:
    config = resources.config
    if config.uses_embedded:
        server = await stack.enter_async_context(embedded.primary(config.embedded, config.data_dir))
        await stack.enter_async_context(resources.loops.running(server.watch(), name="embedded-postgres"))
        dsn = server.dsn
        await schema.migrate(dsn)
    else:
        dsn = config.database.primary.reveal()
    resources.dsn = dsn
    database = await stack.enter_async_context(Database.opened(config.database, dsn, resources.metrics))
    if not config.uses_embedded:
        await _check_schema(database)
    writes = not {"write", "cdn-worker"}.isdisjoint(config.node.roles)

    async def answers() -> str | None:
        if writes:
            return None if await database.answers() else "the primary does not answer"
        return None if await database.can_read() else "no server of the database answers"

    resources.database = database
    pastes = Pastes.opened(database, config.blobs.inline_max_bytes)
    resources.pastes = await stack.enter_async_context(pastes)
    resources.checks["database"] = answers
    resources.notices["database"] = database.notices
    resources.parts["database"] = lambda: portrait.servers(database.topology(), config.database)
    await _open_purging(resources, stack)


async def _compare_secrets(resources: Resources) -> None:
    """Whoever starts the database says which secret is the right one; the others have to have it."""
    installation, node = Installation(resources.database), resources.config.node.name
    if resources.config.uses_embedded:
        await installation.replace(fingerprint(resources.secret), node)
    else:
        await installation.compare(keyring.fingerprints(resources.config), node)


async def _open_purging(resources: Resources, stack: AsyncExitStack) -> None:
    """What those who change something need so that caches hear of it soon, and to know that they have."""
    config, database = resources.config, resources.database
    resources.notifier = Notifier(database)
    await stack.enter_async_context(resources.loops.running(resources.notifier.run(), name="purge-notifier"))
    if "cdn-worker" not in config.node.roles:  # a worker in this process needs no call through the database
        call = resources.notifier.call
        stack.enter_context(database.changes.answered(lambda: call("pastebin_outbox")))
    purging = Purging.opened(
        Cursors(database),
        seconds=config.cdn.confirm_seconds,
        gone_seconds=config.edge.lease_seconds + config.cdn.lease_seconds,
    )
    resources.purging = await stack.enter_async_context(purging)
    resources.pushes = Outbox(database)


async def _open_salting(resources: Resources, needs: Needs, stack: AsyncExitStack) -> None:
    """Pseudonyms of readers, made alike on every node; see `Salting`."""
    config = resources.config
    source = SaltStore(resources.database) if Needs.DATABASE in needs else None
    resources.salting = Salting(source, resources.statistics, passes_on="write" in config.node.roles)
    if config.visits.count and (config.visits.url or "analytics" in config.node.roles):
        await stack.enter_async_context(resources.loops.running(resources.salting.run(), name="salting"))


async def _open_counting(resources: Resources, stack: AsyncExitStack) -> None:
    """The sink of visits, and who knows readers for a moment."""
    config, salting = resources.config, resources.salting
    geo = stack.enter_context(Geo.opened(config.geo))
    await stack.enter_async_context(resources.loops.running(geo.watch(), name="geo"))
    people = People(
        Agents().tell,
        lambda address: geo.place(address).country,
        lambda address, agent, slug: pseudonyms(salting.salts, address, agent, slug),
        Habits().is_hasty,
    )
    sink = counting.opened(config, resources.loops, people, resources.metrics, resources.statistics)
    resources.counting = await stack.enter_async_context(sink)


async def _check_schema(database: Database) -> None:
    try:
        try:
            pending = await database.read(schema.lacking, from_primary=True)
        except (
            Unavailable
        ):  # a replica may not have heard of the last migration yet, but it can serve without a primary
            pending = await database.read(schema.lacking)
    except Unavailable as error:
        raise ResourceUnavailable(f"database.primary cannot be used: {error.detail}") from error
    if pending:
        raise SchemaMismatch(f"the database lacks {', '.join(pending)}: run 'pastebin migrate' with this configuration")


def open_blobs(config: Config, store: BlobStore, metrics: Metrics | None = None) -> AbstractAsyncContextManager[Blobs]:
    """The blob store of that kind, whichever of them the node uses. Raises ResourceUnavailable."""
    if store == "directory":
        return DirectoryBlobs.opened(config.blob_directory, min_free_bytes=config.blobs.min_free_bytes)
    try:
        s3 = import_module("pastebin.store.s3")
    except ModuleNotFoundError as error:
        raise ResourceUnavailable(
            f"blobs.store: s3 needs {error.name}, which is not installed; try: pip install 'pastebin[s3]'"
        ) from error
    opened: AbstractAsyncContextManager[Blobs] = s3.S3Blobs.opened(config.blobs, metrics)
    return opened


def _store(section: BlobsSection) -> Store:
    """The store as a portrait names it."""
    return Store(section.store, urlsplit(section.endpoint).netloc if section.store == "s3" else "")
