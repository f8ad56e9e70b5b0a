from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.embedded import logfile, processes
from pastebin.embedded.account import Account
from pastebin.embedded.cluster import PidFile
from pastebin.embedded.processes import Process
from pastebin.errors import ResourceUnavailable


@pytest.fixture(params=["pidfd", "polling"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without pidfds, which some sandboxes refuse."""
    if request.param == "polling":

        def refuse(_pid: int) -> int:
            raise PermissionError

        monkeypatch.setattr(os, "pidfd_open", refuse)


async def test_an_end_is_noticed_by_everybody_who_waits(kernel: None, postgres_account: Account) -> None:
    child = processes.spawn(["/bin/sleep", "600"], postgres_account, subprocess.DEVNULL)
    process, adopted = Process(child.pid, child), Process(child.pid)
    assert not await process.ended_within(0.01)
    assert not process.has_ended
    assert not adopted.has_ended
    waiting = [asyncio.create_task(process.ended()) for _ in range(2)]
    process.signal(signal.SIGTERM)
    await asyncio.gather(*waiting, adopted.ended())
    assert process.has_ended
    assert adopted.has_ended
    assert process.ending == "killed by SIGTERM"
    assert adopted.ending == "it is gone"
    process.signal(signal.SIGTERM)
    adopted.signal(signal.SIGTERM)


async def test_a_number_without_a_process_is_refused(kernel: None) -> None:
    with subprocess.Popen(["/bin/true"]) as gone:
        gone.wait()
    if processes.look(gone.pid) is None:
        with pytest.raises(ProcessLookupError):
            Process(gone.pid)


def test_a_process_is_seen_as_it_is() -> None:
    own = processes.look(os.getpid())
    assert own is not None
    assert own.uid == os.geteuid()
    assert own.argv[0] and len(own.argv) == len(sys.orig_argv)
    assert own in list(processes.belonging_to(os.geteuid()))


def test_one_that_waits_to_be_buried_is_not_alive() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.look(child.pid) is None


async def test_a_failure_is_told_in_the_programs_own_words(postgres_account: Account) -> None:
    with pytest.raises(ResourceUnavailable, match="^sh failed: the sea is empty$"):
        await processes.run(["/bin/sh", "-c", "echo fatal: the sea is empty; exit 3"], postgres_account, seconds=60)
    with pytest.raises(ResourceUnavailable, match="^sleep took over 0 s$"):
        await processes.run(["/bin/sleep", "600"], postgres_account, seconds=0.01)
    with pytest.raises(ResourceUnavailable, match="No such file"):
        await processes.run(["/nonexistent"], postgres_account, seconds=1)


async def test_nobody_who_is_cancelled_leaves_a_program_behind(postgres_account: Account) -> None:
    task = asyncio.create_task(processes.run(["/bin/sleep", "612.5"], postgres_account, seconds=60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [s for s in processes.belonging_to(postgres_account.uid) if "612.5" in s.argv]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("x\n\n", "x"),
        ("2026-01-01 00:00:00.000 UTC [7] FATAL:  could not write lock file: No space left on device\n", None),
        ("initdb: error: could not create directory\ninitdb: removing contents\n", "could not create directory"),
        (
            "LOG:  could not bind A\nFATAL:  no sockets\nLOG:  database system is shut down\n",
            "could not bind A; no sockets",
        ),
        (
            "sh: error while loading shared libraries: libz.so.1\n",
            "sh: error while loading shared libraries: libz.so.1",
        ),
    ],
)
def test_the_complaint_is_found(text: str, expected: str | None) -> None:
    assert logfile.complaint(text) == (
        "could not write lock file: No space left on device" if expected is None else expected
    )


@given(st.text())
def test_any_text_can_be_searched_for_a_complaint(text: str) -> None:
    assert "\n" not in logfile.complaint(text)


def test_the_log_is_bounded_while_it_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logfile.bound(path)
    with open(logfile.open_to_append(path), "wb", buffering=0) as writer:  # noqa: PTH123  (a descriptor)
        writer.write(b"a" * 50 + b"b" * 50)
        logfile.bound(path, 100)
        assert path.stat().st_size == 100
        logfile.bound(path, 60)
        writer.write(b"c")
    assert path.read_bytes() == b"c"
    assert (tmp_path / "log.1").read_bytes() == b"a" * 10 + b"b" * 50


@given(st.text())
def test_any_text_may_stand_in_a_pid_file(text: str) -> None:
    parsed = PidFile.parse(text)
    assert parsed is None or 0 < parsed.pid < 2**31


def test_a_pid_file_is_read() -> None:
    lines = ["77", "/data", "1700000000", "5432", "/run/x", "", "  12 34", "ready   "]
    assert PidFile.parse("\n".join(lines) + "\n") == PidFile(77, "ready")
    assert PidFile.parse("77\n/data\n") == PidFile(77, "")
