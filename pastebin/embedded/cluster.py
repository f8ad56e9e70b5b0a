"""The files of one PostgreSQL in the directory `home`, and what a crash leaves of them.

home/postgres/            the data, owned by the account that runs PostgreSQL
home/postgres.conf.d/     configuration, written by the node at every start
home/postgres.log
home/postgres.new-<...>/  data that is being made; it becomes home/postgres in one step
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pastebin.embedded import logfile, processes, settings
from pastebin.embedded.account import Account, check_reachable
from pastebin.embedded.binaries import Binaries
from pastebin.embedded.claims import make_directory
from pastebin.embedded.processes import Process, Sight
from pastebin.errors import DataDirectoryUnusable, ResourceUnavailable, SchemaMismatch

_PID = re.compile(r"[1-9][0-9]{0,8}")
_INITDB_SECONDS = 120.0
_FULL_BYTES = 1024**2
# Backends notice by themselves that their postmaster is gone; one that computes may take longer.
_PATIENCE = ((None, 1.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 5.0))
# They clean up after themselves when asked: initdb's own server would leave shared memory behind.
_MAKER_PATIENCE = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True, slots=True)
class PidFile:
    """What `postmaster.pid` says."""

    pid: int
    status: str

    @classmethod
    def parse(cls, text: str) -> PidFile | None:
        """None when the file is not complete yet, or is none."""
        lines = text.splitlines()
        if not lines or not _PID.fullmatch(lines[0]):
            return None
        return cls(int(lines[0]), lines[7].strip() if len(lines) > 7 else "")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The directory of one PostgreSQL (a resolved path: the server is recognised by it), and who runs it with what."""

    home: Path
    account: Account
    binaries: Binaries

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def files(self) -> Path:
        return self.home / "postgres.conf.d"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def at(self, home: Path) -> Cluster:
        """Another directory, for the same account and programs."""
        return replace(self, home=home.resolve())

    def check(self) -> None:
        """Make `home` when absent and see whether this PostgreSQL can use what is in it.

        Raises DataDirectoryUnusable, ResourceUnavailable, SchemaMismatch.
        """
        make_directory(self.home)
        check_reachable(self.home, self.account)
        with self.translated():
            if not self.data.exists():
                return
            owner = self.data.stat().st_uid
            if owner in (self.account.uid, os.geteuid()) and not any(self.data.iterdir()):
                return
            if owner != self.account.uid:
                raise DataDirectoryUnusable(
                    f"{self.data} belongs to user id {owner}, but PostgreSQL runs as {self.account.name}: "
                    f"start pastebin as it was started before, or 'chown -R {self.account.name} {self.data}'"
                )
            try:
                major = (self.data / "PG_VERSION").read_text().strip()
            except FileNotFoundError:
                raise DataDirectoryUnusable(f"{self.data} is not empty and holds no PostgreSQL data") from None
        if major != self.binaries.major:
            raise SchemaMismatch(
                f"{self.data} was made by PostgreSQL {major} and this is PostgreSQL {self.binaries.major}: "
                "carry the data over with pg_dumpall of the old version, or choose another --data-dir"
            )

    @asynccontextmanager
    async def making(self) -> AsyncIterator[Path]:
        """A directory of the account to make the data in; it becomes the data when the block ends well.

        A process that is killed on the way leaves nothing that stands in the way of the next.
        """
        await self._remove_unfinished()
        with self.translated():
            temporary = self.home / f"postgres.new-{secrets.token_hex(4)}"
            temporary.mkdir(mode=0o700)
        try:
            with self.translated():
                self.account.own(temporary)
            yield temporary
            with self.translated():
                # what the caller has added to what the program had synchronised
                _synchronise(temporary)
                temporary.rename(self.data)
                _synchronise(self.home)
        finally:
            if temporary.exists():
                await asyncio.to_thread(shutil.rmtree, temporary, ignore_errors=True)

    async def initialise(self, *, durable: bool) -> None:
        """Make an empty database cluster. Raises ResourceUnavailable, DataDirectoryUnusable."""
        async with self.making() as directory:
            command = [
                self.binaries.program("initdb"),
                *("--pgdata", str(directory), "--username", settings.ROLE, "--encoding=UTF8", "--locale=C"),
                *(
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--data-checksums",
                    "--no-instructions",
                ),
                *("--auth-local=peer", "--auth-host=reject"),
            ]
            await processes.run(command if durable else [*command, "--no-sync"], self.account, seconds=_INITDB_SECONDS)

    def write_files(self, texts: dict[str, str]) -> None:
        """Write configuration files, each in one step. Raises DataDirectoryUnusable."""
        with self.translated():
            self.files.mkdir(exist_ok=True)
            self.files.chmod(0o755)
            for name, text in texts.items():
                temporary = self.files / f"{name}.new"
                temporary.write_text(text)
                temporary.chmod(0o644)
                temporary.replace(self.files / name)

    def complaint(self, offset: int) -> str:
        """Why the server that began to write its log at `offset` has failed."""
        with suppress(OSError):
            if shutil.disk_usage(self.home).free < _FULL_BYTES:
                # it may have had no room to say so
                return f"the disk is full; {logfile.complaint_since(self.log, offset)}".rstrip("; ")
        return logfile.complaint_since(self.log, offset) or "it gave no reason"

    def pid_file(self) -> PidFile | None:
        try:
            return PidFile.parse((self.data / "postmaster.pid").read_text())
        except OSError:
            return None

    def postmaster(self) -> tuple[Process, Sight] | None:
        """The server that runs on this data now, whoever started it."""
        written = self.pid_file()
        if written is None:
            return None
        with suppress(ProcessLookupError):
            # held first and recognised then: its number cannot pass to another process in between
            process = Process(written.pid)
            sight = processes.look(written.pid)
            if sight is not None and self._is_postmaster(sight):
                return process, sight
        return None

    async def end_leftovers(self, name: str) -> None:
        """Free the data of a server that was killed: end what still uses it, remove its `postmaster.pid`.

        `name` is its `cluster_name`. No postmaster may be running. Raises ResourceUnavailable.
        """
        title = f"postgres: {name}: "
        left = (
            sight
            for sight in processes.belonging_to(self.account.uid)
            if sight.argv[0].startswith(title) or self._is_postmaster(sight)
        )
        await _end(left, _PATIENCE)
        with self.translated():
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _is_postmaster(self, sight: Sight) -> bool:
        """PostgreSQL itself would take any process of its user for the one noted before a crash."""
        if sight.uid != self.account.uid or Path(sight.argv[0]).name not in ("postgres", "postmaster"):
            return False
        if str(self.data) in sight.argv:
            return True
        # started by hand perhaps: it works in its data directory, if the kernel lets us see that
        with suppress(OSError):
            return Path("/proc", str(sight.pid), "cwd").samefile(self.data)
        return False

    async def _remove_unfinished(self) -> None:
        beginning = str(self.home / "postgres.new-")
        makers = (
            sight
            for sight in processes.belonging_to(self.account.uid)
            if any(argument.startswith(beginning) for argument in sight.argv)
        )
        await _end(makers, _MAKER_PATIENCE)
        for left in self.home.glob("postgres.new-*"):
            await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Trouble with files in `home`, in the domain's word for it."""
        try:
            yield
        except OSError as error:
            raise DataDirectoryUnusable(f"the data directory {self.home} cannot be used: {error.strerror}") from error


async def _end(sights: Iterable[Sight], patience: Sequence[tuple[signal.Signals | None, float]]) -> None:
    held = []
    for sight in sights:
        with suppress(ProcessLookupError):
            process = Process(sight.pid)
            if processes.look(sight.pid) == sight:
                held.append(process)
    for number, seconds in patience:
        for process in held:
            if number is not None:
                process.signal(number)
        await asyncio.gather(*(process.ended_within(seconds) for process in held))
        held = [process for process in held if not process.has_ended]
    if held:
        numbers = ", ".join(str(process.pid) for process in held)
        raise ResourceUnavailable(f"processes of a PostgreSQL that was killed cannot be ended: {numbers}")


def _synchronise(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
