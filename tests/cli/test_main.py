from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from pastebin import __version__


async def test_version(client) -> None:
    ended = await client.run("--version")
    assert (ended.code, ended.line, ended.err) == (0, f"pastebin {__version__}", "")


async def test_help_names_every_command(client) -> None:
    ended = await client.run("--help")
    assert ended.code == 0
    for name in ("put", "get", "rm", "ls"):
        assert f"\n  {name} " in ended.out.decode()


@pytest.mark.parametrize("arguments", [(), ("nope",), ("put", "--nope"), ("get",), ("rm",), ("ls", "extra")])
async def test_what_cannot_be_understood_is_usage(client, arguments: tuple[str, ...]) -> None:
    ended = await client.run(*arguments)
    assert (ended.code, ended.out) == (2, b"")
    assert "usage: pastebin" in ended.err


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
    _, err = await asyncio.wait_for(process.communicate(), 30)
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
