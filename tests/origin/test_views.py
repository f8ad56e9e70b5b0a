"""Views of files over HTTP: which a page shows, what the raw addresses give beside them, and what is too much."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
import time
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pastebin.sections import RenderingSection
from tests.nodes import Node, directory, started

BROWSER = {"Accept": "text/html"}


async def page(node: Node, url: str) -> str:
    async with node.http.get(url if "://" in url else f"{node.url}{url}", headers=BROWSER) as response:
        text = await response.text()
        assert response.status == 200, text
        return text


async def raw(node: Node, url: str, **headers: str) -> tuple[int, bytes, Any]:
    async with node.http.get(url, headers=headers) as response:
        return response.status, await response.read(), response.headers


def tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "path", "sign"),
    [
        ("a.md", "# Hi\n", "", '<h3 id="user-content-hi">Hi</h3>'),
        ("a.md", "# Hi\n", "?view=source", 'class="line"'),
        ("a.txt", "# Hi\n", ".md", '<h3 id="user-content-hi">Hi</h3>'),
        ("a.md", "# Hi\n", ".txt", 'class="line"'),
        ("a.md", "# Hi\n", "?view=table", '<h3 id="user-content-hi">Hi</h3>'),
        ("a.csv", "a,b\n1,2\n", "", '<th scope="col" class="end">a</th>'),
        ("a.txt", "a,b\n1,2\n", ".csv", '<th scope="col" class="end">a</th>'),
        ("a.json", "[1]", "?view=tree", "<details open>"),
        ("a.json", "[1", "?view=tree", "This file is not well-formed"),
        ("a.log", "\x1b[31mred\x1b[0m\n", "", '<span class="f1">red</span>'),
        ("a.log", "\x1b[31mred\x1b[0m\n", "?view=source", "\u241b[31mred"),
        ("a.log", "\x1b[31mred\x1b[0m\n", ".txt", "\u241b[31mred"),
        ("a.log", "no colours\n", "", 'class="line"'),
        ("a.py", "x = 1\n", "?view=nonsense&file=99999&at=-1", 'class="line"'),
    ],
)
async def test_the_view_of_a_text(node: Node, name: str, content: str, path: str, sign: str) -> None:
    created = await node.paste(content, name=name)
    assert sign in await page(node, f"/{created['slug']}{path}")


async def test_each_view_has_its_own_validator(node: Node) -> None:
    created = await node.paste("# Hi\n", name="a.md")
    tags = set()
    for query in ("", "?view=source", "?view=hex"):
        async with node.http.get(f"{created['url']}{query}", headers=BROWSER) as response:
            tags.add(response.headers["ETag"])
    assert len(tags) == 3


async def test_one_file_of_several_is_asked_for(node: Node) -> None:
    files = [{"name": "a.md", "content": "# A"}, {"name": "b.md", "content": "# B"}]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files}) as response:
        slug = (await response.json())["slug"]
    text = await page(node, f"/{slug}?view=source&file=2")
    assert 'id="f1-user-content-a"' in text
    assert 'id="f2-L1"' in text
    assert (await page(node, f"/{slug}?view=source")).count('class="line"') == 2


async def test_control_sequences_are_taken_out(node: Node) -> None:
    content = "\x1b[31mred\x1b[0m \x1b]0;title\x07plain\n" * 20_000
    for text in (content[:600], content):
        created = await node.paste(text, name="a.log")
        plain = ("red plain\n" * 20_000)[: text.count("\n") * 10].encode()
        status, body, headers = await raw(node, f"{created['raw_url']}?ansi=strip")
        assert (status, body[: len(plain)]) == (200, plain)
        assert b"\x1b[31m" not in body
        assert (await raw(node, created["raw_url"]))[1] == text.encode()
        tag = headers["ETag"]
        assert (await raw(node, f"{created['raw_url']}?ansi=strip", If_None_Match=tag))[0] in (200, 304)
        assert tag != (await raw(node, created["raw_url"]))[2]["ETag"]
        cut = await raw(node, f"{created['raw_url']}?ansi=strip&lines=2")
        assert cut[1] == b"red plain\n"


@pytest.mark.parametrize(
    ("content", "kind", "policy"),
    [
        (b"%PDF-1.7\0", "application/pdf", "default-src 'none'; object-src 'self'; sandbox allow-scripts;"),
        (b"ID3\x03\0\0", "audio/mpeg", "default-src 'none'; media-src 'self'; sandbox;"),
        (b"\x89PNG\r\n\x1a\n\0", "image/png", "default-src 'none'; sandbox;"),
    ],
)
async def test_what_browsers_play_is_in_a_sandbox(node: Node, content: bytes, kind: str, policy: str) -> None:
    created = await node.paste(content)
    _, _, headers = await raw(node, created["raw_url"])
    assert headers["Content-Type"] == kind
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith(policy)


async def test_files_of_an_archive(node: Node) -> None:
    files = {"dir/a.html": b"<script>alert(1)</script>", "b.bin": b"\0" * 2000, "empty": b""}
    created = await node.paste(tar(files), name="x.tar")
    text = await page(node, created["url"])
    assert f'href="/{created["slug"]}/raw/-/512"' in text
    url = f"{created['raw_url']}/-/512"
    status, body, headers = await raw(node, url)
    assert (status, body) == (200, files["dir/a.html"])
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Disposition"] == 'inline; filename="a.html"'
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox")
    assert (await raw(node, url, **{"If-None-Match": headers["ETag"]}))[0] == 304
    assert (await raw(node, f"{created['raw_url']}/-/1536"))[1] == files["b.bin"]
    for at in ("0", "513", "1024", "99999999", "999999999999999"):
        assert (await raw(node, f"{created['raw_url']}/-/{at}"))[0] == 404, at
    plain = await node.paste("text", name="x.tar")
    assert (await raw(node, f"{plain['raw_url']}/-/512"))[0] == 404


async def test_files_of_a_zip_archive(node: Node) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("dir/<b>.html", b"x" * 3000)
    text = await page(node, (await node.paste(written.getvalue(), name="x.zip"))["url"])
    assert "&lt;b&gt;.html" in text
    assert "2.9 KiB" in text
    assert "/raw/-/" not in text, "its files are packed one by one"
    for broken in (written.getvalue()[:-5], b"PK\x03\x04" + b"\0" * 99, b"PK\x05\x06" + b"\xff" * 18):
        created = await node.paste(broken, name="y.zip")
        assert "50 4b 0" in await page(node, created["url"])


async def test_bytes_in_pages(node: Node) -> None:
    created = await node.paste(b"\0" + b"x" * 9999)
    text = await page(node, created["url"])
    assert "00000ff0  78 78" in text
    assert "at=4096" in text
    assert "00002000  78 78" in await page(node, f"{created['url']}?view=hex&at=8192")
    assert "00002700  78 78" in await page(node, f"{created['url']}?view=hex&at=99999999")


# Too much


def _many_members() -> bytes:
    block = tar({"x" * 40: b""})[:512]
    return block * 100_000 + b"\0" * 1024


def _nested_markdown() -> dict[str, str]:
    return {
        "quotes": "> " * 50_000 + "x",
        "lists": "".join(" " * depth + "- x\n" for depth in range(1000)),
        "brackets": "[" * 100_000,
        "links": "[a](" * 50_000,
        "emphasis": "*a_ " * 50_000,
        "backticks": "".join("e" + "`" * count for count in range(1400)),
        "html": "<div>" * 100_000,
        "tables": "|" * 300_000 + "\n" + "|-" * 150_000 + "\n",
        "footnotes": "".join(f"[^{number}] " for number in range(20_000)) + "\n\n[^1]: x",
        "entities": "&" * 500_000,
        "references": "[x]: y\n" * 50_000,
        "fences": "```gherkin\n" + "\t\n" * 50_000 + "```",
        "autolinks": "http://" * 60_000,
        "comments": "<!-- " * 100_000,
        "images": "![" * 100_000,
        "headings": "# " + "x " * 200_000 + "\n" + "# x\n" * 50_000,
    }


PATHOLOGICAL: dict[str, tuple[str, str | bytes, str]] = {
    "a bomb for a lexer": ("x.feature", "\t\n" * 5_000, ""),
    "one long line": ("x.py", "x" * 1_000_000, ""),
    "one long line of colours": ("x.log", "\x1b[31mx\x1b[32my" * 80_000, ""),
    "a line written over itself": ("x.ansi", "\x1b[1K\rxxxxxxxx" * 60_000, ""),
    "one long line of Markdown": ("x.md", "x" * 1_000_000, ""),
    "one long line of CSV": ("x.csv", "x," * 500_000, ""),
    "a quotation that never ends": ("x.csv", '"' + "x\n" * 500_000, ""),
    "quotation marks": ("x.csv", '"' * 1_000_000, ""),
    "a long table": ("x.csv", "a,b,c,d\n" * 125_000, ""),
    "one long line of JSON": ("x.json", "[" + "1," * 499_999 + "1]", "?view=tree"),
    "deep JSON": ("x.json", "[" * 500_000 + "]" * 500_000, "?view=tree"),
    "deep JSON as source": ("x.json", "[" * 500_000 + "]" * 500_000, ""),
    "deep objects": ("x.json", '{"a":' * 150_000 + "1" + "}" * 150_000, "?view=tree"),
    "an open string": ("x.json", '"' + "\\" * 999_998, "?view=tree"),
    "an archive of 100,000 files": ("x.tar", _many_members(), ""),
    "a packed archive of nothing": ("x.tar.gz", gzip.compress(tar({"zeros": b"\0" * 200_000_000}), 9), ""),
    **{f"Markdown: {name}": ("x.md", text, "") for name, text in _nested_markdown().items()},
}


@pytest.fixture(scope="module")
async def hurried(session_database_dsn: str) -> AsyncIterator[Node]:
    """A node whose pages wait as long as those of any other."""
    section = RenderingSection()
    limits = {f"rendering__{name}": getattr(section, name) for name in ("page_seconds", "timeout_seconds")}
    async with directory() as path, started(session_database_dsn, path, **limits) as running:
        yield running


@pytest.mark.parametrize("case", PATHOLOGICAL)
async def test_nothing_is_too_much(hurried: Node, case: str) -> None:
    """There is a page, soon, and whoever asks for something else meanwhile gets that; see --durations for how soon."""
    node = hurried
    name, content, query = PATHOLOGICAL[case]
    created = await node.paste(content if isinstance(content, bytes) else content.encode(), name=name)
    other = await node.paste("hello\n", name="plain.txt")
    began = time.monotonic()
    shown = asyncio.create_task(page(node, f"{created['url']}{query}"))
    longest = 0.0
    while not shown.done():
        asked = time.monotonic()
        assert "hello" in await page(node, other["url"])
        longest = max(longest, time.monotonic() - asked)
        await asyncio.wait([shown], timeout=0.05)
    text = await shown
    print(f"{case}: {time.monotonic() - began:.2f} s, {len(text)} characters; others within {longest:.2f} s")
    assert name in text
