"""Small requests that ask for much work: refused in bounded time, in an answer of bounded size."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from pastebin.http import bodies
from pastebin.origin import content
from tests.nodes import Node

JSON = "application/json"
FORM = "multipart/form-data; boundary=b"
MOST = 100


async def refused(node: Node, body: bytes, content_type: str) -> tuple[int, list[dict[str, str]]]:
    async with node.http.post(
        f"{node.url}/api/v1/pastes", data=io.BytesIO(body), headers={"Content-Type": content_type}
    ) as response:
        answer = await response.read()
        assert len(answer) < 64 * 1024
        problem: dict[str, Any] = json.loads(answer)
        return response.status, problem.get("errors", [])


def members(names: list[str]) -> bytes:
    return b"{" + ",".join(f'"{name}":1' for name in names).encode() + b"}"


def part(head: str, body: str = "") -> str:
    return f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n"


def form(*parts: str) -> bytes:
    return "".join([*parts, "--b--\r\n"]).encode()


async def test_one_name_twice_among_many(node: Node) -> None:
    names = [f"{number}" for number in range(100_000)]
    status, errors = await refused(node, members([*names, "7"]), JSON)
    assert (status, errors) == (422, [{"field": "7", "message": "is given twice"}])


async def test_very_many_wrong_members_are_told_of_in_short(node: Node) -> None:
    names = [f"{number}" for number in range(200_000)]
    for sent, told in ((names, "is not known here"), (names * 2, "is given twice")):
        status, errors = await refused(node, members(sent), JSON)
        assert (status, len(errors)) == (422, MOST + 1)
        assert errors[-1] == {"field": "", "message": f"and {200_000 - MOST} more problems"}
        assert all(error["message"] == told for error in errors[1:-1])


async def test_very_many_files_are_counted_before_they_are_looked_at(node: Node) -> None:
    body = json.dumps({"files": [{"content": 1, "name": "n"}] * 50_000}).encode()
    status, errors = await refused(node, body, JSON)
    assert (status, errors) == (422, [{"field": "files", "message": "a paste has at most 1000 files"}])


async def test_a_long_name_is_told_of_in_short(node: Node) -> None:
    name = "n" * 400_000
    for items in ([1] * 300_000, ["\\ud800"] * 100_000):
        listed = ",".join(f'"{item}"' for item in items)
        status, errors = await refused(node, f'{{"{name}": [{listed}]}}'.encode(), JSON)
        assert (status, len(errors)) in ((422, 2), (422, MOST + 1))
        assert all(len(error["field"]) <= 120 for error in errors)


@pytest.mark.parametrize("depth", [200, 480, 700, 900, 960, 990, 1000, 20_000])
async def test_depth(node: Node, depth: int) -> None:
    for leaf in ('"\\ud800"', "1"):
        nested = "[" * depth + leaf + "]" * depth
        for member in ("encryption", "title", "unknown"):
            assert (await refused(node, f'{{"content": "x", "{member}": {nested}}}'.encode(), JSON))[0] in (400, 422)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(*[part('name="f"; filename="x"')] * 20_000), id="empty files"),
        pytest.param(form(*[part('name="f"; filename=""')] * 20_000), id="inputs without a file"),
        pytest.param(form(*[part('name="title"', "t")] * 10_000), id="one field"),
        pytest.param(form(*[part(f'name="{number}"') for number in range(10_000)]), id="fields"),
    ],
)
async def test_very_many_parts(node: Node, body: bytes) -> None:
    status, errors = await refused(node, body, FORM)
    assert (status, len(errors)) == (422, 1)
    assert "at most" in errors[0]["message"]


async def test_very_many_lines_before_the_first_part(node: Node) -> None:
    status, _ = await refused(node, b"\r\n" * 100_000 + form(part('name="content"', "x")), FORM)
    assert status == 400


async def test_a_charset_of_a_form_that_is_none(node: Node) -> None:
    status, _ = await refused(node, form(part('name="_charset_"', "x" * 100), part('name="content"', "x")), FORM)
    assert status == 400


async def test_who_drips_a_large_body_loses_its_turn(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LEAST_BYTES_PER_SECOND", 2**40)
    head = (
        b"POST /api/v1/pastes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", node.running.doors["origin"][1])
    try:
        writer.write(head + b'{"content": "' + b"x" * 300_000)
        async with asyncio.timeout(60):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    finally:
        writer.close()


async def test_who_gets_no_turn_is_told_to_come_back(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_TURN_SECONDS", 0.2)
    head = (
        b"POST /api/v1/pastes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
    )
    writers = []
    try:
        # one more than there are turns: the last one has none
        answers = []
        for _ in range(content._LARGE_AT_ONCE + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.running.doors["origin"][1])
            writers.append(writer)
            writer.write(head + b'{"content": "' + b"x" * 300_000)
            answers.append(asyncio.create_task(reader.readline()))
        async with asyncio.timeout(60):
            done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert [answer.result()[:13] for answer in done] == [b"HTTP/1.1 503 "]
        for answer in waiting:
            answer.cancel()
        status, _ = await refused(node, json.dumps({"bogus": "x" * 200_000}).encode(), JSON)
        assert status == 422
    finally:
        for writer in writers:
            writer.transport.abort()
