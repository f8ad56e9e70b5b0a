"""The client against a real node."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

LARGE = os.urandom(5 * 1024**2 + 17)


def slug_of(url: str) -> str:
    return urlsplit(url).path[1:]


@pytest.mark.parametrize("content", [b"hello\n", b"\0\xff\r\n", "grüße\n".encode(), LARGE], ids=len)
async def test_what_is_put_comes_back(client, node_url: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    by_file = (await client.run("put", tmp_path / "a.bin", PASTEBIN_SERVER=node_url)).line
    by_pipe = (await client.run("put", stdin=content, PASTEBIN_SERVER=node_url)).line
    assert by_file != by_pipe
    assert (await client.run("get", by_file)).out == content
    assert (await client.run("get", slug_of(by_pipe), PASTEBIN_SERVER=node_url)).out == content
    got = await client.run("get", by_file, "-o", tmp_path / "out")
    assert (got.code, got.out, got.err) == (0, b"", "")
    assert (tmp_path / "out").read_bytes() == content
    (tmp_path / "directory").mkdir()
    await client.run("get", by_file, "-o", tmp_path / "directory")
    assert (tmp_path / "directory" / "a.bin").read_bytes() == content


async def test_standard_input_from_a_file_begins_where_it_stands(client, node_url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\nsecond\n")
    with path.open("rb") as file:
        os.lseek(file.fileno(), 6, os.SEEK_SET)
        process = await client.start("put", "-", stdin=file.fileno(), PASTEBIN_SERVER=node_url)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (await client.run("get", out.decode().strip())).out == b"second\n"


async def test_options_reach_the_paste(client, node_url: str) -> None:
    put = await client.run(
        *("put", "--json", "--title", "50% & ü", "--name", "x.py", "--syntax", "python", "--visibility", "public"),
        *("--expires-in", "2h"),
        stdin=b"print()\n",
        PASTEBIN_SERVER=node_url,
    )
    assert put.code == 0, put.err
    paste = orjson.loads(put.out)
    assert (paste["title"], paste["visibility"]) == ("50% & ü", "public")
    assert (paste["files"][0]["name"], paste["files"][0]["syntax"]) == ("x.py", "python")
    assert paste["files"][0]["sha256"] == hashlib.sha256(b"print()\n").hexdigest()
    expires = datetime.fromisoformat(paste["expires_at"])
    assert 7000 < (expires - datetime.now(UTC)).total_seconds() < 7300
    child = await client.run(
        *("put", "--json", "--parent", paste["slug"], "--slug", f"{paste['slug']}-child"),
        *("--expires-at", "2099-01-31T12:00:00Z"),
        stdin=b"x",
        PASTEBIN_SERVER=node_url,
    )
    assert child.code == 0, child.err
    assert orjson.loads(child.out)["slug"] == f"{paste['slug']}-child"
    assert orjson.loads(child.out)["expires_at"] == "2099-01-31T12:00:00Z"


async def test_several_files_are_one_paste(client, node_url: str, tmp_path: Path) -> None:
    contents = {"a.py": b"print()\n", "b c.bin": LARGE, "ü.txt": "grüße".encode(), 'd"e.txt': b"quoted"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    put = await client.run(
        *("put", "--title", "several", *(tmp_path / name for name in contents)), PASTEBIN_SERVER=node_url
    )
    assert put.code == 0, put.err
    for name, content in contents.items():
        assert (await client.run("get", put.line, "--name", name)).out == content
    (tmp_path / "all").mkdir()
    assert (await client.run("get", put.line, "-o", tmp_path / "all")).code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == contents


async def test_files_of_one_name_are_told_apart_by_their_directories(client, node_url: str, tmp_path: Path) -> None:
    for directory in ("one", "two"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "a.txt").write_bytes(directory.encode())
    put = await client.run(
        *("put", tmp_path / "one" / "a.txt", tmp_path / "two" / "a.txt", "-"), stdin=b"piped", PASTEBIN_SERVER=node_url
    )
    assert put.code == 0, put.err
    for name, content in (("one/a.txt", b"one"), ("two/a.txt", b"two"), ("stdin", b"piped")):
        assert (await client.run("get", put.line, "--name", name)).out == content
    (tmp_path / "all").mkdir()
    assert (await client.run("get", put.line, "-o", tmp_path / "all")).code == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"one_a.txt", "two_a.txt", "stdin"}


async def test_lines_alone(client, node_url: str) -> None:
    put = await client.run(
        "put", stdin=b"".join(b"%d\n" % number for number in range(1, 100)), PASTEBIN_SERVER=node_url
    )
    got = await client.run("get", put.line, "--lines", "10-12")
    assert (got.code, got.out) == (0, b"10\n11\n12\n")


async def test_what_looks_like_a_secret_is_refused_where_that_is_asked_for(client, node_url: str) -> None:
    content = b"token ghp" + b"_" + b"d" * 36
    refused = await client.run("put", "--reject-secrets", stdin=content, PASTEBIN_SERVER=node_url)
    assert (refused.code, refused.out) == (1, b"")
    assert "token" in refused.err
    assert (await client.run("put", stdin=content, PASTEBIN_SERVER=node_url)).code == 0


@pytest.mark.parametrize("content", [b"secret", LARGE], ids=len)
async def test_a_burned_paste_is_read_once_and_only_on_request(client, node_url: str, content: bytes) -> None:
    put = await client.run("put", "--burn", stdin=content, PASTEBIN_SERVER=node_url)
    refused = await client.run("get", put.line)
    assert (refused.code, refused.out) == (1, b"")
    assert "--reveal" in refused.err
    got = await client.run("get", put.line, "--reveal")
    assert (got.code, got.out) == (0, content)
    assert (await client.run("get", put.line, "--reveal")).code == 1


@pytest.mark.parametrize("names", [("a.txt",), ("a.txt", "b.txt")])
async def test_a_password_opens(client, node_url: str, tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "right").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("battery staple\n")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    paths = [tmp_path / name for name in names]
    put = await client.run("put", "--password-file", tmp_path / "right", *paths, PASTEBIN_SERVER=node_url)
    assert put.code == 0, put.err
    (tmp_path / "all").mkdir()
    get = ("get", put.line, "-o", tmp_path / "all")
    for arguments in ((), ("--reveal",), ("--reveal", "--password-file", tmp_path / "wrong")):
        refused = await client.run(*get, *arguments)
        assert (refused.code, refused.out) == (1, b""), arguments
        assert list((tmp_path / "all").iterdir()) == []
    got = await client.run(*get, "--reveal", "--password-file", tmp_path / "right")
    assert got.code == 0, got.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == {
        name: name.encode() for name in names
    }


async def test_no_reading_is_used_up_before_it_is_known_where_to_write(client, node_url: str, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(name.encode())
    put = await client.run("put", "--burn", tmp_path / "a.txt", tmp_path / "b.txt", PASTEBIN_SERVER=node_url)
    refused = await client.run("get", put.line, "--reveal")
    assert (refused.code, "unnamed" in refused.err) == (2, False)
    got = await client.run("get", put.line, "--reveal", "--name", "b.txt")
    assert (got.code, got.out) == (0, b"b.txt")


async def test_what_was_revealed_under_a_wrong_name_is_not_lost(client, node_url: str, tmp_path: Path) -> None:
    """Nobody but the owner is told what a protected paste calls its files before it is revealed."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(name.encode())
    put = await client.run("put", "--burn", tmp_path / "a.txt", tmp_path / "b.txt", PASTEBIN_SERVER=node_url)
    got = await client.run("get", put.line, "--reveal", "--name", "c.txt")
    assert (got.code, b'"content":"a.txt"' in got.out) == (1, True)
    assert "it has: a.txt, b.txt" in got.err


async def test_a_private_paste_opens_with_the_kept_token_only(client, node_url: str) -> None:
    put = await client.run("put", "--visibility", "private", stdin=b"mine", PASTEBIN_SERVER=node_url)
    assert (await client.run("get", put.line)).out == b"mine"
    client.ledger.unlink()
    stranger = await client.run("get", put.line)
    assert (stranger.code, stranger.out) == (1, b"")


async def test_the_list_knows_what_was_made_here_until_it_is_removed(client, node_url: str) -> None:
    puts = await asyncio.gather(
        *(client.run("put", "--title", f"t{n}", stdin=b"x", PASTEBIN_SERVER=node_url) for n in range(3))
    )
    made = {put.line for put in puts}
    listed = orjson.loads((await client.run("ls", "--json")).out)
    assert {paste["url"] for paste in listed} == made
    assert {paste["title"] for paste in listed} == {"t0", "t1", "t2"}
    gone, *rest = made
    removed = await client.run("rm", gone)
    assert (removed.code, removed.out, removed.err) == (0, b"", "")
    assert (await client.run("get", gone)).code == 1
    shown = (await client.run("ls")).out.decode()
    assert gone not in shown
    assert all(url in shown for url in rest)
    assert (await client.run("rm", *map(slug_of, rest), PASTEBIN_SERVER=node_url)).code == 0
    assert (await client.run("ls")).out == b""


async def test_a_key_makes_one_paste(client, node_url: str) -> None:
    arguments = ("put", "--idempotency-key", os.urandom(8).hex())
    first = await client.run(*arguments, stdin=b"x", PASTEBIN_SERVER=node_url)
    again = await client.run(*arguments, stdin=b"x", PASTEBIN_SERVER=node_url)
    assert first.line == again.line
    other = await client.run(*arguments, stdin=b"y", PASTEBIN_SERVER=node_url)
    assert other.code == 1
    assert len(orjson.loads((await client.run("ls", "--json")).out)) == 1


async def test_what_the_server_refuses_is_said(client, node_url: str) -> None:
    refused = await client.run(
        *("put", "--syntax", "no-such", "--max-reads", "-1", "--slug", "a"), stdin=b"x", PASTEBIN_SERVER=node_url
    )
    assert (refused.code, refused.out) == (1, b"")
    for field in ("syntax", "max_reads", "slug"):
        assert field in refused.err
    missing = await client.run("get", f"{node_url}/nosuchpaste")
    assert (missing.code, missing.out) == (1, b"")
    assert missing.err.startswith("pastebin: There is no such paste")
