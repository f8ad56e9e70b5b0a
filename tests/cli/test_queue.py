"""`pastebin queue` as an operator runs it, against a real database."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import asyncpg
import pytest

from pastebin.cli import main
from pastebin.embedded import running_dsn
from pastebin.sections import EmbeddedSection
from tests import commands
from tests.nodes import SECRET, directory

_TARGETS = """
insert into feed_targets (name, epoch, confirmed, holder, lease_until, failing_since, failure)
select 'well', epoch, 3, 'w', now() + interval '1 h', null::timestamptz, null from feed_state
union all select 'ill', epoch, 1, 'w', now() + interval '1 h', now() - interval '9 s', 'no answer' from feed_state
union all select 'gone', '', 0, null, '-infinity', null, null from feed_state
"""
_FEED = """
insert into feed (sequence, outbox_id, kind, slug, tell, lsn, created_at)
select n, n, 'revise', 'x', true, '0/0', now() - interval '4 s' from generate_series(1, 3) n
"""
_LETTERS = """
insert into dead_letters (target, state, keys, sequence, error, attempts)
select 'ill', 'dead', array(select 'p-' || k from generate_series(1, n * 4) k), n, e'will\\nnot\\x1b[2J', 25
from generate_series(1, 2) n
union all select 'well', 'waiting', '{p-x}', 3, 'not now', 2
"""


def _on(dsn: str) -> list[str]:
    return [f"--set=database.primary={dsn}", f"--set=node.secret={SECRET}"]


async def queue(*arguments: str, dsn: str) -> tuple[int, str]:
    """Exit code, and what was printed."""
    return await commands.told("queue", *arguments, *_on(dsn))


async def started(*arguments: str) -> tuple[int, str]:
    """The same of a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pastebin", "queue", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_an_operator_sees_and_decides(database_dsn: str) -> None:
    assert await started("status", *_on(database_dsn)) == (
        0,
        "no targets: no worker has run with a configuration that names any\n",
    )
    await execute(database_dsn, "update feed_state set epoch = 'one'", _FEED, _TARGETS, _LETTERS)
    code, output = await queue("status", dsn=database_dsn)
    gone, ill, well = output.splitlines()
    assert (code, well) == (1, "well: 0 changes behind")
    assert gone == "gone: to be flushed; no worker has it"
    assert re.fullmatch(
        r"ill: 2 changes behind, the oldest for \d+\.\d s; failing for \d+ s: no answer; 2 dead letters", ill
    )

    code, output = await queue("list", dsn=database_dsn)
    first, second = output.splitlines()
    assert first.split()[:3] == ["1", "ill", "dead"]
    assert first.endswith("25 attempts  p-1 p-2 p-3 p-4: will\ufffdnot\ufffd[2J")
    assert second.endswith("p-1 p-2 p-3 p-4 p-5 and 3 more: will\ufffdnot\ufffd[2J")
    assert len((await queue("list", "--waiting", dsn=database_dsn))[1].splitlines()) == 3
    assert await queue("list", "--target", "well", dsn=database_dsn) == (0, "")
    assert await queue("status", "--target", "well", dsn=database_dsn) == (0, "well: 0 changes behind\n")
    unknown = (1, "pastebin: wel is not a target; there are: gone, ill, well\n")
    for action in (("status",), ("discard", "--all")):
        assert await queue(*action, "--target=wel", dsn=database_dsn) == unknown

    assert await queue("requeue", "1", dsn=database_dsn) == (0, "1 will be tried again\n")
    code, output = await queue("requeue", "1", str(2**63 - 1), dsn=database_dsn)
    assert (code, "2 of the IDs are not known" in output) == (1, True)
    assert await queue("discard", "--all", "--target=well", dsn=database_dsn) == (0, "0 discarded\n")
    assert await queue("discard", "--all", dsn=database_dsn) == (0, "1 discarded\n")

    code, output = await queue("forget", "--target=well", dsn=database_dsn)
    assert (code, "still in use" in output) == (1, True)
    assert await queue("forget", "--target=gone", dsn=database_dsn) == (0, "gone is forgotten\n")


@pytest.mark.parametrize(
    "arguments",
    [("requeue",), ("discard", "--all", "7")],
)
def test_what_does_not_go_together_is_refused(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queue", *arguments, f"--data-dir={tmp_path}"]) == 78
    assert capsys.readouterr().err.startswith(f"pastebin: queue {arguments[0]}: ")


@pytest.mark.parametrize(
    "arguments",
    [(), ("--all",), ("forget",), ("list", "7"), ("status", "--all"), ("status", "--waiting"), ("discard", "--wait")],
)
def test_what_an_action_does_not_take_is_refused(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["queue", *arguments])
    assert refused.value.code == 2
    assert capsys.readouterr().err.startswith(" ".join(["usage: pastebin queue", *arguments[:1]]).partition(" --")[0])


def test_help_lists_what_the_action_takes(capsys: pytest.CaptureFixture[str]) -> None:
    always = {"--help", "--target", "--config", "--data-dir", "--set"}
    for action, own in (("status", set()), ("list", {"--waiting"}), ("requeue", {"--all"}), ("forget", set())):
        with pytest.raises(SystemExit) as shown:
            main(["queue", action, "--help"])
        assert shown.value.code == 0
        assert set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) == always | own


def test_a_node_without_a_database_is_told_where_the_queue_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('[node]\nroles = ["edge"]\n[edge]\norigin = "http://a"\nlease_seconds = 0', encoding="utf-8")
    assert main(["queue", "status", f"--config={path}"]) == 69
    assert "edge has no database: use the --config or --data-dir of a cdn-worker" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("requeue", "x"), ("requeue", "9" * 20), ("discard", "0"), ("list", "--target=\udcff"), ("list", "--target=\x1b")],
)
def test_what_no_letter_or_target_is_called_is_refused(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["queue", *arguments])
    assert refused.value.code == 2
    assert re.search("must be a number as list shows it|no target has such a name", capsys.readouterr().err)


async def test_an_embedded_database_must_be_running() -> None:
    async with directory() as path:
        code, output = await started("status", f"--data-dir={path}")
        assert code == 69
        assert output.startswith(f"pastebin: no node runs on {path}: start it, or name the node")
        assert running_dsn(EmbeddedSection(), path) is None
