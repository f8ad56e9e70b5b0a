"""A running PostgreSQL: started or adopted, watched over, stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg

from pastebin.backoff import Backoff
from pastebin.embedded import account, binaries, logfile, processes, settings, sockets
from pastebin.embedded.cluster import Cluster
from pastebin.embedded.processes import Process
from pastebin.errors import DataDirectoryUnusable, ResourceUnavailable, StartError
from pastebin.sections import EmbeddedSection

log = logging.getLogger(__name__)

DATABASE = "pastebin"

# Recovery after a crash replays at most `max_wal_size` or so, but a replica may have much more to replay.
_START_SECONDS = 600.0
_READY_POLL_SECONDS = 0.01
_PATIENCE_NOTE_SECONDS = 10.0
_STOPPING = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 5.0))
_CONNECT_SECONDS = 10.0
_COMMAND_SECONDS = 30.0
# A server that dies while it is asked can confuse the driver: that is its InternalClientError.
_TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_LOOK_SECONDS = 5.0
BACKOFF = Backoff(first_seconds=0.1, longest_seconds=30.0)
_STEADY_SECONDS = 60.0


class Server:
    """One PostgreSQL whose files lie in one directory.

    It runs in a session of its own and outlives a node that is killed: the next `start` adopts it when it
    runs with the settings wanted, and starts it anew when not. One node at a time may own the directory
    (`claims.claim`). Methods may be called while `watch` runs.
    """

    def __init__(
        self,
        cluster: Cluster,
        section: EmbeddedSection,
        socket_dir: Path,
        *,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        """Raises ConfigError for an address to listen on that is none."""
        self.cluster = cluster
        self.section = section
        self.socket_dir = socket_dir
        self.name = f"pastebin-{sockets.identity(cluster.home)}"
        _, self.port = settings.address(section)
        self._overrides = dict(overrides or {})
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._log_offset = 0
        self._has_data = False
        self._wanted = False
        self._up = asyncio.Event()

    @property
    def directory(self) -> Path:
        """PostgreSQL's data directory."""
        return self.cluster.data

    @property
    def pid(self) -> int | None:
        """Of the postmaster, when it runs."""
        return self._process.pid if self._process and not self._process.has_ended else None

    @property
    def dsn(self) -> str:
        return self.dsn_for(DATABASE)

    def dsn_for(self, database: str) -> str:
        """Where to connect as `pastebin` through the unix socket, for asyncpg as for libpq."""
        query = urlencode({"host": str(self.socket_dir), "port": self.port})
        return f"postgresql://{settings.ROLE}@/{quote(database, safe='')}?{query}"

    @asynccontextmanager
    async def connected(self, database: str = DATABASE) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """One connection for a moment's work. Whatever goes wrong with it is raised as ResourceUnavailable."""
        try:
            connection = await asyncpg.connect(
                self.dsn_for(database), timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS
            )
            try:
                yield connection
            finally:
                await connection.close(timeout=_CONNECT_SECONDS)
        except _TROUBLE as error:
            raise ResourceUnavailable(f"PostgreSQL in {self.directory} does not do as asked: {error}") from error

    async def start(self) -> None:
        """Adopt or start the server and wait until it answers; does nothing when it does already.

        Raises ResourceUnavailable, quoting PostgreSQL's own words, DataDirectoryUnusable, SchemaMismatch.
        """
        self._wanted = True
        async with self._lock:
            if self._process is None or self._process.has_ended:
                self._up.clear()
                self._process = None
                await self._launch()
            if not self._up.is_set():
                await self._await_ready()
                await self._prepare()
                self._has_data = True
                self._up.set()

    async def stop(self) -> None:
        """Stop the server in order; when that takes too long, at once: it recovers when it starts next."""
        self._wanted = False
        self._up.clear()
        async with self._lock:
            process, self._process = self._process, None
            if process is not None:
                await _stop(process)
            with suppress(OSError):
                self.socket_dir.rmdir()

    async def watch(self) -> None:
        """Until cancelled: start the server again, with growing pauses, whenever it ends unasked."""
        attempt = 0
        loop = asyncio.get_running_loop()
        while True:
            await self._up.wait()
            since = loop.time()
            reason = await self._failure()
            if reason is None:
                continue
            self._up.clear()
            attempt = 0 if loop.time() - since > _STEADY_SECONDS else attempt
            while self._wanted and not self._up.is_set():
                pause = BACKOFF.pause_seconds(attempt + 1)
                log.error("PostgreSQL in %s: %s; starting it again in %.1f s", self.directory, reason, pause)
                await asyncio.sleep(pause)
                attempt += 1
                try:
                    await self._restart()
                except StartError as error:
                    reason = error.detail

    async def promote(self) -> None:
        """Make a replica a primary of its own; returns when it takes writes. Raises ResourceUnavailable."""
        async with self.connected() as connection:
            if not await connection.fetchval("select pg_promote(true, 60)", timeout=70):
                raise ResourceUnavailable(f"PostgreSQL in {self.directory} was not promoted within 60 s")

    async def _launch(self) -> None:
        """Set `_process`."""
        cluster = self.cluster
        await asyncio.to_thread(cluster.check)
        if self._has_data and not cluster.exists:
            # an empty database in its place would pass for the loss of every paste
            raise DataDirectoryUnusable(f"the data in {self.directory} is gone; is a file system not mounted?")
        texts = self._texts()
        argv = self._command(texts)
        running = cluster.postmaster()
        if running is not None:
            process, sight = running
            if sight.argv == argv and self._is_at_work():
                log.info("adopted the PostgreSQL in %s, process %d", self.directory, process.pid)
                self._process = process
                return
            log.info(
                "stopping the PostgreSQL in %s, process %d, to start it with other settings",
                self.directory,
                process.pid,
            )
            await _stop(process)
        await cluster.end_leftovers(self.name)
        if not cluster.exists:
            await cluster.initialise(durable=self.section.durable)
        await asyncio.to_thread(self._ready_files, texts)
        with cluster.translated():
            output = logfile.open_to_append(cluster.log)
            self._log_offset = cluster.log.stat().st_size
        try:
            child = processes.spawn(argv, cluster.account, output)
        finally:
            os.close(output)
        self._process = Process(child.pid, child)

    def _ready_files(self, texts: dict[str, str]) -> None:
        sockets.make(self.socket_dir, self.cluster.account)
        sockets.clear(self.socket_dir)
        self.cluster.write_files(texts)
        with self.cluster.translated():
            logfile.bound(self.cluster.log)

    def _texts(self) -> dict[str, str]:
        cluster = self.cluster
        return {
            "postgresql.conf": settings.configuration(
                self.section,
                data=cluster.data,
                files=cluster.files,
                socket_dir=self.socket_dir,
                name=self.name,
                overrides=self._overrides,
            ),
            "pg_hba.conf": settings.access(self.section),
            "pg_ident.conf": settings.users([cluster.account.name, cluster.account.node_user]),
        }

    def _command(self, texts: Mapping[str, str]) -> tuple[str, ...]:
        """The command line carries a digest of the files: equal command lines mean equal settings."""
        return (
            self.cluster.binaries.program("postgres"),
            *("-D", str(self.cluster.data)),
            *("-c", f"config_file={self.cluster.files / 'postgresql.conf'}"),
            *("-c", f"pastebin.settings={settings.digest(self.cluster.binaries.version, *texts.values())}"),
        )

    def _is_at_work(self) -> bool:
        written = self.cluster.pid_file()
        return written is not None and written.status != "stopping" and self._socket.exists()

    @property
    def _socket(self) -> Path:
        return self.socket_dir / sockets.name(self.port)

    async def _await_ready(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101  (start has set it)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        noted = begun
        while not process.has_ended:
            written = self.cluster.pid_file()
            if written is not None and written.pid == process.pid and written.status == "ready":
                return
            now = loop.time()
            if now - begun > _START_SECONDS:
                raise ResourceUnavailable(f"PostgreSQL in {self.directory} is not ready after {_START_SECONDS:.0f} s")
            if now - noted > _PATIENCE_NOTE_SECONDS:
                noted = now
                log.warning(
                    "PostgreSQL in %s is not ready after %.0f s, perhaps it recovers",
                    self.directory,
                    now - begun,
                )
            await asyncio.sleep(_READY_POLL_SECONDS)
        reason = self.cluster.complaint(self._log_offset)
        raise ResourceUnavailable(
            f"PostgreSQL in {self.directory} did not start, {process.ending}: {reason}; see {self.cluster.log}"
        )

    async def _prepare(self) -> None:
        """See that the server answers, has the database, and knows the password that the network needs."""
        async with self.connected("postgres") as connection:
            if await connection.fetchval("select pg_is_in_recovery()"):
                return
            if not await connection.fetchval("select true from pg_database where datname = $1", DATABASE):
                await connection.execute(f"create database {DATABASE}")
            if self.section.listen:
                await _set_password(connection, self.section.password.reveal())

    async def _failure(self) -> str | None:
        """Wait until the server has failed; why. None when it was stopped on purpose."""
        process = self._process
        while process is not None and self._up.is_set():
            if await process.ended_within(_LOOK_SECONDS):
                break
            with suppress(OSError):
                logfile.bound(self.cluster.log)
            if not self._socket.exists() and self._can_have_socket():
                return f"its socket {self._socket} is gone"
        if process is None or self._process is not process:
            return None
        return f"process {process.pid} ended, {process.ending}"

    def _can_have_socket(self) -> bool:
        try:
            sockets.make(self.socket_dir, self.cluster.account)
        except ResourceUnavailable:
            return False
        return True

    async def _restart(self) -> None:
        async with self._lock:
            if not self._wanted or self._up.is_set():
                return
            process, self._process = self._process, None
            if process is not None:
                await _stop(process)
        await self.start()
        log.warning("PostgreSQL in %s runs again, process %s", self.directory, self.pid)


@asynccontextmanager
async def primary(section: EmbeddedSection, data_dir: Path) -> AsyncIterator[Server]:
    """The PostgreSQL of a node, ready, with its files in `data_dir`; stopped at the end, adopted or not.

    The caller holds the directory (`claims.claim`) and runs `Server.watch`. Raises StartError.
    """
    cluster = await asyncio.to_thread(_install, section, data_dir)
    socket_dir = await asyncio.to_thread(sockets.place, cluster.home, cluster.account)
    server = Server(cluster, section, socket_dir)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def running_dsn(section: EmbeddedSection, data_dir: Path) -> str | None:
    """Where the PostgreSQL of a node that runs on `data_dir` is, for another process beside it; None if none runs."""
    cluster = _install(section, data_dir)
    if cluster.postmaster() is None:
        return None
    return Server(cluster, section, sockets.place(cluster.home, cluster.account)).dsn


def _install(section: EmbeddedSection, home: Path) -> Cluster:
    found = binaries.find()
    chosen = account.choose(section.user)
    return Cluster(home.resolve(), chosen, binaries.reachable(found, chosen))


async def _stop(process: Process) -> None:
    try:
        for number, seconds in _STOPPING:
            process.signal(number)
            if await process.ended_within(seconds):
                return
            log.warning("PostgreSQL, process %d, did not end within %.0f s of %s", process.pid, seconds, number.name)
    except asyncio.CancelledError:
        # whoever has no more time to wait still wants it to end
        process.signal(signal.SIGQUIT)
        raise


async def _set_password(connection: Any, password: str) -> None:
    """The statement holds the password; `log_min_error_statement` keeps it from the log should it fail."""
    statement = await connection.fetchval(
        "select format('alter role %I password %L', $1::text, $2::text)", settings.ROLE, password
    )
    await connection.execute(statement)
