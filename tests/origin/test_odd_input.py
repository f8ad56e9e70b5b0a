"""Input that Python, JSON, SQL and HTTP disagree about: refused by name, never an unforeseen error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from yarl import URL

from tests.nodes import Node

PASTES = "/api/v1/pastes"


async def send(
    node: Node, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """Send a request whose path goes over the wire as it stands here."""
    url = URL(node.url + path, encoded=True)
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    async with node.http.request(method, url, data=body, headers=given) as response:
        raw = await response.read()
        is_json = response.content_type.endswith("json")
        return response.status, json.loads(raw) if is_json else {"text": raw.decode()}


async def create(node: Node, members: str) -> tuple[int, dict[str, Any]]:
    return await send(node, "POST", PASTES, f'{{"content": "x", {members}}}'.encode(), Content_Type="application/json")


def nested(levels: int, around: str = '{"a":%s}') -> str:
    text = "1"
    for _ in range(levels):
        text = around % text
    return text


@pytest.mark.parametrize(
    ("members", "field"),
    [
        pytest.param('"encryption": {"v": 1180591620717411303424}', "encryption", id="integer of 70 bits"),
        pytest.param('"encryption": {"v": 1e400}', "encryption", id="float beyond double"),
        pytest.param(f'"encryption": {nested(300)}', "encryption", id="300 levels"),
        pytest.param('"encryption": {"a": "\\u0000"}', "encryption", id="NUL in a value"),
        pytest.param('"encryption": {"\\u0000": 1}', "encryption", id="NUL in a member's name"),
        pytest.param(f'"encryption": {{"a": "{"x" * 5000}"}}', "encryption", id="long parameters"),
        pytest.param(f'"title": {nested(500, "[%s]")}', "title", id="nested title"),
        pytest.param('"max_reads": 1180591620717411303424', "max_reads", id="huge read limit"),
        pytest.param('"max_reads": 1.5', "max_reads", id="half a reading"),
        pytest.param('"expires_in": 9223372036854775807', "expires_in", id="huge lifetime"),
        pytest.param('"expires_in": "99999999999999999999999d"', "expires_in", id="huge lifetime in words"),
        pytest.param('"expires_at": "9999-12-31T23:59:59-23:59"', "expires_at", id="after the last year in UTC"),
        pytest.param('"expires_at": "9999-12-31T23:59:59.999999Z"', "expires_at", id="infinity in SQL"),
        pytest.param('"expires_at": "0001-01-01T00:00:00+23:59"', "expires_at", id="before the first year in UTC"),
        pytest.param('"\\ud800": 1, "\\ud800": 2', "?", id="half a surrogate pair twice"),
        pytest.param('"parent": "a\\u0000b"', "parent", id="NUL in the parent"),
    ],
)
async def test_json(node: Node, members: str, field: str) -> None:
    status, problem = await create(node, members)
    assert status == 422, problem
    assert field in {error["field"] for error in problem["errors"]}


async def test_json_too_deep_for_the_parser(node: Node) -> None:
    assert (await create(node, f'"encryption": {nested(5000)}'))[0] == 400


async def test_encryption_comes_back_as_it_was_given(node: Node) -> None:
    given = {"v": 2**53, "ratio": 0.1, "text": "\\u0000 is six characters", "list": [None, True, {}], "ü": "🔑"}
    created = await node.paste("ciphertext", encryption=given)
    status, shown = await send(node, "GET", f"{PASTES}/{created['slug']}")
    assert (status, shown["encryption"], shown["protection"]) == (200, given, "end-to-end")


async def test_the_last_moment_there_is(node: Node) -> None:
    status, created = await create(node, '"expires_at": "9998-12-31T23:59:59.999999Z"')
    assert (status, created["expires_at"]) == (201, "9998-12-31T23:59:59Z")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("%ff=1", "\ufffd"),
        ("%ed%a0%80=1&%ed%a0%80=2", "\ufffd\ufffd\ufffd"),
        ("title=%ff", "title"),
        ("title=caf%e9", "title"),
        ("password=%ed%a0%80&burn=1", "password"),
        ("title=%00", "title"),
        ("encryption=%7B%22a%22:1e999%7D", "encryption"),
        ("encryption=" + "[" * 3000, "encryption"),
        ("encryption=" + "%7B%22a%22:" * 300 + "1" + "%7D" * 300, "encryption"),
        ("max_reads=" + "9" * 4000, "max_reads"),
        ("burn=1&burn=1", "burn"),
    ],
)
async def test_queries(node: Node, query: str, field: str) -> None:
    status, problem = await send(node, "POST", f"{PASTES}?{query}", b"x")
    assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])


async def test_paths(node: Node) -> None:
    slug = (await node.paste("x\n", name="a.txt"))["slug"]
    for path in (
        "/%ff",
        "/%00",
        f"/{slug}/raw/%00",
        f"/{slug}/raw/%ff",
        f"/{slug}/raw?name=%00",
        f"/{slug}/raw?name=%ff",
    ):
        status, problem = await send(node, "GET", path)
        assert (status, problem["type"]) == (404, "/problems/paste-not-found"), path
    status, problem = await send(node, "PUT", "/%00", b"x")
    assert (status, problem["errors"][0]["field"]) == (422, "name")
    for path in ("/%ff", "/%ed%a0%80", "/%2e%2e"):
        assert (await send(node, "PUT", path, b"x"))[0] == 201, path


async def test_headers(node: Node) -> None:
    created = await node.paste("x\n")
    path, owner = f"{PASTES}/{created['slug']}", f"Bearer {created['token']}"
    assert (await send(node, "DELETE", path, Authorization="Bearer \xff\xfe"))[0] == 403
    assert (await send(node, "DELETE", path, Authorization="Basic eDp5"))[0] == 401
    json_type = {"Content_Type": "application/json", "Authorization": owner}
    assert (await send(node, "PATCH", path, b"{}", If_Match='"\xb2"', **json_type))[0] == 422
    assert (await send(node, "PATCH", path, b"{}", If_Match=f'"{"9" * 500}"', **json_type))[0] == 412
    assert (await send(node, "POST", PASTES, b"x", Idempotency_Key="\xff" * 20))[0] == 422
    assert (await send(node, "GET", f"/{created['slug']}/raw", Range=f"bytes={'9' * 5000}-"))[0] in (200, 416)
    assert (await send(node, "GET", f"/{created['slug']}/raw", If_None_Match="\xff" * 100))[0] == 200
    assert (await send(node, "GET", f"/{created['slug']}/manage", Cookie="owner=\xff; a=b; ;;="))[0] == 200


@pytest.mark.parametrize("member", ["slug", "parent", "encryption"])
async def test_what_cannot_be_changed_is_refused_and_not_passed_over(node: Node, member: str) -> None:
    """In JSON, in a form and in the query alike, and whatever its value would be worth."""
    created = await node.paste("x\n")
    path, owner = f"{PASTES}/{created['slug']}", f"Bearer {created['token']}"
    refused = (422, [{"field": member, "message": "cannot be changed"}])
    for value in ({"v": 1}, "another-slug", None, 7):
        body = json.dumps({"title": "new", member: value}).encode()
        status, problem = await send(node, "PATCH", path, body, Content_Type="application/json", Authorization=owner)
        assert (status, problem["errors"]) == refused
    form = f'--b\r\nContent-Disposition: form-data; name="{member}"\r\n\r\nabc\r\n--b--\r\n'.encode()
    kind = "multipart/form-data; boundary=b"
    status, problem = await send(node, "PATCH", path, form, Content_Type=kind, Authorization=owner)
    assert (status, problem["errors"]) == refused
    status, problem = await send(node, "PATCH", f"{path}?{member}=abc", b"new", Authorization=owner)
    assert (status, problem["errors"]) == refused
    shown = (await send(node, "GET", path))[1]
    assert (shown["title"], shown["revision"]) == (None, 1)
