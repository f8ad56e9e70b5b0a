"""Request bodies: what a form may look like, and that no bytes at all can make an unforeseen error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pastebin.errors import InvalidPaste, UnreadableRequest
from pastebin.http import bodies
from tests.http.doors import Door, behind

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PIECES = [
    b"--b",
    b"--b--",
    b"\r\n",
    b"\n",
    b": ",
    b";",
    b'"',
    b"Content-Disposition: form-data",
    b'; name="content"',
    b'; name="title"',
    b"; name=x",
    b'; filename="a.txt"',
    b"; filename*=UTF-8''%ff",
    b"; filename*0=a; filename*1=b",
    b"Content-Type: multipart/mixed; boundary=c",
    b"Content-Type: multipart/mixed",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Encoding: gzip",
    b"Content-Length: 5",
    b"Content-Length: x",
    b"\r\n\r\nbody\r\n--b\r\n",
    b"\xff\x00",
]
MULTIPART = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=14).map(b"".join)


class Forms:
    """Reads a form as the origin does and tells what was in it."""

    async def take(self, request: web.Request) -> web.Response:
        form = bodies.Form(request, 5.0)
        files = [(file.name, len(b"".join([chunk async for chunk in file.chunks]))) async for file in form.files()]
        return web.json_response({"files": files, "fields": form.fields})


@pytest.fixture(scope="module")
async def door() -> AsyncIterator[Door]:
    async with behind([web.post("/", Forms().take)]) as opened:
        yield opened


async def post(door: Door, body: bytes) -> tuple[int, dict[str, object]]:
    async with door.http.post(door.url, data=body, headers=FORM) as response:
        return response.status, json.loads(await response.read())


def part(head: str, body: bytes) -> bytes:
    return f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"


async def test_parts_are_files_and_fields_beside_them(door: Door) -> None:
    whole = b"".join(
        [
            part('name="content"', b"typed"),
            part('name="title"', "Tïtle".encode()),
            part('name="anything"; filename="a.txt"', b"x" * 200_000),
            part('name="file"; filename=""', b""),
            part('name="content"', b""),
            b"--b--\r\n",
        ]
    )
    answer = {"files": [[None, 5], ["a.txt", 200_000]], "fields": {"title": "Tïtle"}}
    assert await post(door, whole) == (200, answer)


@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader", "ignore::aiohttp.BadContentDispositionParam")
@settings(max_examples=150, deadline=None)
@given(body=MULTIPART)
@example(body=b"--b\r\nno header at all--b--")
@example(body=part('name="x"', b"\xff"))
@example(body=b"--b\r\n" + b"A: b\r\n" * 500 + b"\r\n")
@example(body=b"--b\r\nA: " + b"b" * 20_000 + b"\r\n\r\n")
async def test_no_form_is_an_unforeseen_error(door: Door, body: bytes) -> None:
    status, answer = await post(door, body)
    assert status in (200, 400, 422), answer


@given(st.binary(max_size=100))
@example(b"a=%ff")
@example(b"a=1&a=2")
@example(b"\xff")
@example(b"&".join(b"%d=" % number for number in range(100)))
def test_no_urlencoded_form_is_an_unforeseen_error(body: bytes) -> None:
    try:
        fields = bodies.urlencoded(body)
    except (UnreadableRequest, InvalidPaste):
        return
    assert all(isinstance(text, str) for pair in fields.items() for text in pair)


def test_urlencoded_fields() -> None:
    assert bodies.urlencoded(b"password=a+b%21&empty=&u=%C3%A9") == {"password": "a b!", "empty": "", "u": "é"}
    for body, error in ((b"a=%ff", UnreadableRequest), (b"a=1&a=2", InvalidPaste)):
        with pytest.raises(error):
            bodies.urlencoded(body)


@given(text=st.text("a\r\n", max_size=30), cuts=st.lists(st.integers(0, 30), max_size=5))
async def test_unix_newlines_do_not_depend_on_where_chunks_end(text: str, cuts: list[int]) -> None:
    whole = text.encode()
    edges = [0, *sorted(cuts), len(whole)]

    async def chunks() -> AsyncIterator[bytes]:
        for start, stop in pairwise(edges):
            yield whole[start:stop]

    made = b"".join([chunk async for chunk in bodies.unix_newlines(chunks())])
    assert made == whole.replace(b"\r\n", b"\n")
