"""Where the database is: replicas as secrets, discovery by DNS, and what cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from pastebin.config import describe, load
from tests.test_config import LONG_SECRET, WriteFile, complaints, write

__all__ = ["write"]

OWN_DATABASE = f'[node]\nsecret = "{LONG_SECRET}"\n[database]\nprimary = "postgresql://db/p"\n'


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('[database]\nreplicas = ["postgresql://r/p"]', "database.replicas: needs database.primary"),
        ('[database]\ndiscover = "a:replicas.example:5432"', "database.discover: needs database.primary"),
        (OWN_DATABASE + 'replicas = ["r"]', "database.replicas[0]: must be postgresql://user@host:port/name"),
        (OWN_DATABASE + 'replicas = ["env:PASTEBIN_TEST_UNSET"]', "database.replicas[0]: environment variable"),
        (OWN_DATABASE + 'replicas = "postgresql://r/p"', "database.replicas: expected array, got string"),
        (OWN_DATABASE + 'discover = "a:replicas.example"', "database.discover: must be srv:NAME"),
        (OWN_DATABASE + 'discover = "a:replicas.example:65536"', "database.discover: must be srv:NAME"),
        (OWN_DATABASE + 'discover_nameserver = "127.0.0.1"', "database.discover_nameserver: must be host:port"),
        (OWN_DATABASE + 'near = ["a", "10.0.0.1/8"]', "database.near[1]: must be host, host:port or a network"),
        (OWN_DATABASE + 'near = [""]', "database.near[0]: must be host, host:port or a network"),
        (OWN_DATABASE + "discover_drain_seconds = 121", "database.discover_drain_seconds: expected number <= 120"),
        (OWN_DATABASE + "check_interval_seconds = 6", "database.check_interval_seconds: expected number <= 5"),
    ],
)
def test_what_cannot_work_is_refused(write: WriteFile, text: str, start: str) -> None:
    found = complaints(write(text))
    assert len(found) == 1
    assert found[0].startswith(start)


def test_replicas_are_secrets_that_come_from_files_and_the_environment_too(
    write: WriteFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "dsn").write_text("postgresql://me:hunter2@a/p\n")
    monkeypatch.setenv("PASTEBIN_TEST_DSN", "postgresql://me:hunter2@b/p")
    inline = "postgresql://me:hunter2@c/p"
    path = write(f'{OWN_DATABASE}replicas = ["file:{tmp_path}/dsn", "env:PASTEBIN_TEST_DSN", "{inline}"]')
    chosen = load(path)
    assert [replica.reveal()[-3:] for replica in chosen.database.replicas] == ["a/p", "b/p", "c/p"]
    assert "hunter2" not in "\n".join([*describe(chosen), repr(chosen)])
    path.chmod(0o604)
    names = [line.split(":")[0] for line in complaints(path)]
    assert names == ["node.secret", "database.primary", "database.replicas[2]"]
