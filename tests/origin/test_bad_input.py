"""Every refusal is a problem document, and nothing half-made stays."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.nodes import Node

JSON = {"Content-Type": "application/json"}


async def refused(node: Node, body: Any, path: str = "/api/v1/pastes", **headers: str) -> tuple[int, dict[str, Any]]:
    async with node.http.post(node.url + path, data=body, headers=headers) as response:
        assert response.content_type == "application/problem+json", await response.text()
        problem = json.loads(await response.read())
        assert problem["status"] == response.status
        assert problem["request_id"] == response.headers["X-Request-Id"]
        return response.status, problem


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        pytest.param({"content": ""}, 422, ["content"], id="empty"),
        pytest.param({}, 422, ["content"], id="nothing"),
        pytest.param({"files": []}, 422, ["content"], id="no files"),
        pytest.param(
            {"content": "x", "nonsense": 1, "title": 7}, 422, ["nonsense", "title"], id="all problems at once"
        ),
        pytest.param(
            {"content": "", "nonsense": 1, "title": 7, "expires_in": "soon", "max_reads": 0, "syntax": "klingon"},
            422,
            ["content", "expires_in", "max_reads", "nonsense", "syntax", "title"],
            id="problems of every kind at once",
        ),
        pytest.param(
            {"files": [{"name": "a"}, {"content": 5, "bogus": 1}]},
            422,
            ["files[0].content", "files[1].bogus", "files[1].content"],
            id="problems inside files",
        ),
        pytest.param({"content": "x", "files": [{"content": "y"}]}, 422, ["files"], id="both kinds of content"),
        pytest.param({"content": "x", "visibility": "secret"}, 422, ["visibility"], id="unknown visibility"),
        pytest.param({"content": "x", "expires_in": "soon"}, 422, ["expires_in"], id="unreadable duration"),
        pytest.param({"content": "x", "expires_at": "2020-01-01T00:00:00Z"}, 422, ["expires_at"], id="in the past"),
        pytest.param({"content": "x", "expires_at": "2099-01-01T00:00:00"}, 422, ["expires_at"], id="no time zone"),
        pytest.param(
            {"content": "x", "expires_in": "1h", "expires_at": "2099-01-01T00:00:00Z"},
            422,
            ["expires_at"],
            id="two expiries",
        ),
        pytest.param({"content": "x", "max_reads": 0}, 422, ["max_reads"], id="no reads"),
        pytest.param({"content": "x", "max_reads": 3, "burn": True}, 422, ["burn"], id="burn with reads"),
        pytest.param({"content": "x", "syntax": "klingon"}, 422, ["syntax"], id="unknown syntax"),
        pytest.param({"content": "x", "slug": "a/b"}, 422, ["slug"], id="slug with a slash"),
        pytest.param({"content": "x", "slug": "api"}, 422, ["slug"], id="reserved slug"),
        pytest.param({"content": "x", "title": "t" * 201}, 422, ["title"], id="long title"),
        pytest.param({"content": "x", "title": "a\0b"}, 422, ["title"], id="NUL in the title"),
        pytest.param({"content": "x", "name": "n" * 256}, 422, ["name"], id="long name"),
        pytest.param({"content": "x", "name": "a\0b"}, 422, ["name"], id="NUL in the name"),
        pytest.param({"files": [{"name": "", "content": "x"}]}, 422, ["files[0].name"], id="empty name"),
        pytest.param(
            {"files": [{"name": "a", "content": "1"}, {"name": "a", "content": "2"}]},
            422,
            ["files[1].name"],
            id="duplicate names",
        ),
        pytest.param({"files": [{"content": "%%%", "encoding": "base64"}]}, 422, ["files[0].content"], id="not base64"),
        pytest.param({"content": "x", "encryption": "AES"}, 422, ["encryption"], id="encryption is no object"),
        pytest.param({"content": "x", "password": ""}, 422, ["password"], id="empty password"),
    ],
)
async def test_json_refusals_name_their_fields(node: Node, body: Any, status: int, fields: list[str]) -> None:
    found, problem = await refused(node, json.dumps(body), **JSON)
    assert found == status
    assert sorted(error["field"] for error in problem["errors"]) == sorted(fields)
    assert all(error["message"] for error in problem["errors"])


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"{", 400, "unreadable-request"),
        (b"", 400, "unreadable-request"),
        (b"[]", 400, "unreadable-request"),
        (b"\xff", 400, "unreadable-request"),
        (b'{"content": NaN}', 400, "unreadable-request"),
        (b"[" * 100_000, 400, "unreadable-request"),
        (b'{"content": "a", "content": "b"}', 422, "invalid-paste"),
        (b'{"files": [{"content": "a", "name": "x", "name": "y"}]}', 422, "invalid-paste"),
        (b'{"content": "\\ud800"}', 422, "invalid-paste"),
        (b'{"content": "x", "title": "\\udfff"}', 422, "invalid-paste"),
        (b'{"content": 1' + b"0" * 5000 + b"}", 400, "unreadable-request"),
    ],
)
async def test_broken_json(node: Node, body: bytes, status: int, slug: str) -> None:
    found, problem = await refused(node, body, **JSON)
    assert (found, problem["type"]) == (status, f"/problems/{slug}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nnever ends',
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n'
        b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
    ],
)
async def test_broken_forms(node: Node, body: bytes) -> None:
    status, _ = await refused(node, body, **{"Content-Type": "multipart/form-data; boundary=b"})
    assert status in (400, 422)
    status, _ = await refused(node, body, **{"Content-Type": "multipart/form-data"})
    assert status == 400


async def test_unknown_options_in_query_and_form(node: Node) -> None:
    status, problem = await refused(node, b"x", "/api/v1/pastes?colour=red&burn=perhaps")
    assert status == 422
    assert sorted(error["field"] for error in problem["errors"]) == ["burn", "colour"]
    form = aiohttp.FormData({"content": "x", "colour": "red"}, default_to_multipart=True)
    status, problem = await refused(node, form)
    assert (status, problem["errors"][0]["field"]) == (422, "colour")
    status, problem = await refused(node, b"x", "/api/v1/pastes?title=a&title=b")
    assert (status, problem["errors"][0]["field"]) == (422, "title")


async def test_empty_bodies(node: Node) -> None:
    assert (await refused(node, b""))[0] == 422
    assert (await refused(node, b"", "/"))[0] == 422


async def test_compressed_bodies_are_not_unpacked(node: Node) -> None:
    status, problem = await refused(node, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert (status, problem["type"]) == (415, "/problems/unsupported-media")


async def test_too_large_by_content_length_is_refused_before_the_body(small_node: Node) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", small_node.running.doors["origin"][1])
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b'"max_bytes":200000' in await asyncio.wait_for(reader.readuntil(b"}"), 60)
    finally:
        writer.close()
    status, problem = await refused(small_node, b"x" * 200_001)
    assert (status, problem["max_bytes"]) == (413, 200_000)


async def test_too_large_while_streaming_stores_nothing(small_node: Node) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b"y" * 10_000

    before = await small_node.sql("select count(*) from pastes")
    status, problem = await refused(small_node, endless())
    assert (status, problem["type"]) == (413, "/problems/paste-too-large")
    assert await small_node.sql("select count(*) from pastes") == before
    assert await small_node.sql("select 1 from blobs where state = 'pending'") == []
    blobs = [path for path in small_node.config.blob_directory.rglob("*") if path.is_file()]
    assert blobs == []


async def test_a_client_that_goes_away_leaves_nothing(small_node: Node) -> None:
    before = await small_node.sql("select count(*) from pastes")
    _, writer = await asyncio.open_connection("127.0.0.1", small_node.running.doors["origin"][1])
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n" + b"z" * 100_000)
    await writer.drain()
    async with asyncio.timeout(60):
        while not await small_node.sql("select 1 from blobs where state = 'pending'"):
            pass
        writer.transport.abort()
        while await small_node.sql("select 1 from blobs where state = 'pending'"):
            pass
        # they are given up first, and removed then
        while any(path.is_file() for path in small_node.config.blob_directory.rglob("*")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await small_node.sql("select count(*) from pastes") == before


async def test_too_many_files_and_revisions_are_refused(small_node: Node) -> None:
    files = [{"name": f"{number}", "content": "x"} for number in range(6)]
    status, problem = await refused(small_node, json.dumps({"files": files}), **JSON)
    assert (status, problem["errors"][0]["field"]) == (422, "files")


async def test_lifetimes_are_limited(small_node: Node) -> None:
    for wish in ("never", "2d"):
        status, problem = await refused(small_node, json.dumps({"content": "x", "expires_in": wish}), **JSON)
        assert (status, problem["errors"][0]["field"]) == (422, "expires_in")
    assert (await small_node.paste())["expires_at"] is not None


async def test_unknown_addresses_and_methods(node: Node) -> None:
    for path in ("/" + "a" * 11, "/nope!", "/a/b/c/d", "/api/v1/pastes/unknown0000", "/unknown0000/raw", "/%00"):
        async with node.http.get(node.url + path, headers={"Accept": "*/*"}) as response:
            problem = json.loads(await response.read())
            assert (response.status, problem["type"]) == (404, "/problems/paste-not-found"), path
    async with node.http.put(f"{node.url}/api/v1/limits", data=b"") as response:
        assert response.status == 405
        assert "GET" in response.headers["Allow"]
        assert json.loads(await response.read())["status"] == 405


async def test_missing_expired_deleted_and_private_look_the_same(node: Node) -> None:
    expired = await node.paste()
    await node.sql("update pastes set expires_at = now() - interval '1 second' where slug = $1", expired["slug"])
    deleted = await node.paste()
    async with node.http.delete(
        f"{node.url}/api/v1/pastes/{deleted['slug']}", headers={"Authorization": f"Bearer {deleted['token']}"}
    ) as response:
        assert response.status == 204
    private = await node.paste(visibility="private")
    answers = set()
    for slug in ("unknown0000", expired["slug"], deleted["slug"], private["slug"]):
        async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
            problem = json.loads(await response.read())
            answers.add((response.status, json.dumps(problem)))
    assert len(answers) == 1


async def test_browsers_get_a_page(node: Node) -> None:
    async with node.http.get(f"{node.url}/unknown0000", headers={"Accept": "text/html"}) as response:
        text = await response.text()
        assert response.status == 404
        assert response.content_type == "text/html"
        assert "There is nothing here" in text


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b<script>\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_without_a_traceback(node: Node, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.running.doors["origin"][1])
    try:
        writer.write(head)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        status = int(answer.split(b" ", 2)[1])
        assert 400 <= status < 500 or head.startswith(b"GET / HTTP/1.1\r\n\r\n")
        assert b"Traceback" not in answer
        assert b"<script>" not in answer
    finally:
        writer.close()
