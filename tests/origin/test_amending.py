"""Changes to a part of a paste: its settings, an earlier revision, one file by PUT; and readers who burn it."""

from __future__ import annotations

import io
from typing import Any

from tests.nodes import Node
from tests.origin.test_changing import call
from tests.origin.test_editing import several, shown
from tests.origin.test_forms import is_there, raw, visit


async def test_settings(node: Node) -> None:
    created = await node.paste("one\n", expires_in="1h")
    slug, token = created["slug"], created["token"]
    data = {"token": token, "expires_in": "30d", "visibility": "public", "max_reads": "", "password": ""}
    page = await visit(node, f"/{slug}/settings", data=data, owner=token)
    assert (page.status, page.headers["Location"]) == (303, f"/{slug}/manage?saved")
    view = await shown(node, slug)
    assert (view["visibility"], view["max_reads"], view["revision"]) == ("public", None, 1)
    assert view["expires_at"] > created["expires_at"]
    await visit(node, f"/{slug}/settings", data={"expires_at": "2091-02-03T04:05"}, owner=token)
    assert (await shown(node, slug))["expires_at"] == "2091-02-03T04:05:00Z"
    await visit(node, f"/{slug}/settings", data={"expires_in": "never", "max_reads": "5", "password": "p"}, owner=token)
    view = await shown(node, slug)
    assert (view["expires_at"], view["max_reads"], view["protection"]) == (None, 5, "password")
    await visit(node, f"/{slug}/settings", data={"max_reads": "none", "no_password": "yes"}, owner=token)
    view = await shown(node, slug)
    assert (view["max_reads"], view["protection"], view["visibility"]) == (None, "none", "public")
    for data, word in (
        ({"expires_at": "2001-01-01T00:00"}, "must lie in the future"),
        ({"max_reads": "0"}, "must be 1"),
    ):
        page = await visit(node, f"/{slug}/settings", data=data, owner=token)
        assert page.status == 422
        assert word in page.words
    assert (await visit(node, f"/{slug}/settings", data={"visibility": "private"}, owner="wrong")).status == 403
    assert (await visit(node, f"/{slug}/settings", data={"visibility": "private"})).status == 401
    assert (await shown(node, slug))["visibility"] == "public"


async def test_restoring_in_the_page(node: Node) -> None:
    created = await node.paste("one\n")
    slug, token = created["slug"], created["token"]
    await call(node, "PATCH", slug, token, json={"content": "two\n"})
    assert 'name="token" required' in (await visit(node, f"/{slug}/restore/1")).text
    page = await visit(node, f"/{slug}/restore/1", owner=token)
    assert f'action="/{slug}/restore/1"' in page.text
    assert (await visit(node, f"/{slug}/restore/2", owner=token)).status == 404
    done = await visit(node, f"/{slug}/restore/1", owner=token, data={})
    assert (done.status, done.headers["Location"]) == (303, f"/{slug}")
    assert await raw(node, slug) == b"one\n"
    assert (await visit(node, f"/{slug}/restore/1", data={})).status == 401


async def test_readers_burn_what_they_do_not_want_to_stay(node: Node) -> None:
    created = await node.paste("one\n", max_reads=5, password="open sesame")
    slug = created["slug"]
    assert f'href="/{slug}/burn"' in (await visit(node, f"/{slug}")).text
    page = await visit(node, f"/{slug}/burn")
    assert "5 more times" in page.words
    data = {"confirm": "yes", "password": "wrong"}
    assert (await visit(node, f"/{slug}/burn", data=data)).status == 403
    assert (await visit(node, f"/{slug}/burn", data={"password": "open sesame"})).status == 422
    assert await is_there(node, slug)
    page = await visit(node, f"/{slug}/burn", data={"confirm": "yes", "password": "open sesame"})
    assert (page.status, "The paste is burned" in page.words) == (200, True)
    assert not await is_there(node, slug)
    (row,) = await node.sql("select state, reads from pastes where slug = $1", slug)
    assert tuple(row) == ("burned", 0)
    assert (await visit(node, f"/{slug}/burn", data={"confirm": "yes"})).status == 404


async def test_only_what_has_a_read_limit_burns(node: Node) -> None:
    created = await node.paste("one\n")
    slug = created["slug"]
    assert (await visit(node, f"/{slug}/burn")).status == 404
    assert (await visit(node, f"/{slug}/burn", data={"confirm": "yes"})).status == 422
    async with node.http.post(f"{node.url}/api/v1/pastes/{slug}/burn") as response:
        assert response.status == 422
    assert await is_there(node, slug)
    limited = await node.paste("one\n", burn=True)
    async with node.http.post(f"{node.url}/api/v1/pastes/{limited['slug']}/burn") as response:
        assert (response.status, "Pastebin-Purge" in response.headers) == (204, True)
    assert not await is_there(node, limited["slug"])


async def test_a_file_by_put(node: Node) -> None:
    created = await several(node, ("a.py", "a\n"), ("b.txt", "b\n"))
    slug, headers = created["slug"], {"Authorization": f"Bearer {created['token']}"}

    async def put(path: str, content: bytes, **more: str) -> tuple[int, Any]:
        url = f"{node.url}/{slug}/raw{path}"
        async with node.http.put(url, data=io.BytesIO(content), headers={**headers, **more}) as response:
            return response.status, await response.json()

    status, view = await put("/a.py", b'{"a": 2}\n', **{"Content-Type": "application/json"})
    assert (status, view["revision"], view["files"][0]["syntax"]) == (200, 2, "python")
    assert await raw(node, slug, "/raw/a.py") == b'{"a": 2}\n'
    assert await raw(node, slug, "/raw/b.txt") == b"b\n"
    assert (await put("/a.py", b'{"a": 2}\n'))[1]["revision"] == 2
    assert (await put("/c.txt", b"c\n"))[0] == 201
    assert (await put("", b"which?\n"))[0] == 422
    assert (await put("/a.py", b""))[0] == 200
    assert (await put("/a.py?x=1", b"z"))[0] == 422
    async with node.http.get(f"{node.url}/{slug}/raw/b.txt") as response:
        tag = response.headers["ETag"]
    assert (await put("/b.txt", b"b2\n", **{"If-Match": tag}))[0] == 200
    assert (await put("/b.txt", b"b3\n", **{"If-Match": tag}))[0] == 412
    assert (await put("/b.txt", b"b3\n", **{"If-None-Match": "*"}))[0] == 412
    assert (await put("/b.txt", b"b3\n", **{"If-Match": '"1"'}))[0] == 412
    assert await raw(node, slug, "/raw/b.txt") == b"b2\n"
    for wrong, status in (("Bearer wrong", 403), ("", 401)):
        assert (await put("/b.txt", b"x", Authorization=wrong))[0] == status


async def test_the_only_file_by_put(node: Node) -> None:
    created = await node.paste("one\n", name="a.py")
    headers = {"Authorization": f"Bearer {created['token']}"}
    url = f"{node.url}/{created['slug']}/raw"
    async with node.http.put(url, data=io.BytesIO(b"x = 2\n" * 20_000), headers=headers) as response:
        view = await response.json()
        assert (response.status, view["files"][0]["name"], view["size"]) == (200, "a.py", 120_000)
    assert await raw(node, created["slug"]) == b"x = 2\n" * 20_000


async def test_limits_are_those_of_the_whole_paste(small_node: Node) -> None:
    created = await small_node.paste(b"x" * 150_000, name="a.txt")
    headers = {"Authorization": f"Bearer {created['token']}"}
    url = f"{small_node.url}/{created['slug']}/raw"
    async with small_node.http.put(f"{url}/b.txt", data=io.BytesIO(b"y" * 60_000), headers=headers) as response:
        assert response.status == 413
    for number in range(5):
        async with small_node.http.put(f"{url}/{number}", data=io.BytesIO(b"y"), headers=headers) as response:
            assert response.status == (201 if number < 4 else 422)
