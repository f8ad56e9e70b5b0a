"""Changing and ending pastes with the owner token."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp

from tests.nodes import Node


async def call(
    node: Node, method: str, slug: str, token: str | None, **options: Any
) -> tuple[int, dict[str, Any], Any]:
    headers = dict(options.pop("headers", {}))
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with node.http.request(method, f"{node.url}/api/v1/pastes/{slug}", headers=headers, **options) as response:
        body = await response.read()
        return response.status, json.loads(body) if body else {}, response.headers.copy()


async def text(node: Node, slug: str) -> str:
    async with node.http.get(f"{node.url}/{slug}/raw") as response:
        return await response.text()


async def test_new_content_makes_a_new_revision_and_keeps_the_old(node: Node) -> None:
    created = await node.paste("one\n", name="a.txt")
    status, changed, headers = await call(
        node, "PATCH", created["slug"], created["token"], json={"content": "two\n", "name": "b.txt"}
    )
    assert (status, changed["revision"], changed["files"][0]["name"]) == (200, 2, "b.txt")
    assert headers["ETag"] == '"2"'
    assert await text(node, created["slug"]) == "two\n"
    rows = await node.sql(
        "select f.revision, body from files f join pastes p on p.id = f.paste_id where slug = $1 order by 1",
        created["slug"],
    )
    assert [(row["revision"], row["body"]) for row in rows] == [(1, b"one\n"), (2, b"two\n")]


async def test_options_change_without_a_revision(node: Node) -> None:
    created = await node.paste("one\n", title="before", expires_in="1h")
    status, changed, _ = await call(
        node,
        "PATCH",
        created["slug"],
        created["token"],
        json={"title": None, "expires_in": "never", "visibility": "public"},
    )
    assert status == 200
    assert (changed["title"], changed["expires_at"], changed["visibility"], changed["revision"]) == (
        None,
        None,
        "public",
        1,
    )
    status, changed, _ = await call(node, "PATCH", created["slug"], created["token"], json={"max_reads": 2})
    assert (status, changed["max_reads"]) == (200, 2)
    status, changed, _ = await call(node, "PATCH", created["slug"], created["token"], json={"max_reads": None})
    assert (status, changed["max_reads"]) == (200, None)
    assert await text(node, created["slug"]) == "one\n"


async def test_not_to_burn_is_no_wish(node: Node) -> None:
    created = await node.paste("one\n", max_reads=3)
    status, changed, _ = await call(node, "PATCH", created["slug"], created["token"], json={"burn": False})
    assert (status, changed["max_reads"]) == (200, 3)


async def test_a_form_revises_too(node: Node) -> None:
    created = await node.paste("one\n")
    form = aiohttp.FormData()
    form.add_field("file", b"x" * 100_000, filename="big.txt")
    status, changed, _ = await call(node, "PATCH", created["slug"], created["token"], data=form)
    assert (status, changed["size"], changed["revision"]) == (200, 100_000, 2)


async def test_if_match(node: Node) -> None:
    created = await node.paste("one\n")
    status, problem, _ = await call(
        node, "PATCH", created["slug"], created["token"], json={"content": "2"}, headers={"If-Match": '"7"'}
    )
    assert (status, problem["type"], problem["revision"]) == (412, "/problems/revision-conflict", 1)
    status, _, _ = await call(
        node, "PATCH", created["slug"], created["token"], json={"content": "2"}, headers={"If-Match": '"1"'}
    )
    assert status == 200
    assert await text(node, created["slug"]) == "2"


async def test_who_may_change(node: Node) -> None:
    created = await node.paste("one\n")
    other = await node.paste("other\n")
    for method in ("PATCH", "DELETE"):
        options = {"json": {"content": "hacked"}} if method == "PATCH" else {}
        status, problem, headers = await call(node, method, created["slug"], None, **options)
        assert (status, problem["type"]) == (401, "/problems/token-required")
        assert headers["WWW-Authenticate"].startswith("Bearer")
        status, problem, _ = await call(node, method, created["slug"], other["token"], **options)
        assert (status, problem["type"]) == (403, "/problems/edit-forbidden")
    assert await text(node, created["slug"]) == "one\n"
    private = await node.paste("one\n", visibility="private")
    assert (await call(node, "DELETE", private["slug"], "wrong"))[:2][0] == 404


async def test_changes_and_chosen_names_say_what_caches_know(node: Node) -> None:
    created = await node.paste("one\n")
    _, _, headers = await call(node, "PATCH", created["slug"], created["token"], json={"content": "two"})
    assert headers["Pastebin-Purge"].startswith("confirmed; edges=0; ms=")
    for name, is_told in ((None, False), ("chosen-and-told", True)):
        options = {"content": "x"} if name is None else {"content": "x", "slug": name}
        async with node.http.post(f"{node.url}/api/v1/pastes", json=options) as response:
            assert (response.status, "Pastebin-Purge" in response.headers) == (201, is_told)


async def test_deleted_is_gone_everywhere_at_once(node: Node) -> None:
    created = await node.paste("one\n")
    status, _, headers = await call(node, "DELETE", created["slug"], created["token"])
    assert status == 204
    assert headers["Pastebin-Purge"].startswith("confirmed; edges=0; ms=")
    for path in (f"/{created['slug']}", f"/{created['slug']}/raw", f"/api/v1/pastes/{created['slug']}"):
        async with node.http.get(node.url + path) as response:
            assert response.status == 404
    assert (await call(node, "DELETE", created["slug"], created["token"]))[0] == 404
    assert (await call(node, "PATCH", created["slug"], created["token"], json={"content": "x"}))[0] == 404


async def test_refused_changes_change_nothing(node: Node) -> None:
    created = await node.paste("one\n")
    for body in ({"content": ""}, {"nonsense": 1}, {"name": "x"}, {"expires_in": "0"}, {"slug": "a/b"}):
        status, problem, _ = await call(node, "PATCH", created["slug"], created["token"], json=body)
        assert status == 422, (body, problem)
    status, now, _ = await call(node, "GET", created["slug"], None)
    assert (status, now["revision"]) == (200, 1)


async def test_changes_at_once_never_add_up_to_what_is_not_allowed(node: Node) -> None:
    """A paste of several large files has no password, whoever comes first."""
    large = json.dumps({"files": [{"name": name, "content": "x" * 600_000} for name in "ab"]}).encode()
    kind = {"Content-Type": "application/json"}
    for _ in range(4):
        created = await node.paste("one\n")
        slug, token = created["slug"], created["token"]
        answers = await asyncio.gather(
            call(node, "PATCH", slug, token, data=io.BytesIO(large), headers=kind),
            call(node, "PATCH", slug, token, json={"max_reads": 3}),
        )
        assert sorted(status for status, _, _ in answers) == [200, 422]


async def test_of_options_changed_at_once_none_is_lost_or_refused(node: Node) -> None:
    created = await node.paste("one\n")
    slug, token = created["slug"], created["token"]
    changes: list[dict[str, Any]] = [{"title": "new"}, {"visibility": "public"}, {"max_reads": 9}]
    answers = await asyncio.gather(*(call(node, "PATCH", slug, token, json=change) for change in changes))
    assert [status for status, _, _ in answers] == [200] * 3
    (row,) = await node.sql("select title, visibility, max_reads, version from pastes where slug = $1", slug)
    assert tuple(row) == ("new", "public", 9, 4)
