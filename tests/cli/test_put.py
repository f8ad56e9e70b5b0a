from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

SLUG = "h8Kq2ZtV0aB"


def created(request: web.Request, **members: Any) -> web.Response:
    url = f"http://{request.host}/{SLUG}"
    paste = {
        "slug": SLUG,
        "url": url,
        "raw_url": f"{url}/raw",
        "token": "the-owner-token",
        "created_at": "2026-11-22T10:00:00Z",
        "expires_at": None,
        "files": [],
    }
    return web.json_response(paste | members, status=201)


def problem(status: int, detail: str, **headers: str) -> web.Response:
    document = {"type": "/problems/some-word", "title": "Title", "status": status, "detail": detail, "errors": []}
    return web.Response(
        status=status, body=orjson.dumps(document), content_type="application/problem+json", headers=headers
    )


class Recorder:
    """A server that answers its requests one after the other as the test says, and remembers them."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer(request) if callable(answer) else answer

    def headers(self, name: str) -> set[str | None]:
        return {request.headers.get(name) for request in self.requests}


def busy(seconds: int = 0) -> Any:
    return lambda request: problem(503, "Too much to do.", **{"Retry-After": str(seconds)})


async def test_the_address_and_nothing_else_is_printed(client, start_server, tmp_path: Path) -> None:
    server = Recorder(created)
    url = await start_server(server)
    (tmp_path / "a b&c.py").write_bytes(b"content\r\n\0")
    ended = await client.run("put", tmp_path / "a b&c.py", "--title", "50% + ü", "--burn", "--server", url)
    assert (ended.code, ended.out, ended.err) == (0, f"{url}/{SLUG}\n".encode(), "")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/v1/pastes")
    assert dict(request.query) == {"title": "50% + ü", "burn": "true", "name": "a b&c.py"}
    assert request.content_type == "application/octet-stream"
    assert request.content_length == 10
    assert server.bodies == [b"content\r\n\0"]


async def test_other_forms_of_the_answer(client, start_server) -> None:
    url = await start_server(Recorder(created))
    ended = await client.run("put", "--raw", stdin=b"x", PASTEBIN_SERVER=url)
    assert ended.line == f"{url}/{SLUG}/raw"
    ended = await client.run("put", "--json", stdin=b"x", PASTEBIN_SERVER=url)
    assert orjson.loads(ended.out)["token"] == "the-owner-token"


async def test_a_busy_server_is_asked_again(client, start_server, tmp_path: Path) -> None:
    server = Recorder(busy(), busy(), created)
    (tmp_path / "a").write_bytes(b"content")
    ended = await client.run("put", tmp_path / "a", PASTEBIN_SERVER=await start_server(server))
    assert ended.code == 0
    assert server.bodies == [b"content"] * 3
    assert len(server.headers("Idempotency-Key")) == 1


async def test_a_server_that_stays_busy_is_given_up(client, start_server) -> None:
    server = Recorder(busy())
    ended = await client.run("put", stdin=b"short", PASTEBIN_SERVER=await start_server(server))
    assert (ended.code, ended.out, ended.err) == (1, b"", "pastebin: Too much to do.\n")
    assert server.bodies == [b"short"] * 4


async def test_nobody_waits_for_minutes(client, start_server) -> None:
    server = Recorder(busy(120))
    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER=await start_server(server))
    assert ended.code == 1
    assert ended.err.splitlines()[1] == "pastebin: try again in 120 s"
    assert len(server.requests) == 1


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(client, start_server) -> None:
    server = Recorder(None, created)
    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER=await start_server(server))
    assert ended.code == 0
    assert server.bodies == [b"x", b"x"]
    assert len(server.headers("Idempotency-Key")) == 1


async def test_a_long_stream_is_sent_once_only(client, start_server) -> None:
    """What was piped in is not kept; the key to repeat it with is told instead."""
    server = Recorder(None)
    content = os.urandom(3 * 1024**2)
    ended = await client.run(
        "put", "--idempotency-key", "k1", stdin=content, PASTEBIN_SERVER=await start_server(server)
    )
    assert (ended.code, ended.out) == (3, b"")
    assert server.bodies == [content]
    assert "--idempotency-key k1" in ended.err


async def test_a_refusal_before_the_end_of_the_body_is_shown(client, start_server, tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return problem(413, "A paste holds at most 5 bytes here.")

    with (tmp_path / "big").open("wb") as file:
        file.truncate(64 * 1024**2)
    ended = await client.run("put", tmp_path / "big", PASTEBIN_SERVER=await start_server(refuse))
    assert (ended.code, ended.err) == (1, "pastebin: A paste holds at most 5 bytes here.\n")


async def test_every_problem_is_a_line_that_cannot_steer_the_terminal(client, start_server) -> None:
    def refuse(request: web.Request) -> web.Response:
        document = {
            "detail": "The paste is not acceptable.\x1b[2J",
            "errors": [{"field": "title", "message": "is too long"}, {"field": "slug", "message": "is reserved"}],
        }
        return web.Response(status=422, body=orjson.dumps(document), content_type="application/problem+json")

    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER=await start_server(Recorder(refuse)))
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "pastebin: The paste is not acceptable.\N{REPLACEMENT CHARACTER}[2J",
        "pastebin: title: is too long",
        "pastebin: slug: is reserved",
    ]


async def test_a_page_instead_of_a_problem_is_told_by_its_status(client, start_server) -> None:
    answer = Recorder(lambda request: web.Response(status=502, text="<h1>Oops</h1>", content_type="text/html"))
    url = await start_server(answer)
    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER=url)
    assert (ended.code, ended.err) == (1, f"pastebin: {url} answered 502 Bad Gateway\n")


@pytest.mark.parametrize("answer", [{"url": 1}, {"url": "javascript:alert(1)"}, {"url": "http://a/\n"}, {"slug": None}])
async def test_another_kind_of_server_is_noticed(client, start_server, answer: dict[str, Any]) -> None:
    server = Recorder(lambda request: created(request, **answer))
    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER=await start_server(server))
    assert (ended.code, ended.out) == (1, b"")


async def test_content_does_not_follow_redirects(client, start_server) -> None:
    other = Recorder(created)
    elsewhere = await start_server(other)
    server = Recorder(lambda request: web.Response(status=307, headers={"Location": f"{elsewhere}/api/v1/pastes"}))
    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER=await start_server(server))
    assert ended.code == 1
    assert elsewhere in ended.err
    assert other.requests == []


async def test_a_password_travels_in_the_body_only(client, start_server, tmp_path: Path) -> None:
    server = Recorder(created)
    (tmp_path / "password").write_text("correct horse\nsecond line\n")
    (tmp_path / "a.txt").write_bytes(b"content")
    ended = await client.run(
        *("put", tmp_path / "a.txt", "--password-file", tmp_path / "password", "--title", "t"),
        PASTEBIN_SERVER=await start_server(server),
    )
    assert ended.code == 0
    (request,) = server.requests
    assert request.query_string == ""
    assert "correct horse" not in str(request.headers)
    assert b'name="password"\r\n\r\ncorrect horse\r\n' in server.bodies[0]
    assert b'name="title"\r\n\r\nt\r\n' in server.bodies[0]
    assert b'name="file"; filename="a.txt"' in server.bodies[0]
    assert request.content_length == len(server.bodies[0])


async def test_a_password_is_asked_for_on_the_terminal(client, start_server) -> None:
    """Twice, without echo, while the content comes from standard input."""
    server = Recorder(created)
    master, slave = os.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pastebin", "put", "--password"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=client.environment(PASTEBIN_SERVER=await start_server(server)),
        preexec_fn=take_terminal,
        pass_fds=[slave],
    )
    os.close(slave)
    try:
        shown = b""
        for prompt in (b"Password: ", b"Password again: "):
            while prompt not in shown:
                shown += await asyncio.wait_for(asyncio.to_thread(os.read, master, 1024), 90)
            os.write(master, b"correct horse\n")
        _, err = await asyncio.wait_for(process.communicate(b"content"), 90)
    finally:
        os.close(master)
    assert (process.returncode, err) == (0, b"")
    assert b"correct horse" not in shown
    assert b"correct horse" in server.bodies[0]


async def test_a_token_that_cannot_be_kept_is_known_before_anything_is_sent(client, start_server) -> None:
    server = Recorder(created)
    url = await start_server(server)
    client.ledger.parent.mkdir(parents=True)
    client.ledger.write_text("damaged\n")
    ended = await client.run("put", stdin=b"x", PASTEBIN_SERVER=url)
    assert (ended.code, ended.out) == (4, b"")
    assert "line 1 is damaged" in ended.err
    assert server.requests == []
    assert client.ledger.read_text() == "damaged\n"
    ended = await client.run("put", "--forget", stdin=b"x", PASTEBIN_SERVER=url)
    assert ended.code == 0
    assert client.ledger.read_text() == "damaged\n"


async def test_files_that_cannot_be_read_stop_everything(client, start_server, tmp_path: Path) -> None:
    server = Recorder(created)
    url = await start_server(server)
    (tmp_path / "good").write_bytes(b"x")
    for name in ("missing", "."):
        ended = await client.run("put", tmp_path / "good", tmp_path / name, PASTEBIN_SERVER=url)
        assert (ended.code, ended.out) == (4, b"")
        assert str(tmp_path / name) in ended.err
    assert server.requests == []


async def test_files_without_a_size_are_sent_whole(client, start_server) -> None:
    server = Recorder(created)
    ended = await client.run("put", "/proc/version", PASTEBIN_SERVER=await start_server(server))
    assert ended.code == 0
    assert server.bodies == [Path("/proc/version").read_bytes()]


async def test_interrupting_is_quiet(client) -> None:
    process = await client.start("put")
    try:
        assert process.stdin is not None
        process.stdin.write(b"x")
        pipe = process.stdin.transport.get_extra_info("pipe")
        while _unread(pipe.fileno()):  # noqa: ASYNC110  (no event tells when the client waits)
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out, err) == (130, b"", b"")


def _unread(pipe: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0])
