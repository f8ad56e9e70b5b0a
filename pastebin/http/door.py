"""A door: the socket of one `web.Application`, opened and closed in order."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from aiohttp import web

from pastebin.errors import ResourceUnavailable, StartError
from pastebin.http.capacity import Capacity
from pastebin.http.clients import Clients
from pastebin.http.listening import emptied
from pastebin.http.overload import Load
from pastebin.http.protocol import Connection
from pastebin.http.runner import Runner
from pastebin.places import parse_address
from pastebin.sections import DoorsSection

_BACKLOG = 1024
# Of a body that nobody reads at the moment so much is taken at least: one read of the socket comes on top (256 KB).
_READ_BYTES = 16 * 1024
# From a connection to its first request there is one journey, or a second more where a packet was lost (RFC 6298).
_FIRST_SECONDS = 1.5
_LOOK_SECONDS = 0.01


class Request(Protocol):
    """What answers a request, most often a task."""

    def cancel(self) -> object:
        """Give it up."""


class Traffic:
    """The requests inside a door, known so that the last one can be waited for."""

    def __init__(self) -> None:
        self._inside: set[Request] = set()
        self._is_closing = False
        self._endless: set[Callable[[], None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def inside(self) -> int:
        """How many there are."""
        return len(self._inside)

    def enter(self, request: Request) -> None:
        """A request is inside from now on, until `leave`."""
        self._inside.add(request)

    def leave(self, request: Request) -> None:
        """See `enter`."""
        self._inside.discard(request)
        if not self._inside:
            self._empty.set()

    async def ended(self) -> None:
        """Return when nobody is inside."""
        if self._inside:
            self._empty.clear()
        await self._empty.wait()

    @contextmanager
    def ending(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop`, which ends an answer that would not end by itself, when nobody new is let in any more."""
        self._endless.add(stop)
        try:
            if self._is_closing:
                stop()
            yield
        finally:
            self._endless.discard(stop)

    def close(self) -> None:
        """Nobody new is let in from now on."""
        self._is_closing = True
        for stop in list(self._endless):
            stop()

    def cut(self) -> None:
        """Cancel whoever is inside."""
        for request in list(self._inside):
            request.cancel()


@asynccontextmanager
async def opened(
    name: str,
    application: web.Application,
    traffic: Traffic,
    section: DoorsSection,
    *,
    shutdown_seconds: float,
    hurried: asyncio.Event,
    connection: Callable[..., Connection] | None = None,
    sockets: Sequence[socket.socket] = (),
    load: Load | None = None,
) -> AsyncIterator[tuple[str, int]]:
    """Listen while the block lasts, and yield the real address; on `sockets` if there are any.

    `load` says how much is let in at once. Then let the requests inside finish, for
    `shutdown_seconds` at most or until `hurried`. Raises ResourceUnavailable.
    """
    address = getattr(section, name)
    host, port = parse_address(address)
    clients = Clients(section.trusted_proxies)
    most = (section.max_connections, section.max_connections_per_address)
    runner = Runner(
        application,
        write_seconds=section.body_idle_seconds,
        connection=connection,
        clients=clients,
        # health and figures have to be had when the door for everybody is full
        capacity=Capacity(*most, is_shared=clients.is_trusted) if name != "internal" else None,
        load=load,
        min_body_rate=section.min_body_bytes_per_second,
        keepalive_timeout=section.idle_seconds,
        shutdown_timeout=shutdown_seconds,
        read_bufsize=_READ_BYTES,
    )
    await runner.setup()
    sites: list[web.BaseSite] = [web.SockSite(runner, each, backlog=_BACKLOG) for each in sockets]
    sites = sites or [web.TCPSite(runner, host, port, backlog=_BACKLOG)]
    try:
        for site in sites:
            await _listen(site, name, address)
        try:
            yield runner.addresses[0][:2]
        finally:
            if not sockets:  # who waits at those of others is let in by the next process
                await emptied(getattr(sites[0]._server, "sockets", ()))
            for site in sites:
                await site.stop()
            traffic.close()
            await _begun(runner, hurried, shutdown_seconds)
            # aiohttp's own shutdown stops reading at once, which would cut off every upload under way
            await _ended(traffic, hurried, shutdown_seconds)
    finally:
        await _close(runner, traffic, hurried)


async def _listen(site: web.BaseSite, name: str, address: str) -> None:
    try:
        await site.start()
    except OSError as error:
        raise _cannot_listen(name, address, error) from error


def _cannot_listen(door: str, address: str, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        option = {"origin": "--port", "internal": "--internal-port"}.get(door, f"--set doors.{door}=ADDRESS:PORT")
        return ResourceUnavailable(
            f"doors.{door}: {address} is in use by another program; choose another with {option}"
        )
    if error.errno == errno.EACCES:
        return ResourceUnavailable(
            f"doors.{door}: {address} may not be opened by this user; ports below 1024 need root or a socket unit"
        )
    return ResourceUnavailable(f"doors.{door}: cannot listen on {address}: {error.strerror or error}")


async def _begun(runner: Runner, hurried: asyncio.Event, seconds: float) -> None:
    """Return when what has been let in has said what it wants, or has had the time to.

    A connection that ends before it is read is reset, and the client cannot tell whether its request was heard.
    """
    patience = min(_FIRST_SECONDS, seconds)
    until = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < until and not hurried.is_set():
        await asyncio.sleep(_LOOK_SECONDS)  # a connection is not known before the loop has taken some turns
        connections = runner.server.connections if runner.server is not None else []
        if not any(isinstance(one, Connection) and one.is_expected(patience) for one in connections):
            return


async def _ended(traffic: Traffic, hurried: asyncio.Event, seconds: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(traffic.ended()), tasks.create_task(hurried.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


async def _close(runner: web.AppRunner, traffic: Traffic, hurried: asyncio.Event) -> None:
    """Let answers under way be written; the wish to hurry cuts them off."""

    async def cut() -> None:
        await hurried.wait()
        traffic.cut()
        if runner.server is not None:
            for connection in runner.server.connections:
                connection.force_close()

    async with asyncio.TaskGroup() as tasks:
        hurry = tasks.create_task(cut(), name="cutting connections")
        await runner.cleanup()
        hurry.cancel()
