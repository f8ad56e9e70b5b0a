"""The secrets of a node: those of its configuration, and those that it makes for itself at its first start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pastebin.config import Config
from pastebin.errors import DataDirectoryUnusable
from pastebin.fingerprints import fingerprint


def of_node(config: Config) -> bytes:
    """The secret that signs for the whole installation; an embedded node makes its own at the first start."""
    if given := config.node.secret.reveal():
        return given.encode()
    return _kept(config.data_dir / "secret")


def previous(config: Config) -> bytes:
    """What other nodes may sign with as well, for a while; empty where that is nothing."""
    return config.node.secret_previous.reveal().encode()


def fingerprints(config: Config) -> tuple[str, ...]:
    """Of the secrets that other nodes may have, this node's own first; none where it was given none."""
    given = config.node.secret.reveal().encode()
    return tuple(map(fingerprint, filter(None, (given, previous(config))))) if given else ()


def of_administrator(config: Config) -> str:
    """The one that is configured; where nothing has to be, one of the node's own. Empty: there is no administrator."""
    if (given := config.admin.token.reveal()) or not config.uses_embedded:
        return given
    return _kept(config.data_dir / "admin-token").decode(errors="replace")


def _kept(path: Path) -> bytes:
    """What the file holds; it is made where there is none."""
    try:
        if not path.exists():
            _write(path)
        return path.read_bytes().strip()
    except OSError as error:
        raise DataDirectoryUnusable(f"{path} cannot be read: {error.strerror}") from None


def _write(path: Path) -> None:
    """Under its final name the file is complete, whatever happens meanwhile."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
