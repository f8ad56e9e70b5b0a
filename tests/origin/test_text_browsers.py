"""lynx and w3m, as people use them: a paste is created, read, revealed and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.nodes import Node
from tests.programs import require
from tests.terminal import DOWN, ENTER, TAB, Terminal, terminal


@pytest.fixture
async def lynx(node: Node, tmp_path: Path) -> AsyncIterator[Terminal]:
    program = require("lynx")
    options = ("-accept_all_cookies", "-show_cursor", "-nopause", "-cookie_file=/dev/null")
    async with terminal(program, *options, f"{node.url}/", HOME=str(tmp_path)) as shown:
        await shown.shows("New paste")
        yield shown


@pytest.fixture
async def w3m(node: Node, tmp_path: Path) -> AsyncIterator[Terminal]:
    program = require("w3m")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho words of w3m > $1\n")
    editor.chmod(0o755)
    options = ("-cookie", "-o", f"editor={editor} %s", "-o", "accept_cookie=1")
    async with terminal(program, *options, f"{node.url}/", HOME=str(tmp_path)) as shown:
        await shown.shows("New paste")
        yield shown


async def slug_of(node: Node, title: str) -> str:
    (row,) = await node.sql("select slug from pastes where title = $1", title)
    return str(row["slug"])


async def is_there(node: Node, slug: str) -> bool:
    async with node.http.get(f"{node.url}/{slug}") as response:
        return response.status == 200


async def delete(shown: Terminal, key: str) -> None:
    await shown.go_to("Manage", key)
    shown.type(ENTER)
    await shown.shows("Owner token")
    await shown.go_to("Yes, delete", key)
    shown.type(ENTER)
    await shown.go_to("Delete paste", key)
    shown.type(ENTER)
    await shown.shows("The paste is deleted")


async def reveal(shown: Terminal, key: str, secret: str) -> None:
    await shown.shows("This paste can be read once")
    await shown.go_to("Open and delete", key)
    assert secret not in shown.text
    shown.type(ENTER)
    await shown.shows("That was the last reading.")
    await shown.shows(secret)


async def test_lynx_creates_reads_and_deletes(lynx: Terminal, node: Node) -> None:
    """It keeps no cookie for an address other than it asked for, so the list of my pastes has what belongs to it."""
    await lynx.go_to("Title", DOWN)
    assert "Nothing was saved" not in lynx.text
    lynx.type("Through lynx")
    await lynx.go_to("File name", DOWN)
    lynx.type(f"{DOWN}words of lynx")
    await lynx.go_to("Create paste", DOWN)
    lynx.type(ENTER)
    await lynx.shows("Created")
    await lynx.shows("words of lynx")
    slug = await slug_of(node, "Through lynx")
    assert await is_there(node, slug)
    await lynx.go_to("New paste My pastes", DOWN)
    lynx.type(DOWN)  # past the link that stands before it in its line
    await lynx.settled()
    lynx.type(ENTER)
    await lynx.shows(f"/{slug}")
    await lynx.go_to("Delete this paste for good", DOWN)
    lynx.type(ENTER)
    lynx.type(DOWN)
    await lynx.settled()
    lynx.type(ENTER)
    await lynx.shows("The paste is deleted")
    assert not await is_there(node, slug)


async def test_lynx_reveals(node: Node, tmp_path: Path) -> None:
    created = await node.paste("secret words\n", burn=True)
    async with terminal(require("lynx"), "-show_cursor", "-nopause", created["url"], HOME=str(tmp_path)) as shown:
        await reveal(shown, DOWN, "secret words")
    assert not await is_there(node, created["slug"])


async def test_w3m_creates_reads_and_deletes(w3m: Terminal, node: Node) -> None:
    await w3m.go_to("Title", TAB)
    w3m.type(ENTER)
    await w3m.settled()
    w3m.type(f"Through w3m{ENTER}")
    await w3m.go_to("File name", TAB)
    w3m.type(TAB + ENTER)
    await w3m.shows("words of w3m")
    await w3m.go_to("Create paste", TAB)
    w3m.type(ENTER)
    await w3m.shows("Your paste is ready.")
    await w3m.shows("words of w3m")
    slug = await slug_of(node, "Through w3m")
    assert await is_there(node, slug)
    await delete(w3m, TAB)
    assert not await is_there(node, slug)


async def test_w3m_reveals(node: Node, tmp_path: Path) -> None:
    created = await node.paste("secret words\n", burn=True)
    async with terminal(require("w3m"), created["url"], HOME=str(tmp_path)) as shown:
        await reveal(shown, TAB, "secret words")
    assert not await is_there(node, created["slug"])
