from __future__ import annotations

import hashlib

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cli import download
from pastebin.cli.download import Download, Part, expected_digest, range_start, strong_etag
from pastebin.cli.failures import AnswerLost
from pastebin.cli.progress import show_progress
from pastebin.cli.session import open_session
from pastebin.cli.sinks import open_sink

SHA = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    ("header", "tag"),
    [('"abc"', '"abc"'), ('W/"abc"', None), ("abc", None), ('""', None), ('"', None), ("", None), (None, None)],
)
def test_only_strong_tags_name_exact_bytes(header: str | None, tag: str | None) -> None:
    assert strong_etag(header) == tag


def test_the_tag_that_came_with_the_content_wins_over_metadata() -> None:
    other = hashlib.sha256(b"y").hexdigest()
    assert expected_digest(f'"{SHA}"', other) == SHA
    assert expected_digest('"abc-gzip"', SHA.upper()) == SHA
    assert expected_digest(None, "…") is None


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_content_ranges(start: int, length: int) -> None:
    assert range_start(f"bytes {start}-{start + length}/{start + length + 1}") == start
    assert range_start(f"bytes {start}-{start + length}/*") == start
    assert range_start(f"lines {start}-{start + length}/*") is None


@given(st.none() | st.text())
def test_any_header_is_understood_or_not(header: str | None) -> None:
    assert range_start(header) is None or (header or "").startswith("bytes ")
    strong_etag(header)


async def test_a_connection_that_always_breaks_is_given_up(
    start_server, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_FIRST_WAIT_SECONDS", 0)
    asked = []

    async def cut(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range"))
        response = web.StreamResponse(headers={"ETag": '"same"', "Content-Length": "100"})
        if "Range" in request.headers:
            response.set_status(206)
            response.headers["Content-Range"] = "bytes 10-99/100"
            response.headers["Content-Length"] = "90"
        await response.prepare(request)
        if "Range" not in request.headers:
            await response.write(b"0123456789")
        assert request.transport is not None
        request.transport.abort() if "Range" in request.headers else request.transport.close()
        return response

    async with open_session(await start_server(cut)) as session:
        with open_sink(str(tmp_path / "out"), "") as sink, show_progress(0) as progress, pytest.raises(AnswerLost):
            await Download(session, Part(path="/abc/raw"), sink, progress).run()
    assert asked[0] is None
    assert set(asked[1:]) == {"bytes=10-"}
    assert list(tmp_path.iterdir()) == []
