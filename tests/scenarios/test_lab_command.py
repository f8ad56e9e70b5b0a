"""`scripts/lab` as people type it: a small lab, wrong words, a box that dies, and a supervisor that does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster import until
from tests.lab import control, leavings
from tests.lab.__main__ import main
from tests.lab.errors import LabError
from tests.lab.lab import ROOT, Lab
from tests.lab.plan import Plan
from tests.postgres import reachable_directory

pytestmark = pytest.mark.scenario


class Command:
    """The command line on a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def __call__(self, *words: str) -> tuple[int, str]:
        """Its exit code, and what it says."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.lab", f"--directory={self.directory}", *words),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(240):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    def marked(self) -> list[psutil.Process]:
        """Every process of the lab."""
        return list(leavings.processes(self.directory))


async def test_a_lab_from_up_to_down_and_nothing_is_left_when_its_supervisor_is_killed() -> None:
    with reachable_directory() as parent:
        lab = Command(parent / "lab")
        try:
            code, said = await lab("up", "--regions=us", "--replicas=1", "--workers=1")
            assert code == 0, said
            assert "us-gateway" in said and "13 of 13 boxes are ready" in said
            await refuses_what_is_wrong(lab)
            await starts_again_what_was_killed(lab)
            state = json.loads((lab.directory / "lab.json").read_text())
            os.kill(state["supervisor"], signal.SIGKILL)
        finally:
            code, said = await lab("down")
        assert (code, said) == (0, "")
        assert not lab.directory.exists()
        assert lab.marked() == []
        if state["network"]:
            listed = await asyncio.create_subprocess_exec("ip", "netns", "list", stdout=asyncio.subprocess.PIPE)
            assert state["network"] not in (await listed.communicate())[0].decode()
        for word, code in (("down", 0), ("status", 1)):
            assert await asyncio.to_thread(main, [f"--directory={lab.directory}", word]) == code


def test_what_cannot_be_is_said_before_anything_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "lab"
    assert main([f"--directory={directory}", "up", "--regions=us,us,X", "--replicas=99", "--workers=0"]) == 1
    said = capsys.readouterr().err
    for problem in ("two regions have one name", "'X' is no name of a region", "0 to 8 replicas", "1 to 16 workers"):
        assert problem in said
    assert not directory.exists()
    (tmp_path / "letter").write_text("dear")
    assert main([f"--directory={tmp_path}", "down"]) == 1
    assert "holds something else than a lab" in capsys.readouterr().err
    assert (tmp_path / "letter").exists()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("0.0.0.0", 9090))  # noqa: S104  (on all addresses is the point)
            held.listen()
        except OSError:
            pass  # then somebody else has it
        with pytest.raises(LabError, match=r"taken already: 127\.\d+\.1\.1:9090"):
            async with Lab.up(Plan(), tmp_path / "lab", is_real=False):
                pass
    assert not (tmp_path / "lab").exists()


async def refuses_what_is_wrong(lab: Command) -> None:
    assert await asyncio.to_thread(main, [f"--directory={lab.directory}", "up"]) == 1
    code, said = await lab("run", "us", "no-such-program")
    assert code != 0 and "no-such-program" in said
    for do, arguments, told in (
        ("kill", {"name": "us-egde"}, "there are us-gateway, us-edge"),
        ("cut", {"one": "us", "other": "mars"}, "there is no place 'mars'; there are us"),
        ("lag", {"name": "primary", "seconds": 3.0}, "is no replica; there are replica-1"),
        ("client", {"region": "eu"}, "there is no region 'eu'; there are us"),
    ):
        with pytest.raises(LabError, match=told):
            await asyncio.to_thread(control.ask, lab.directory, do, **arguments)


async def starts_again_what_was_killed(lab: Command) -> None:
    before = await boxes(lab)
    assert (await lab("kill", "us-edge", "primary"))[0] == 0

    async def is_back() -> bool:
        now = await boxes(lab)
        return all(
            now[name]["pid"] not in (None, before[name]["pid"]) and not now[name]["why"]
            for name in ("us-edge", "primary")
        )

    await until(is_back)
    await asyncio.to_thread(control.ask, lab.directory, "stop", name="us-web")
    assert (await boxes(lab))["us-web"]["state"] == "stopped"


async def boxes(lab: Command) -> dict[str, dict[str, Any]]:
    status = await asyncio.to_thread(control.ask, lab.directory, "status")
    return {box["name"]: box for box in status["boxes"]}
