from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from pastebin import __version__
from pastebin.cli import main


async def test_version(client) -> None:
    ended = await client.run("--version")
    assert (ended.code, ended.line, ended.err) == (0, f"pastebin {__version__}", "")


async def test_help_names_every_command(client) -> None:
    ended = await client.run("--help")
    assert ended.code == 0
    for name in ("put", "get", "rm", "ls"):
        assert f"\n  {name} " in ended.out.decode()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nope",
        "put --nope",
        "put --name x a b",
        "put - -",
        "put --burn --max-reads 2",
        "put --encrypt --reject-secrets",
        "put --max-reads many",
        "put --expires-in 1h --expires-at 2030-01-01T00:00:00Z",
        "put --visibility secret",
        "put --idempotency-key \N{SNOWMAN}",
        "put --server p.example",
        "put --raw --json",
        "get",
        "get h8Kq2ZtV0aB https://p.example/h8Kq2ZtV0aB",
        "get --server https://p.example https://p.example/h8Kq2ZtV0aB",
        "get --lines ten h8Kq2ZtV0aB",
        "get --lines 1-2 --reveal h8Kq2ZtV0aB",
        "get no/slug",
        "rm",
        "rm https://p.example/h8Kq2ZtV0aB/raw/a.txt",
        "rm h8Kq2ZtV0aB",
        "ls extra",
    ],
)
def test_what_cannot_be_understood_is_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """In this process: nothing gets as far as a connection."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PASTEBIN_SERVER", "http://127.0.0.1:9")
    monkeypatch.delenv("PASTEBIN_TOKEN", raising=False)
    try:
        code: object = main(line.split())
    except SystemExit as exited:
        code = exited.code
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert shown.err.startswith(("usage: pastebin", "pastebin: "))


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        ("ls", {"aiohttp", "asyncio", "tqdm", "asyncpg", "uvloop", "jinja2", "pygments"}),
        ("put", {"tqdm", "asyncpg", "uvloop", "jinja2", "pygments", "prometheus_client", "argon2"}),
        ("get", {"tqdm", "asyncpg", "uvloop", "jinja2", "pygments", "prometheus_client", "argon2"}),
    ],
)
def test_a_command_imports_only_what_it_needs(command: str, unwanted: set[str]) -> None:
    program = f"import sys, pastebin.cli.{command}; print('\\n'.join(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60)
    assert set(shown.stdout.split()) & unwanted == set()


async def test_no_server_is_told_with_a_hint(client) -> None:
    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER="http://127.0.0.1:9")
    assert (ended.code, ended.out) == (3, b"")
    assert ended.err.startswith("pastebin: http://127.0.0.1:9: cannot be reached: ")


async def test_an_unknown_host_is_told(client) -> None:
    ended = await client.run("get", "http://no-such-host.invalid/h8Kq2ZtV0aB")
    assert (ended.code, ended.out) == (3, b"")
    assert "no-such-host.invalid: cannot be found" in ended.err


async def test_a_proxy_of_the_environment_is_used(client, start_server) -> None:
    seen = []

    async def proxy(request: web.Request) -> web.Response:
        seen.append((request.headers["Host"], request.headers.get("Proxy-Authorization")))
        return web.Response(status=404)

    url = await start_server(proxy)
    address = url.replace("http://", "http://user:p%40ss@")
    ended = await client.run("get", "http://p.invalid/h8Kq2ZtV0aB", http_proxy=address)
    assert (ended.code, ended.err) == (1, "pastebin: http://p.invalid answered 404 Not Found\n")
    assert seen == [("p.invalid", "Basic dXNlcjpwQHNz")]


async def test_results_that_cannot_be_written_are_told(client) -> None:
    client.ledger.parent.mkdir(parents=True)
    entry = b'{"server":"http://a","slug":"aaa","url":"http://a/aaa","token":"t","created_at":"2026-11-22T10:00:00Z"}\n'
    client.ledger.write_bytes(entry)
    with Path("/dev/full").open("wb") as full:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pastebin", "ls"),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
            env=client.environment(),
        )
    _, err = await asyncio.wait_for(process.communicate(), 90)
    assert (process.returncode, err) == (4, b"pastebin: standard output: No space left on device\n")


async def test_something_that_is_no_web_server_is_told(client) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await client.run("get", f"http://127.0.0.1:{port}/h8Kq2ZtV0aB")
    assert (ended.code, ended.out) == (3, b"")
    assert len(ended.err.splitlines()) == 1
