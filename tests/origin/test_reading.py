"""Raw bytes with their ranges, conditions and headers; metadata; protected pastes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.nodes import Node

TEXT = b"".join(b"line %d\n" % number for number in range(1, 101))
BIG = b"".join(b"a longer line with number %d\n" % number for number in range(1, 20_001))


@pytest.fixture(scope="module", params=["inline", "blob"])
async def content(request: pytest.FixtureRequest) -> bytes:
    return TEXT if request.param == "inline" else BIG


@pytest.fixture(scope="module")
async def url(node: Node, content: bytes) -> str:
    return str((await node.paste(content))["raw_url"])


async def get(node: Node, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    async with node.http.request(method, url, headers={k.replace("_", "-"): v for k, v in headers.items()}) as response:
        return response.status, await response.read(), response.headers.copy()


async def test_head_has_the_headers_of_get(node: Node, url: str, content: bytes) -> None:
    status, body, headers = await get(node, url)
    head_status, nothing, head_headers = await get(node, url, "HEAD")
    assert (status, head_status, body, nothing) == (200, 200, content, b"")
    for name in ("Age", "Cache-Status", "Date", "X-Request-Id"):
        headers.popall(name, None)
        head_headers.popall(name, None)
    assert sorted(headers.items()) == sorted(head_headers.items())
    assert headers["Content-Length"] == str(len(content))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_conditions(node: Node, url: str) -> None:
    _, _, headers = await get(node, url)
    etag = headers["ETag"]
    for given_tag in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        status, body, answer = await get(node, url, If_None_Match=given_tag)
        assert (status, body, answer["ETag"]) == (304, b"", etag)
    assert (await get(node, url, If_None_Match='"x"'))[0] == 200
    assert (await get(node, url, If_Match='"x"'))[0] == 412
    assert (await get(node, url, If_Match=etag))[0] == 200
    assert (await get(node, url, If_Modified_Since=headers["Last-Modified"]))[0] == 304
    assert (await get(node, url, If_None_Match='"x"', If_Modified_Since=headers["Last-Modified"]))[0] == 200


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(first=st.integers(0, 700_000), length=st.integers(1, 700_000), suffix=st.booleans())
async def test_ranges(node: Node, url: str, content: bytes, first: int, length: int, suffix: bool) -> None:
    wanted = f"bytes=-{length}" if suffix else f"bytes={first}-{first + length - 1}"
    status, body, headers = await get(node, url, Range=wanted)
    expected = content[-length:] if suffix else content[first : first + length]
    if not expected:
        assert status == 416
        assert headers["Content-Range"] == f"bytes */{len(content)}"
        return
    start = max(len(content) - length, 0) if suffix else first
    assert (status, body) == (206, expected)
    assert headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(content)}"


async def test_range_only_if_the_content_is_still_the_same(node: Node, url: str, content: bytes) -> None:
    _, _, headers = await get(node, url)
    assert (await get(node, url, Range="bytes=0-3", If_Range=headers["ETag"]))[0] == 206
    status, body, _ = await get(node, url, Range="bytes=0-3", If_Range='"other"')
    assert (status, body) == (200, content)
    assert (await get(node, url, Range="bytes=0-1,4-5"))[0] == 200
    assert (await get(node, url, Range="lines=1-2"))[0] == 200


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("3", 3, 3), ("10-20", 10, 20), ("90-", 90, None), ("-2", 1, 2), ("99-500", 99, 500)]
)
async def test_lines(node: Node, url: str, content: bytes, asked: str, first: int, last: int | None) -> None:
    status, body, headers = await get(node, f"{url}?lines={asked}")
    lines = content.splitlines(keepends=True)
    assert status == 200
    assert body == b"".join(lines[first - 1 : last])
    assert (await get(node, f"{url}?lines={asked}", If_None_Match=headers["ETag"]))[0] == 304


@pytest.mark.parametrize("asked", ["0", "5-2", "x", "", "1-2-3"])
async def test_lines_that_make_no_sense(node: Node, url: str, asked: str) -> None:
    status, body, _ = await get(node, f"{url}?lines={asked}")
    assert (status, json.loads(body)["errors"][0]["field"]) == (422, "lines")


@pytest.mark.parametrize(
    ("content", "kind", "disposition"),
    [
        (b"<script>alert(1)</script>", "text/plain; charset=utf-8", "inline"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "text/plain; charset=utf-8", "inline"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "image/png", "inline"),
        (b"%PDF-1.7\0", "application/pdf", "inline"),
        (b"\0\0\0 ftypmp42", "video/mp4", "inline"),
        (b"PK\x03\x04\0<script>", "application/octet-stream", "attachment"),
    ],
)
async def test_types_are_judged_by_the_bytes(node: Node, content: bytes, kind: str, disposition: str) -> None:
    created = await node.paste(content, name="page.html")
    _, body, headers = await get(node, created["raw_url"])
    assert body == content
    assert headers["Content-Type"] == kind
    assert headers["Content-Disposition"].startswith(disposition)


async def test_one_address_for_people_and_programs(node: Node) -> None:
    created = await node.paste("print('hi')\n", name="a.py")
    status, body, headers = await get(node, created["url"], Accept="*/*")
    assert (status, body, headers["Vary"]) == (200, b"print('hi')\n", "Accept")
    status, body, headers = await get(node, created["url"], Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b'class="line"' in body
    assert (await get(node, created["url"], Accept="text/html", If_None_Match=headers["ETag"]))[0] == 304
    status, body, _ = await get(node, f"{created['url']}.js", Accept="*/*")
    assert (status, b"JavaScript" in body) == (200, True)


async def test_metadata_and_content(node: Node) -> None:
    created = await node.paste("héllo\n", name="a.txt", parent="someparent1")
    token = created.pop("token")
    status, body, _ = await get(node, f"{node.url}/api/v1/pastes/{created['slug']}")
    assert (status, json.loads(body)) == (200, created)
    assert token.encode() not in body
    _, body, _ = await get(node, f"{node.url}/api/v1/pastes/{created['slug']}?content=true")
    assert json.loads(body)["files"][0]["content"] == "héllo\n"
    binary = await node.paste(b"\0\xff")
    _, body, _ = await get(node, f"{node.url}/api/v1/pastes/{binary['slug']}?content=true")
    assert json.loads(body)["files"][0] | {"raw_url": ""} == json.loads(body)["files"][0] | {
        "raw_url": "",
        "content": "AP8=",
        "encoding": "base64",
    }
    status, body, _ = await get(node, f"{node.url}/api/v1/pastes/{created['slug']}?contents=true")
    assert (status, json.loads(body)["errors"][0]["field"]) == (422, "contents")


async def test_private_pastes_need_the_token(node: Node) -> None:
    created = await node.paste("mine\n", visibility="private")
    for path in ("", "/raw"):
        assert (await get(node, created["url"] + path))[0] == 404
        assert (await get(node, created["url"] + path, Authorization="Bearer wrong"))[0] == 404
        status, body, headers = await get(node, created["url"] + path, Authorization=f"Bearer {created['token']}")
        assert (status, body) == (200, b"mine\n")
        assert headers["Cache-Control"] == "private, no-store"


async def reveal(node: Node, slug: str, accept: str = "application/json", **body: str) -> tuple[int, bytes]:
    async with node.http.post(
        f"{node.url}/api/v1/pastes/{slug}/reveal", json=body, headers={"Accept": accept}
    ) as response:
        return response.status, await response.read()


async def test_nothing_but_a_post_consumes_a_read(node: Node) -> None:
    created = await node.paste("burn\n", burn=True)
    slug = created["slug"]
    for path, accept in [
        (f"/{slug}", "text/html"),
        (f"/{slug}", "*/*"),
        (f"/{slug}/raw", "*/*"),
        (f"/raw/{slug}", "*/*"),
        (f"/{slug}.py", "*/*"),
    ]:
        for method in ("GET", "HEAD"):
            status, body, headers = await get(node, node.url + path, method, Accept=accept)
            assert b"burn\n" not in body
            assert status in (200, 403)
            assert "no-store" in headers["Cache-Control"]
    assert (await get(node, f"{node.url}/api/v1/pastes/{slug}?content=true"))[0] == 403
    status, body = await reveal(node, slug)
    assert (status, json.loads(body)["files"][0]["content"]) == (200, "burn\n")
    assert (await reveal(node, slug))[0] == 404
    assert (await get(node, f"{node.url}/{slug}"))[0] == 404


async def test_of_many_readers_exactly_as_many_as_allowed_get_the_body(node: Node) -> None:
    for limit in (1, 3):
        created = await node.paste("secret\n", max_reads=limit)
        answers = await asyncio.gather(*(reveal(node, created["slug"], "text/plain") for _ in range(25)))
        assert sum(answer == (200, b"secret\n") for answer in answers) == limit
        assert sum(status == 404 for status, _ in answers) == 25 - limit


async def test_a_burned_blob_is_streamed_whole(node: Node) -> None:
    created = await node.paste(BIG, burn="true")
    assert await reveal(node, created["slug"], "*/*") == (200, BIG)


async def test_a_wrong_password_consumes_nothing(node: Node) -> None:
    created = await node.paste("secret\n", password="open sesame", max_reads=1)
    for attempt in ({"password": "wrong"}, {}):
        status, body = await reveal(node, created["slug"], **attempt)
        assert (status, json.loads(body)["type"]) == (403, "/problems/wrong-password")
    assert await reveal(node, created["slug"], "*/*", password="open sesame") == (200, b"secret\n")


async def test_a_password_alone_may_be_given_again_and_again(node: Node) -> None:
    created = await node.paste("secret\n", password="open sesame")
    assert created["protection"] == "password"
    for _ in range(2):
        assert await reveal(node, created["slug"], "*/*", password="open sesame") == (200, b"secret\n")


async def test_limits_syntaxes_and_help(node: Node) -> None:
    _, body, _ = await get(node, f"{node.url}/api/v1/limits")
    assert json.loads(body)["max_paste_bytes"] == 5 * 1024**3
    _, body, _ = await get(node, f"{node.url}/api/v1/syntaxes")
    assert "python" in {syntax["name"] for syntax in json.loads(body)}
    _, body, headers = await get(node, f"{node.url}/", Accept="*/*")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"curl -T build.log {node.url}/" in body.decode()


async def test_a_problem_type_leads_to_its_explanation(node: Node) -> None:
    _, body, _ = await get(node, f"{node.url}/api/v1/pastes/unknown0000")
    status, page, _ = await get(node, node.url + json.loads(body)["type"])
    assert status == 200
    assert re.search(rb"<h1>\s*Paste not found", page)
