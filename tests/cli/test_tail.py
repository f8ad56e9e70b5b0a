"""`pastebin tail`: standard input as it comes, and a paste as it is written."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.cli.conftest import Client
from tests.nodes import Node
from tests.origin.test_live import writing

_SECONDS = 90.0


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), _SECONDS)).decode()


async def test_what_one_sends_another_follows(client: Client, node: Node) -> None:
    sender = await client.start("tail", "-", "--title", "A build", "--name", "build.log", PASTEBIN_SERVER=node.url)
    link = (await line_of(sender)).strip()
    assert link.startswith(f"{node.url}/")
    follower = await client.start("tail", link)
    assert sender.stdin is not None
    for line in ("one\n", "two\n"):
        sender.stdin.write(line.encode())
        assert await line_of(follower) == line
    sender.stdin.close()
    assert await asyncio.wait_for(sender.wait(), _SECONDS) == 0
    assert await asyncio.wait_for(follower.wait(), _SECONDS) == 0
    async with node.http.get(f"{link}/raw") as raw:
        assert await raw.text() == "one\ntwo\n"
    removed = await client.run("rm", link)  # its owner token was kept
    assert removed.code == 0, removed.err


async def test_a_private_paste_is_followed_with_the_token_that_was_kept(client: Client, node: Node) -> None:
    sender = await client.start("tail", "--visibility=private", PASTEBIN_SERVER=node.url)
    link = (await line_of(sender)).strip()
    follower = await client.start("tail", link)
    assert sender.stdin is not None
    sender.stdin.write(b"mine\n")
    assert await line_of(follower) == "mine\n"
    os.kill(sender.pid, signal.SIGINT)
    await asyncio.wait_for(sender.wait(), _SECONDS)
    assert await asyncio.wait_for(follower.wait(), _SECONDS) == 0


async def test_what_goes_wrong_is_said(client: Client, node: Node) -> None:
    async with writing(node) as writer:
        sender = await client.start("tail", "-", PASTEBIN_SERVER=node.url)
        slug = (await line_of(sender)).strip().rsplit("/", 1)[-1]
        token = (client.ledger.read_text().partition('"token":"')[2]).partition('"')[0]
        owner = {"Authorization": f"Bearer {token}"}
        async with node.http.delete(f"{node.url}/api/v1/pastes/{slug}", headers=owner) as response:
            assert response.status == 204
        assert sender.stdin is not None and sender.stderr is not None
        sender.stdin.write(b"more\n")
        assert await asyncio.wait_for(sender.wait(), _SECONDS) == 1
        assert "The paste is gone." in (await sender.stderr.read()).decode()
        await writer.end()
    assert (await client.run("tail", "unknown0000", PASTEBIN_SERVER=node.url)).code == 1
    assert (await client.run("tail", "unknown0000", "--title=x", PASTEBIN_SERVER=node.url)).code == 2
    assert (await client.run("tail", "-", "--slug=a b", PASTEBIN_SERVER=node.url)).code == 1
    assert (await client.run("tail", "-")).code == 3
