"""`pastebin admin` as an operator runs it, beside a node with an edge."""

from __future__ import annotations

import asyncio
import sys

import pytest

from pastebin.cli import main
from tests import commands
from tests.nodes import SECRET, directory, started


def _with(dsn: str, *arguments: str) -> tuple[str, ...]:
    options = {"database.primary": dsn, "node.secret": SECRET, "cdn.confirm_seconds": 30}
    return ("admin", *arguments, *(f"--set={name}={value}" for name, value in options.items()))


async def admin(*arguments: str, dsn: str) -> tuple[int, str]:
    """Exit code, and what was printed."""
    return await commands.told(*_with(dsn, *arguments))


async def started_admin(*arguments: str, dsn: str) -> tuple[int, str]:
    """The same of a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pastebin", *_with(dsn, *arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_a_paste_is_taken_away_from_the_caches_too(database_dsn: str) -> None:
    roles = ["web", "read", "write", "cdn-worker", "edge"]
    async with directory() as path, started(database_dsn, path, node__roles=roles) as node:
        paste, other = await node.paste("bad"), await node.paste("good")
        for one in (paste, other):
            address = f"{node.url}/api/v1/pastes/{one['slug']}/report"
            async with node.http.post(address, json={"reason": "malware", "details": "\x1b[2J"}) as response:
                assert response.status == 204
        code, output = await admin("reports", dsn=database_dsn)
        assert (code, output.count("malware"), "\x1b" in output) == (0, 2, False)
        status = ""
        while "hit" not in status:  # until the worker has told the edge that it knows everything
            async with node.http.get(f"{node.url}/{paste['slug']}/raw") as response:
                assert response.status == 200
                status = response.headers["Cache-Status"]

        code, output = await started_admin("take-down", paste["slug"], "--reason=by law", dsn=database_dsn)
        assert (code, output) == (0, f"{paste['slug']} is taken down; 1 of 1 caches know it\n")
        async with node.http.get(f"{node.url}/{paste['slug']}/raw") as response:
            assert response.status == 451
        assert await admin("dismiss", other["slug"], dsn=database_dsn) == (0, "1 dismissed\n")
        assert await admin("reports", dsn=database_dsn) == (0, "")
        code, output = await admin("take-down", paste["slug"], dsn=database_dsn)
        assert (code, "no such paste" in output) == (1, True)


@pytest.mark.parametrize(
    "arguments", [("take-down",), ("dismiss",), ("reports", "x"), ("take-down", "x", "--reason=\n")]
)
def test_what_does_not_go_together_is_refused(
    arguments: tuple[str, ...], tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admin", *arguments, f"--data-dir={tmp_path}"]) == 78
    assert capsys.readouterr().err.startswith(f"pastebin: admin {arguments[0]}")
