"""The PostgreSQL servers of a lab: files made ready here, processes run by boxes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import asyncpg

from pastebin.embedded import account, binaries, processes, settings
from pastebin.embedded.cluster import Cluster
from pastebin.sections import EmbeddedSection, Secret
from pastebin.store import schema
from tests.lab.errors import LabError, reason
from tests.lab.plan import Site
from tests.lab.tables import ANALYTICS, DATABASE

_COPY_SECONDS = 60.0
_SECONDS = 10.0
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.02
_MONITOR = "select exists (select from pg_stat_wal_receiver where status = 'streaming')"
_BEHIND = """
select case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
            else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end
"""
# A cut is noticed soon, and what was cut off comes back soon.
_OVERRIDES: Mapping[str, str] = {
    "wal_receiver_timeout": "5s",
    "wal_sender_timeout": "5s",
    "wal_retrieve_retry_interval": "500ms",
    "tcp_user_timeout": "5s",
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
    "autovacuum_max_workers": "1",
    # what is killed leaves nothing outside its directory
    "dynamic_shared_memory_type": "mmap",
}


@dataclass(frozen=True)
class Postgres:
    """One server: its files, and how it is started and asked."""

    site: Site
    cluster: Cluster
    password: str
    upstream: Site | None = None  # whose replica it is

    @classmethod
    def at(cls, site: Site, home: Path, password: str, upstream: Site | None = None) -> Postgres:
        """Raises StartError where PostgreSQL is not installed or has no account."""
        who = account.choose("")
        found = binaries.reachable(binaries.find(), who)
        home.mkdir(parents=True, exist_ok=True)
        (home / "run").mkdir(exist_ok=True)
        who.own(home / "run")
        return cls(site, Cluster(home.resolve(), who, found), password, upstream)

    @property
    def argv(self) -> list[str]:
        """As its account, and gone when whoever has started it is."""
        who = self.cluster.account
        switched = [f"--reuid={who.uid}", f"--regid={who.gid}", "--init-groups"] if who.is_switched else []
        config = self.cluster.files / "postgresql.conf"
        postgres = [
            self.cluster.binaries.program("postgres"),
            "-D",
            str(self.cluster.data),
            "-c",
            f"config_file={config}",
        ]
        return ["setpriv", *switched, "--pdeathsig", "QUIT", "--", *postgres]

    def dsn(self, database: str = DATABASE) -> str:
        """By its unix socket, which no cut reaches."""
        _, port = self.site.doors["postgres"]
        return f"postgresql://{settings.ROLE}@/{database}?{urlencode({'host': str(self._run), 'port': port})}"

    async def make(self) -> None:
        """The files of a new server, or of a copy of its upstream, which has to run."""
        await asyncio.to_thread(self.cluster.check)
        if self.upstream is None:
            await self.cluster.initialise(durable=False)
        self.cluster.write_files(self._texts())

    async def copy(self, source: Postgres) -> None:
        """A base backup of `source`; a slot keeps what is written from its beginning on."""
        slot = self.site.name.replace("-", "_")
        async with source.connected("postgres") as connection:
            await connection.execute("select pg_create_physical_replication_slot($1, true)", slot)
        _, port = source.site.doors["postgres"]
        conninfo = {"host": str(source._run), "port": str(port), "user": settings.ROLE}
        async with self.cluster.making() as temporary:
            command = [
                self.cluster.binaries.program("pg_basebackup"),
                *("--pgdata", str(temporary), "--dbname", settings.connection_string(conninfo), "--slot", slot),
                *("--wal-method=stream", "--checkpoint=fast", "--no-password", "--no-sync"),
            ]
            await processes.run(command, self.cluster.account, seconds=_COPY_SECONDS)
            (temporary / "standby.signal").touch(mode=0o600)
            self.cluster.account.own(temporary / "standby.signal")

    async def prepare(self) -> None:
        """Databases, schema and the password for the network, once it runs."""
        await self._until_ready()
        async with self.connected("postgres") as connection:
            await connection.execute(f"alter role {settings.ROLE} password '{self.password}'")
            database = ANALYTICS if self.site.name.startswith("analytics") else DATABASE
            await connection.execute(f"create database {database}")
        if database == DATABASE:
            await schema.migrate(self.dsn())

    async def check(self) -> str:
        """Why it is not ready; empty if it is."""
        try:
            async with self.connected("postgres") as connection:
                if self.upstream is not None and await connection.fetchval("select pg_is_in_recovery()"):
                    return "" if await connection.fetchval(_MONITOR) else "does not stream"
        except LabError as error:
            return str(error)
        return ""

    async def lag(self, seconds: float) -> None:
        """Replay so much later from now on; 0: at once."""
        async with self.connected("postgres") as connection:
            await connection.execute(f"alter system set recovery_min_apply_delay = '{int(seconds * 1000)}ms'")
            await connection.execute("select pg_reload_conf()")

    async def behind_seconds(self) -> float:
        async with self.connected("postgres") as connection:
            return float(await connection.fetchval(_BEHIND) or 0.0)

    @asynccontextmanager
    async def connected(self, database: str = DATABASE) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """One connection for a moment's work. Raises LabError."""
        try:
            connection = await asyncpg.connect(self.dsn(database), timeout=_SECONDS, command_timeout=_SECONDS)
            try:
                yield connection
            finally:
                await connection.close(timeout=_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise LabError(f"{self.site.name} does not answer: {reason(error)}") from error

    @property
    def _run(self) -> Path:
        return self.cluster.home / "run"

    async def _until_ready(self) -> None:
        async with asyncio.timeout(_READY_SECONDS):
            while True:
                with suppress(LabError):
                    async with self.connected("postgres"):
                        return
                await asyncio.sleep(_POLL_SECONDS)

    def _texts(self) -> dict[str, str]:
        cluster = self.cluster
        host, port = self.site.doors["postgres"]
        section = EmbeddedSection(
            listen=f"{host}:{port}",
            password=Secret(self.password),
            shared_buffers_mb=16,
            max_connections=150,
            durable=False,
        )
        overrides = dict(_OVERRIDES)
        if self.upstream is not None:
            upstream, upstream_port = self.upstream.doors["postgres"]
            overrides["primary_conninfo"] = settings.connection_string(
                {
                    "host": upstream,
                    "port": str(upstream_port),
                    "user": settings.ROLE,
                    "password": self.password,
                    "application_name": self.site.name,
                    "connect_timeout": "2",
                    "tcp_user_timeout": "5000",
                }
            )
            overrides["primary_slot_name"] = self.site.name.replace("-", "_")
        return {
            "postgresql.conf": settings.configuration(
                section,
                data=cluster.data,
                files=cluster.files,
                socket_dir=self._run,
                name=f"{self.site.name}-{self.site.address}",
                overrides=overrides,
            ),
            "pg_hba.conf": settings.access(section),
            "pg_ident.conf": settings.users([cluster.account.name, cluster.account.node_user]),
        }
