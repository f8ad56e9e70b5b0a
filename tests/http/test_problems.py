"""Errors as RFC 9457 problem documents: what a table says, and what a client sees."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pastebin import errors
from pastebin.errors import InvalidPaste, PastebinError, PasteNotFound, PasteTooLarge, Problem
from pastebin.http import problems
from pastebin.http.problems import Document
from pastebin.http.views import ProblemView
from tests.http.doors import Door, behind, of_doors

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def raised(kind: type[PastebinError]) -> PastebinError:
    return kind([Problem("title", "is too long")]) if issubclass(kind, InvalidPaste) else kind()


def members(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.as_json())
    return found


@pytest.mark.parametrize("kind", problems.TABLE, ids=lambda kind: kind.__name__)
def test_every_word_becomes_a_document(kind: type[PastebinError]) -> None:
    row = problems.TABLE[kind]
    found = members(problems.describe(raised(kind), "the-request-id"))
    assert found["type"] == f"/problems/{row.slug}"
    assert (found["title"], found["status"], found["request_id"]) == (row.title, row.status, "the-request-id")
    assert found["detail"]
    msgspec.convert(found, ProblemView)


def test_a_word_without_a_row_looks_like_the_nearest_that_has_one() -> None:
    class Odd(errors.DatabaseUnavailable):
        """Nobody entered this into the table."""

    assert problems.row_of(Odd()) == problems.TABLE[errors.DatabaseUnavailable]
    assert members(problems.describe(Odd(), "-"))["detail"] == "Nobody entered this into the table."


def test_headers_that_belong_to_a_status() -> None:
    def headers(error: PastebinError) -> dict[str, str] | None:
        return problems.describe(error, "-").headers

    assert headers(errors.Overloaded(retry_after_seconds=7)) == {"Retry-After": "7"}
    assert headers(errors.BlobMissing()) == {"Retry-After": "2"}
    assert headers(errors.TokenRequired()) == {"WWW-Authenticate": 'Bearer realm="owner token"'}
    assert headers(errors.RangeUnsatisfiable(size=5)) == {"Content-Range": "bytes */5"}
    assert headers(PasteNotFound()) == {}


def test_extensions_and_errors_are_members() -> None:
    assert members(problems.describe(PasteTooLarge(max_bytes=5), "-"))["max_bytes"] == 5
    found = members(problems.describe(InvalidPaste([Problem("a", "one"), Problem("b[0]", "two")]), "-"))
    assert found["errors"] == [{"field": "a", "message": "one"}, {"field": "b[0]", "message": "two"}]
    assert found["detail"] == "a: one; b[0]: two"
    assert "errors" not in members(problems.describe(PasteNotFound(), "-"))


@given(st.lists(st.builds(Problem, st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=9), st.text())
def test_whatever_a_user_typed_is_json_in_the_end(found: list[Problem], detail: str) -> None:
    assert len(members(problems.describe(InvalidPaste(found), "-"))["errors"]) == len(found)
    assert members(problems.describe(PasteNotFound(detail), "-"))["title"] == "Paste not found"


class Raising:
    """Handlers that fail in every way."""

    def __init__(self) -> None:
        self.error: BaseException = PasteNotFound()

    async def fail(self, _request: web.Request) -> web.Response:
        raise self.error

    async def read_none(self, _request: web.Request) -> web.Response:
        raise PasteTooLarge(max_bytes=5)

    async def fine(self, request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("X-Request-Id", ""))

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/fail/{slug}", self.fail),
            web.get("/api/fail/{slug}", self.fail),
            web.post("/upload", self.read_none),
            web.get("/fine", self.fine),
        ]


async def get(door: Door, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    async with door.http.request(method, door.url + path, headers=given, allow_redirects=False) as response:
        return response.status, await response.read(), response.headers.copy()


async def test_json_for_programs_and_a_page_for_people() -> None:
    raising = Raising()
    async with behind(raising.routes()) as door:
        status, body, headers = await get(door, "/fail/x")
        assert (status, headers["Content-Type"]) == (404, "application/problem+json")
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        assert json.loads(body)["title"] == "Paste not found"
        status, body, headers = await get(door, "/fail/x", **HTML)
        assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert (headers["Cache-Control"], headers["Vary"]) == ("no-store", "Accept, Cookie")
        assert body == b"<h1>Paste not found</h1>"
        status, _, headers = await get(door, "/api/fail/x", **HTML)
        assert (status, headers["Content-Type"]) == (404, "application/problem+json"), "under /api there are no people"


async def test_what_nobody_foresaw_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    raising = Raising()
    raising.error = RuntimeError("secret password")
    async with behind(raising.routes()) as door:
        status, body, headers = await get(door, "/fail/some-slug")
    assert status == 500
    assert json.loads(body)["type"] == "/problems/internal-error"
    assert b"secret" not in body
    assert b"Traceback" not in body
    (record,) = [record for record in of_doors(caplog) if record.exc_info]
    assert "secret password" in caplog.text
    assert record.getMessage() == "unforeseen error in GET /fail/{slug}"
    assert headers["X-Request-Id"] in body.decode()


async def test_what_aiohttp_refuses_keeps_its_headers() -> None:
    raising = Raising()
    async with behind(raising.routes()) as door:
        status, body, headers = await get(door, "/fine", "DELETE")
        found = json.loads(body)
        assert (status, headers["Allow"], headers["Content-Type"]) == (405, "GET,HEAD", "application/problem+json")
        assert (found["type"], found["title"], found["status"]) == ("about:blank", "Method Not Allowed", 405)
        assert (await get(door, "/nowhere"))[0] == 404
        raising.error = web.HTTPSeeOther("/fine")
        status, _, headers = await get(door, "/fail/x")
        assert (status, headers["Location"]) == (303, "/fine")


async def test_a_refused_upload_closes_the_connection_and_a_small_refusal_does_not() -> None:
    async with behind(Raising().routes()) as door:
        upload = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 100
        async with door.connected(upload) as (reader, _):
            answer = await reader.readuntil(b'"max_bytes":5}')
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in answer
        two = b"GET /fail/x HTTP/1.1\r\nHost: x\r\n\r\nGET /fine HTTP/1.1\r\nHost: x\r\n\r\n"
        async with door.connected(two) as (reader, _):
            await reader.readuntil(b"HTTP/1.1 404 ")
            await reader.readuntil(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        ("a-client's-own", False),
        ("0123456789abcdef", True),
        ("x" * 65, False),
        ("short", False),
        ("tab\tinside", False),
    ],
)
async def test_a_request_id_is_the_client_s_if_it_is_harmless(given_id: str, kept: bool) -> None:
    async with behind(Raising().routes()) as door:
        for path in ("/fine", "/fail/x"):
            _, _, headers = await get(door, path, X_Request_Id=given_id)
            assert (headers["X-Request-Id"] == given_id) == kept
            assert len(headers["X-Request-Id"]) >= 8


async def test_figures_know_patterns_and_never_paths() -> None:
    async with behind(Raising().routes()) as door:
        for path in ("/fail/some-slug", "/fine", "/nowhere/at/all"):
            await get(door, path)
        async with door.http.request("PROPFIND", f"{door.url}/fine") as response:
            assert response.status == 405
        text = door.metrics.expose().decode()
    assert 'door="origin",method="GET",route="/fail/{slug}",status="404"' in text
    assert 'method="GET",route="unknown",status="404"' in text
    assert 'method="other"' in text
    assert "some-slug" not in text
    assert "PROPFIND" not in text
    assert 'pastebin_http_requests_in_flight{door="origin"} 0.0' in text
