"""One server of the database: a pool of connections, a connection to check it by, and what is known of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import cast

import asyncpg

from pastebin.errors import Overloaded
from pastebin.positions import Position
from pastebin.sections import DatabaseSection
from pastebin.store import connections
from pastebin.store.balancing import Health, Latency, State, Status, check_pause_seconds, cost
from pastebin.store.connections import AWAY, REFUSALS, Link, Pool
from pastebin.store.endpoints import Endpoint

log = logging.getLogger(__name__)

_CHECK_STATEMENT_MS = 100
_CHECK_SECONDS = 0.5
_CHECK_CONNECT_SECONDS = 1.0
_MONITOR_SECONDS = 60.0
_REPLAY_PAUSE_SECONDS = 0.003
_LEAST_PAUSE_SECONDS = 0.05
_RELEASE_SECONDS = 2.0
_CLOSE_SECONDS = 5.0

# What tells that the server itself is in trouble, whoever raised it; a broken connection shows by itself.
_SIGNALS = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.ReadOnlySQLTransactionError,
    TimeoutError,
)


class Member:
    """A server under one name. `watch` keeps `status` and `health` true; requests report what they meet.

    `on_change` is called after whatever may change who is asked: it must not wait.
    """

    def __init__(self, endpoint: Endpoint, section: DatabaseSection, on_change: Callable[[Member], None]) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.health = Health()
        self.status: Status | None = None
        self.latency = Latency()
        self.in_flight = 0
        self.trouble: str | None = "not asked yet"
        self.leads = False
        self.is_near = True
        self._section = section
        self._on_change = on_change
        self._pool: Pool | None = None
        self.is_late = False  # the last check that failed has met no refusal, only no answer in time
        self._is_watched = False
        self._is_expired = False
        self._monitor: Link | None = None
        self._monitor_since = 0.0
        self._out: set[Link] = set()
        self._wanted = asyncio.Event()
        self._waiters: dict[asyncio.Future[None], Position] = {}

    @property
    def is_up(self) -> bool:
        return self.health.state is State.UP

    @property
    def is_replica(self) -> bool:
        return self.status is not None and self.status.is_replica

    def covers(self, at: Position) -> bool:
        return self.status is not None and self.status.covers(at)

    def may_reach(self, at: Position) -> bool:
        """Whether waiting for `at` makes sense here."""
        return self.is_up and self.status is not None and self.status.shares_history(at)

    def cost(self, now: float) -> float:
        """What one more request would wait for here."""
        share = self.health.share(now, self._section.slow_start_seconds)
        return cost(self.latency, self.in_flight, share)

    async def open(self) -> None:
        """Have a pool; connections are made when they are needed."""
        settings = connections.options(self._section)
        settings.update(min_size=0, max_size=self._section.pool_size, connect=connections.connect, init=self._prepare)
        self._pool = await asyncpg.create_pool(self.endpoint.dsn, **settings)

    async def _prepare(self, link: Link) -> None:
        await connections.prepare(link)
        link.latest = lambda: self.status or link.status
        self.observe(link.status)
        self._on_change(self)

    async def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Wait up to `seconds` for requests under way, then cut them."""
        self._drop_monitor()
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await pool.close()
        except (TimeoutError, *REFUSALS):
            log.warning("connections to %s did not close in %g s; cutting them", self.name, seconds)
            pool.terminate()

    @asynccontextmanager
    async def connected(self, acquire_seconds: float) -> AsyncIterator[Link]:
        """A connection from the pool; what goes wrong with it is noted here and raised as the driver raises it.

        Raises Overloaded when none becomes free in time.
        """
        self.in_flight += 1
        began = asyncio.get_running_loop().time()
        try:
            link = await self._acquire(acquire_seconds)
            try:
                with _ending(link):
                    yield link
            except BaseException as error:
                self._judge(link, error)
                if isinstance(error, asyncio.CancelledError):
                    self._note_at_least(began)
                raise
            else:
                now = asyncio.get_running_loop().time()
                self.latency = self.latency.observed(now - began, now)
                if not self._is_watched:
                    self.health, self.trouble = self.health.passed_check(now, 0.0), None
            finally:
                await self._release(link)
        finally:
            self.in_flight -= 1

    def _note_at_least(self, began: float) -> None:
        """A question was given up: its answer would have taken longer than that."""
        now = asyncio.get_running_loop().time()
        if now - began > self.latency.seconds:
            self.latency = self.latency.observed(now - began, now)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Link]:
        """A connection of its own for one who keeps it for long."""
        settings = connections.options(self._section)
        link = await connections.connect(self.endpoint.dsn, **settings)
        try:
            await self._prepare(link)
            yield link
        finally:
            link.terminate()

    async def _acquire(self, seconds: float) -> Link:
        if self._pool is None:
            raise asyncpg.InterfaceError(f"{self.name} is closed")
        if self._is_expired:
            self._is_expired = False
            await self._pool.expire_connections()
        try:
            # where nobody has to wait, a deadline for it would cost more than the rest
            timeout = None if self._pool.get_idle_size() else seconds
            # the proxy of a pool has the methods of a connection
            link = cast(Link, await self._pool.acquire(timeout=timeout))
        except TimeoutError:
            raise Overloaded("Every database connection is busy; try again shortly.") from None
        except REFUSALS as error:
            self.failed(error)
            raise
        self._out.add(link)
        return link

    def _judge(self, link: Link, error: BaseException) -> None:
        if isinstance(error, _SIGNALS) or _is_broken(link):
            self.failed(error)
        if isinstance(error, TimeoutError):
            # neither cancelling a statement nor a polite end may be waited for where nothing answers
            _cut(link)

    async def _release(self, link: Link) -> None:
        self._out.discard(link)
        pool = self._pool
        if pool is None:
            _cut(link)
            return
        with suppress(TimeoutError, *AWAY):  # the driver has cut it then
            await pool.release(link, timeout=_RELEASE_SECONDS)  # type: ignore[arg-type]  # the proxy, see _acquire

    def failed(self, error: BaseException) -> None:
        """A request met trouble: others are preferred until a check says better, and that is done at once."""
        now = asyncio.get_running_loop().time()
        before = self.health.state
        self.health = self.health.failed_request(now)
        if before is State.UP and self.health.state is not State.UP:
            self.trouble = connections.explain(error)
            log.warning("database member %s failed a request: %s", self.name, self.trouble)
        self._on_change(self)

    def expire(self) -> None:
        """From now on use no connection that exists."""
        self._is_expired = True

    def cut(self) -> None:
        """End what is under way on this server: it would wait for an answer that is not worth having."""
        for link in list(self._out):
            _cut(link)

    def rest(self) -> None:
        """Hold no connection while there is nothing to do."""
        self._drop_monitor()

    def wake(self) -> None:
        """Check now."""
        self._wanted.set()

    async def watch(self, is_urgent: Callable[[], bool]) -> None:
        """Check the server for ever; faster while something is wrong, at once and again while somebody waits."""
        self._is_watched = True
        while True:
            await self._pause(is_urgent())
            await self.check()

    async def _pause(self, is_urgent: bool) -> None:
        if self._waiters:
            await asyncio.sleep(_REPLAY_PAUSE_SECONDS)
            return
        began = asyncio.get_running_loop().time()
        is_urgent = is_urgent or self.health.state is State.SUSPECT
        seconds = check_pause_seconds(
            self._section.check_interval_seconds,
            leads=self.leads,
            is_urgent=is_urgent,
            jitter=random.random(),  # noqa: S311  (jitter, not a secret)
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        self._wanted.clear()
        if not self._waiters:
            # however loud the alarm
            await asyncio.sleep(began + _LEAST_PAUSE_SECONDS - asyncio.get_running_loop().time())

    async def check(self) -> None:
        """Ask the server once, within 1.5 s at most; never raises for what a server or a network can do."""
        loop = asyncio.get_running_loop()
        try:
            link = await self._monitoring()
            began = loop.time()
            async with asyncio.timeout(_CHECK_SECONDS):
                status = await connections.ask(link)
        except REFUSALS as error:
            self.is_late = isinstance(error, (TimeoutError, asyncpg.QueryCanceledError))
            self._drop_monitor()
            self.trouble = connections.explain(error)
            self._rate(self.health.failed_check())
            return
        now = loop.time()
        self.latency = self.latency.observed(now - began, now)
        if self.status is not None and self.status.is_replica != status.is_replica:
            self._drop_monitor()
        self.observe(status)
        health = self.health.passed_check(now, self._section.check_interval_seconds)
        if health.state is State.UP:
            self.trouble = None
        self._rate(health)

    def observe(self, status: Status) -> None:
        """Take note of where the server is, and wake whoever waited for it to get there."""
        self.status = status
        for waiter, at in list(self._waiters.items()):
            if status.covers(at) and not waiter.done():
                waiter.set_result(None)

    @contextmanager
    def waiting_for(self, at: Position) -> Iterator[asyncio.Future[None]]:
        """A future that is done once the server has replayed `at`; it is asked again and again meanwhile."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = at
        self._wanted.set()
        try:
            yield waiter
        finally:
            del self._waiters[waiter]

    def _rate(self, health: Health) -> None:
        before, self.health = self.health.state, health
        if before is not health.state:
            word = f": {self.trouble}" if self.trouble and health.state is not State.UP else ""
            log.log(
                logging.INFO if health.state is State.UP else logging.WARNING,
                "database member %s is %s%s",
                self.name,
                health.state.value,
                word,
            )
            if health.state is State.DOWN:
                self.expire()
                if not self.leads:
                    self.cut()
        self._on_change(self)

    async def _monitoring(self) -> Link:
        now = asyncio.get_running_loop().time()
        if self._monitor is not None and (self._monitor.is_closed() or now - self._monitor_since > _MONITOR_SECONDS):
            # a name may lead to another server by now
            self._drop_monitor()
        if self._monitor is None:
            settings = connections.options(self._section)
            settings["timeout"] = min(_CHECK_CONNECT_SECONDS, self._section.connect_timeout_seconds)
            settings["command_timeout"] = _CHECK_SECONDS
            settings["server_settings"] = {
                **settings["server_settings"],
                "application_name": "pastebin check",
                "statement_timeout": str(_CHECK_STATEMENT_MS),
            }
            self._monitor = await connections.connect(self.endpoint.dsn, **settings)
            self._monitor_since = now
        return self._monitor

    def _drop_monitor(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.terminate()


@contextmanager
def _ending(link: Link) -> Iterator[None]:
    """A connection may end between two steps of a statement; the driver then trips over what it has taken away."""
    try:
        yield
    except AttributeError as error:
        if not _is_broken(link):
            raise
        raise ConnectionResetError("the connection has ended") from error


def _is_broken(link: Link) -> bool:
    try:
        return link.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken it back because it was cut
        return True


def _cut(link: Link) -> None:
    with suppress(asyncpg.InterfaceError):  # as above
        link.terminate()
