from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web

SLUG = "h8Kq2ZtV0aB"
CONTENT = os.urandom(3 * 1024**2)
CUT = 1024**2


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def metadata(*files: tuple[str | None, bytes], sha256: str | None = None) -> web.Response:
    shown = [
        {
            "name": name,
            "size": len(content),
            "sha256": sha256 or digest(content),
            "raw_url": f"https://public.example/{SLUG}/raw/{name}",
        }
        for name, content in files
    ]
    return web.json_response({"slug": SLUG, "protection": "none", "files": shown})


class Server:
    """Metadata, and bytes that stop in the middle of the first answer."""

    def __init__(self, *, second: bytes = CONTENT, sha256: str | None = None, cuts: bool = True) -> None:
        self.second = second
        self.sha256 = sha256
        self.cuts = cuts
        self.raw: list[web.Request] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/api/"):
            return metadata(("a.bin", CONTENT), sha256=self.sha256)
        self.raw.append(request)
        if self.cuts and len(self.raw) == 1:
            return await self._cut(request)
        etag = f'"{digest(self.second)}"'
        if request.headers.get("If-Range") == etag:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            size = len(self.second)
            headers = {"ETag": etag, "Content-Range": f"bytes {start}-{size - 1}/{size}"}
            return web.Response(status=206, body=self.second[start:], headers=headers)
        return web.Response(body=self.second, headers={} if self.sha256 else {"ETag": etag})

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        headers = {"ETag": f'"{digest(CONTENT)}"', "Content-Length": str(len(CONTENT))}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(CONTENT[:CUT])
        assert request.transport is not None
        request.transport.close()  # after what is buffered
        return response


@pytest.mark.parametrize("output", ["file", "-"])
async def test_a_broken_download_goes_on_where_it_broke(client, start_server, tmp_path: Path, output: str) -> None:
    server = Server()
    target = tmp_path / "out" if output == "file" else "-"
    ended = await client.run("get", f"{await start_server(server)}/{SLUG}", "-o", target)
    assert ended.code == 0
    assert (target.read_bytes() if isinstance(target, Path) else ended.out) == CONTENT
    assert [request.headers.get("Range") for request in server.raw] == [None, f"bytes={CUT}-"]
    assert server.raw[1].headers["If-Range"] == f'"{digest(CONTENT)}"'
    assert f"going on after {CUT} bytes" in ended.err


async def test_a_paste_that_changed_meanwhile_starts_anew(client, start_server, tmp_path: Path) -> None:
    server = Server(second=b"another revision")
    ended = await client.run("get", f"{await start_server(server)}/{SLUG}", "-o", tmp_path / "out")
    assert ended.code == 0
    assert (tmp_path / "out").read_bytes() == b"another revision"


async def test_a_paste_that_changed_meanwhile_cannot_be_unwritten(client, start_server) -> None:
    server = Server(second=b"another revision")
    ended = await client.run("get", f"{await start_server(server)}/{SLUG}")
    assert ended.code == 3
    assert ended.out == CONTENT[:CUT]
    assert "changed while it was downloaded" in ended.err


async def test_damaged_content_never_gets_its_name(client, start_server, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before")
    server = Server(cuts=False, sha256="0" * 64)
    ended = await client.run("get", f"{await start_server(server)}/{SLUG}", "-o", tmp_path / "out")
    assert ended.code == 3
    assert "SHA-256" in ended.err
    assert (tmp_path / "out").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]


async def test_a_reader_that_goes_away_ends_it_quietly(client, start_server) -> None:
    process = await client.start("get", f"{await start_server(Server(cuts=False))}/{SLUG}")
    try:
        assert process.stdout is not None
        await process.stdout.readexactly(10)
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        assert process.stderr is not None
        err = await asyncio.wait_for(process.stderr.read(), 90)
        code = await asyncio.wait_for(process.wait(), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (code, err) == (141, b"")


async def test_several_files_are_chosen_by_name_or_all_written(client, start_server, tmp_path: Path) -> None:
    contents = {"a b.txt": b"first", "../../b.txt": b"second"}

    url = f"{await start_server(serve_quoted(contents))}/{SLUG}"
    ended = await client.run("get", url)
    assert (ended.code, ended.out) == (2, b"")
    assert "a b.txt, ../../b.txt" in ended.err
    ended = await client.run("get", url, "--name", "a b.txt")
    assert (ended.code, ended.out) == (0, b"first")
    ended = await client.run("get", url, "--name", "c.txt")
    assert (ended.code, ended.out) == (1, b"")
    (tmp_path / "all").mkdir()
    ended = await client.run("get", url, "-o", tmp_path / "all")
    assert ended.code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == {
        "a b.txt": b"first",
        "_.._.._b.txt": b"second",
    }


def serve_quoted(contents: dict[str, bytes]) -> Any:
    async def serve(request: web.Request) -> web.Response:
        if request.path.startswith("/api/"):
            files = [
                {"name": name, "raw_url": f"https://public.example/{SLUG}/raw/{quote(name, safe='')}"}
                for name in contents
            ]
            return web.json_response({"files": files})
        return web.Response(body=contents[request.path.partition("/raw/")[2]])

    return serve


class Protected:
    """A paste that takes a reveal; its answer is what the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.reveals: list[Any] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            self.reveals.append(orjson.loads(await request.read()))
            return await self.answer(request)
        document = {"type": "/problems/reveal-required", "title": "Protected paste", "detail": "It is protected."}
        return web.Response(status=403, body=orjson.dumps(document), content_type="application/problem+json")


async def test_a_protected_paste_is_read_only_on_request(client, start_server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept"].startswith("application/octet-stream")
        return web.Response(body=b"secret", content_type="application/octet-stream")

    server = Protected(answer)
    url = f"{await start_server(server)}/{SLUG}"
    ended = await client.run("get", url)
    assert (ended.code, ended.out) == (1, b"")
    assert ended.err.splitlines()[0] == "pastebin: It is protected."
    assert "--reveal" in ended.err
    assert server.reveals == []
    (tmp_path / "password").write_text("correct horse\n")
    ended = await client.run("get", url, "--reveal", "--password-file", tmp_path / "password")
    assert (ended.code, ended.out, ended.err) == (0, b"secret", "")
    assert server.reveals == [{"password": "correct horse"}]


async def test_a_broken_reveal_is_not_repeated_and_keeps_what_came(client, start_server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half of it")
        assert request.transport is not None
        request.transport.close()
        return response

    server = Protected(answer)
    (tmp_path / "out").mkdir()
    ended = await client.run("get", f"{await start_server(server)}/{SLUG}", "--reveal", "-o", tmp_path / "out" / "x")
    assert ended.code == 3
    assert "has been used up" in ended.err
    assert len(server.reveals) == 1
    (kept,) = (tmp_path / "out").iterdir()
    assert kept.name != "x"
    assert kept.read_bytes() == b"half of it"
    assert str(kept) in ended.err


async def test_nothing_is_revealed_without_a_place_for_it(client, start_server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"secret", content_type="application/octet-stream")

    server = Protected(answer)
    url = f"{await start_server(server)}/{SLUG}"
    (tmp_path / SLUG).write_bytes(b"mine")
    for place in (tmp_path / "missing" / "out", tmp_path):
        ended = await client.run("get", url, "--reveal", "-o", place)
        assert (ended.code, ended.out) == (4, b"")
    assert server.reveals == []
    assert (tmp_path / SLUG).read_bytes() == b"mine"


async def test_several_revealed_files_are_never_lost(client, start_server, tmp_path: Path) -> None:
    document = {
        "files": [
            {"name": "a.txt", "content": "ä", "encoding": "utf-8"},
            {"name": "b.bin", "content": "AAE=", "encoding": "base64"},
        ]
    }

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(document)

    url = f"{await start_server(Protected(answer))}/{SLUG}"
    (tmp_path / "all").mkdir()
    ended = await client.run("get", url, "--reveal", "-o", tmp_path / "all")
    assert ended.code == 0
    assert (tmp_path / "all" / "a.txt").read_bytes() == "ä".encode()
    assert (tmp_path / "all" / "b.bin").read_bytes() == b"\0\1"
    ended = await client.run("get", url, "--reveal", "--name", "b.bin")
    assert (ended.code, ended.out) == (0, b"\0\1")
    ended = await client.run("get", url, "--reveal", "-o", tmp_path / "all")  # where they stand already
    assert (ended.code, orjson.loads(ended.out)) == (4, document)
    ended = await client.run("get", url, "--reveal")
    assert (ended.code, orjson.loads(ended.out)) == (0, document)
    assert "JSON" in ended.err


async def test_what_comes_under_a_wrong_name_takes_no_place_of_another(client, start_server, tmp_path: Path) -> None:
    files = [{"name": name, "content": name} for name in ("a.txt", "b.txt")]

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"files": files})

    server = Protected(answer)
    get = ("get", f"{await start_server(server)}/{SLUG}", "--reveal", "--name", "missing")
    ended = await client.run(*get)
    assert (ended.code, orjson.loads(ended.out)) == (1, {"files": files})
    assert "no file missing; it has: a.txt, b.txt" in ended.err
    place = tmp_path / "out"
    place.mkdir()
    (place / "x").write_bytes(b"mine")
    ended = await client.run(*get, "-o", place / "x")
    assert (ended.code, ended.out, (place / "x").read_bytes()) == (1, b"", b"mine")
    (kept,) = place.glob("x.*")
    assert str(kept) in ended.err
    assert orjson.loads(kept.read_bytes()) == {"files": files}
    ended = await client.run(*get, "-o", place)
    assert (ended.code, ended.out) == (1, b"")
    assert [(place / name).read_bytes() for name in ("a.txt", "b.txt")] == [b"a.txt", b"b.txt"]
    assert len(server.reveals) == 3


async def test_an_endless_document_is_not_taken_whole(client, start_server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 1024**2)
        return response

    ended = await client.run("get", f"{await start_server(Protected(answer))}/{SLUG}", "--reveal", "-o", tmp_path / "x")
    assert ended.code == 3
    assert "longer than that of a paste can be" in ended.err
    assert "has been used up; what arrived is in" in ended.err
    (kept,) = tmp_path.glob("x.incomplete-*")
    assert 32 * 1024**2 < kept.stat().st_size < 40 * 1024**2


async def test_a_broken_document_is_kept_as_far_as_it_came(client, start_server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"files": [')
        assert request.transport is not None
        request.transport.close()
        return response

    ended = await client.run("get", f"{await start_server(Protected(answer))}/{SLUG}", "--reveal")
    assert (ended.code, ended.out) == (3, b'{"files": [')
    assert "has been used up" in ended.err


@pytest.mark.parametrize("raw_url", ["@127.0.0.1:1/x", "////127.0.0.1:1/x", ":1/x", "x", "", "http://[", "?name=a"])
async def test_no_address_of_a_file_leads_to_another_host(client, start_server, tmp_path: Path, raw_url: str) -> None:
    async def serve(request: web.Request) -> web.Response:
        files = [{"name": name, "raw_url": raw_url} for name in ("a", "b")]
        return web.json_response({"files": files})

    ended = await client.run("get", f"{await start_server(serve)}/{SLUG}", "--name", "a")
    assert (ended.code, ended.out) == (1, b"")
    assert "cannot be understood" in ended.err
