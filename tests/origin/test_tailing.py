"""Bytes as events: no character is lost between two of them, whatever the pieces are."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from itertools import pairwise

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import PasteNotFound, Unavailable
from pastebin.http.targets import READ, is_patient
from pastebin.origin.tailing import events, spoken


async def told(pieces: list[bytes], error: Exception | None = None) -> list[bytes]:
    async def given() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece
        if error is not None:
            raise error

    return [event async for event in events(given(), 0)]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.lists(st.integers(0, 80), max_size=8))
async def test_text_survives_any_cut(text: str, cuts: list[int]) -> None:
    content = text.encode()
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces = [content[start:stop] for start, stop in pairwise(places)]
    got = ""
    for event in (sent := await told(pieces)):
        if found := re.fullmatch(rb"id: (\d+)\ndata: (.*)\n\n", event):
            got += orjson.loads(found[2])
            assert content[: int(found[1])] == got.encode()  # where it goes on after this event
    assert got == text
    assert sent[-1] == b"event: over\ndata: {}\n\n"


async def test_how_it_ends_is_said() -> None:
    assert (await told([b"x", b""]))[1:] == [b'id: 1\ndata: "x"\n\n', b": \n\n", b"event: over\ndata: {}\n\n"]
    assert (await told([b"x"], PasteNotFound()))[-1] == b"event: gone\ndata: {}\n\n"
    assert (await told([b"x"], Unavailable()))[-1] == b'id: 1\ndata: "x"\n\n'  # there is more, from another node
    assert (await told([b"\xff\xc3"]))[1:3] == [
        'id: 1\ndata: "\ufffd"\n\n'.encode(),
        'id: 2\ndata: "\ufffd"\n\n'.encode(),
    ]


def test_what_steers_a_terminal_is_left_out() -> None:
    assert spoken("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b(B\x00\x7f\tend\r\n10%\r20%") == (
        "red link\tend\n10%\n20%"
    )


def test_targets_that_take_their_time() -> None:
    assert all(map(is_patient, ("/live", "/live/", "/live?x=1", "/live/a.log", "/abc/tail", "/abc/tail?from=1")))
    assert not any(map(is_patient, ("/", "/lively", "/abc", "/abc/raw", "/abc/tails", "/api/v1/pastes", "/a/b/tail")))
    assert READ.match("/abc/tail?from=1")
