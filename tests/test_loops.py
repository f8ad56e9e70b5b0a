"""Background loops: one that ends unasked ends the node, and everybody gets to know."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import aiohttp
import pytest

from pastebin import node
from pastebin.config import load
from pastebin.loops import LoopDied, Loops
from pastebin.node import Running, Stopping
from pastebin.services.sweeping import Sweeping
from tests.nodes import SECRET, directory

# Runs the real command with a sweeper that dies.
_DYING = """
import sys
from pastebin.cli import main
from pastebin.services.sweeping import Sweeping

async def run(self):
    raise LookupError("the sweeper has lost its broom")

Sweeping.run = run
sys.exit(main())
"""


async def test_a_loop_lives_as_long_as_its_block() -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            said.append(str(asyncio.current_task().get_name()))  # type: ignore[union-attr]
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("cleaned up")

    async with asyncio.TaskGroup() as tasks:
        async with Loops(tasks).running(work(), name="sweeping"):
            await asyncio.sleep(0)
            assert said == ["sweeping"]
        assert said == ["sweeping", "cleaned up"], "leaving the block waits for the end"


async def test_the_death_of_a_loop_ends_everything(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    async def dies() -> None:
        raise LookupError("broom")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks, Loops(tasks).running(dies(), name="sweeping"):
            try:
                await asyncio.Event().wait()
            finally:
                closed.append("in order")
    assert caught.group_contains(LookupError, match="broom")
    assert closed == ["in order"]
    assert "background loop sweeping died" in caplog.text


async def test_a_loop_that_just_ends_has_died_too() -> None:
    async def ends() -> None:
        return

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks, Loops(tasks).running(ends(), name="sweeping"):
            await asyncio.Event().wait()
    assert caught.group_contains(LoopDied, match="sweeping")


async def test_a_loop_that_dies_while_it_is_cancelled_is_noticed() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("while cleaning up")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks, Loops(tasks).running(work(), name="sweeping"):
            await asyncio.sleep(0)
    assert caught.group_contains(LookupError)


async def test_a_node_whose_sweeper_dies_closes_its_doors_and_raises(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    die = asyncio.Event()

    async def run(_: Sweeping) -> None:
        await die.wait()
        raise LookupError("the sweeper has lost its broom")

    monkeypatch.setattr(Sweeping, "run", run)
    addresses: list[str] = []

    def begin(running: Running) -> None:
        addresses.append(running.url())
        die.set()

    async with directory() as path:
        overrides = {"database.primary": database_dsn, "node.secret": SECRET, "node.data_dir": str(path)}
        config = load(None, {**overrides, "doors.origin": "127.0.0.1:0", "doors.internal": "127.0.0.1:0"})
        with pytest.raises(ExceptionGroup) as caught:
            await node.run(config, stopping=Stopping(), on_ready=begin)
    assert caught.group_contains(LookupError, match="broom")
    assert "background loop sweeping died" in caplog.text
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(addresses[0])


async def test_the_process_of_such_a_node_fails(database_dsn: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET, encoding="ascii")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _DYING, "serve", "--port=0", "--internal-port=0", f"--data-dir={tmp_path}"),
        *(f"--set=database.primary={database_dsn}", f"--set=node.secret=file:{secret}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 1
    assert b"background loop sweeping died" in output
    assert b"the sweeper has lost its broom" in output
    assert output.splitlines()[-1].startswith(b"pastebin: stopped because of an error")
