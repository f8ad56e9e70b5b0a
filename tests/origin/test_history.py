"""What a paste was: revisions as pages, bytes and JSON, differences, restoring, forks; and who may see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.nodes import Node
from tests.origin.answers import GZIP, HTML, Answer, ask
from tests.origin.test_changing import call

PATCH = {"Accept": "text/x-diff"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def revised(node: Node, *contents: str, **options: Any) -> dict[str, Any]:
    """A paste whose revisions have these contents."""
    created = await node.paste(contents[0], **options)
    for content in contents[1:]:
        change = {"content": content, **({"name": options["name"]} if "name" in options else {})}
        status, _, _ = await call(node, "PATCH", created["slug"], created["token"], json=change)
        assert status == 200
    return created


async def restored(node: Node, created: dict[str, Any], number: int, **headers: str) -> Answer:
    path = f"/api/v1/pastes/{created['slug']}/restore/{number}"
    return await ask(node, path, "POST", headers={**bearer(created["token"]), **headers})


async def test_every_revision_has_its_bytes_and_page(node: Node) -> None:
    slug = (await revised(node, "one\n", "two\n", "three\n", name="a.txt"))["slug"]
    for number, text in enumerate(("one\n", "two\n", "three\n"), 1):
        assert (await ask(node, f"/{slug}/rev/{number}/raw")).body == text.encode()
        page = await ask(node, f"/{slug}/rev/{number}", headers=HTML)
        assert text.strip() in page.body.decode()
        assert ("This is revision" in page.body.decode()) == (number < 3)
        if number < 3:
            assert f'href="/{slug}/rev/{number}/raw"' in page.body.decode()
        assert page.shared is not None
    assert (await ask(node, f"/{slug}/rev/2/raw?lines=1")).body == b"two\n"
    for number in ("0", "4", "99999999999999999999"):
        assert (await ask(node, f"/{slug}/rev/{number}")).status == 404
        assert (await ask(node, f"/{slug}/rev/{number}/raw")).status == 404
    plain = await ask(node, f"/{slug}/rev/1")
    assert (plain.status, plain.headers["Location"]) == (302, f"/{slug}/rev/1/raw")


async def test_several_files_of_a_revision(node: Node) -> None:
    files = [{"name": "a b.txt", "content": "one\n"}, {"name": "..", "content": "two\n"}]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files}) as response:
        created = await response.json()
    slug = created["slug"]
    await call(node, "PATCH", slug, created["token"], json={"content": "x"})
    listed = (await ask(node, f"/{slug}/rev/1/raw")).body.decode().splitlines()
    assert listed == [f"{node.url}/{slug}/rev/1/raw/a%20b.txt", f"{node.url}/{slug}/rev/1/raw?name=.."]
    assert (await ask(node, f"/{slug}/rev/1/raw/a%20b.txt")).body == b"one\n"
    assert (await ask(node, f"/{slug}/rev/1/raw?name=..")).body == b"two\n"
    assert (await ask(node, f"/{slug}/rev/1/raw/x")).status == 404
    assert (await ask(node, f"/{slug}/rev/1/raw/%00")).status == 404


async def test_the_history_as_page_and_json(node: Node) -> None:
    created = await revised(node, "one\n", "two\n", "three\n")
    slug = created["slug"]
    page = (await ask(node, f"/{slug}/history", headers=HTML)).body.decode()
    for number in (1, 2):
        assert f'href="/{slug}/rev/{number}"' in page
    assert f'href="/{slug}/diff/2..3"' in page
    view = json.loads((await ask(node, f"/api/v1/pastes/{slug}/revisions")).body)
    assert [one["revision"] for one in view["revisions"]] == [3, 2, 1]
    assert view["revisions"][0]["size"] == 6
    assert view["next"] is None
    earlier = json.loads((await ask(node, f"/api/v1/pastes/{slug}/revisions?before=2")).body)
    assert [one["revision"] for one in earlier["revisions"]] == [1]
    one = json.loads((await ask(node, f"/api/v1/pastes/{slug}/revisions/2?content=true")).body)
    assert (one["revision"], one["files"][0]["content"]) == (2, "two\n")
    assert one["files"][0]["raw_url"] == f"{node.url}/{slug}/rev/2/raw"
    assert one["raw_url"] == f"{node.url}/{slug}/rev/2/raw"
    assert (await ask(node, f"/api/v1/pastes/{slug}/revisions?page=2")).status == 422
    assert (await ask(node, f"/api/v1/pastes/{slug}/revisions/9")).status == 404


async def test_a_long_history_has_pages(node: Node) -> None:
    created = await node.paste("0\n")
    await node.sql(
        """with p as (update pastes set revision = 120 where slug = $1 returning id), r as (
               insert into revisions (paste_id, number) select id, n from p, generate_series(2, 120) n returning *
           )
           insert into files (paste_id, revision, position, media_type, size, sha256, body)
           select paste_id, number, 0, 'text/plain', 1, sha256('x'), 'x' from r""",
        created["slug"],
    )
    found: list[int] = []
    path: str | None = f"/api/v1/pastes/{created['slug']}/revisions"
    while path:
        answer = await ask(node, path)
        view = json.loads(answer.body)
        found += [one["revision"] for one in view["revisions"]]
        assert ("Link" in answer.headers) == (view["next"] is not None)
        path = view["next"] and view["next"].removeprefix(node.url)
    assert found == list(range(120, 0, -1))
    page = (await ask(node, f"/{created['slug']}/history", headers=HTML)).body.decode()
    assert f'href="/{created["slug"]}/history?before=71"' in page


async def test_differences_as_page_patch_and_json(node: Node) -> None:
    created = await revised(node, "one\ntwo\n", "one\n2 <b>\n", name="a.txt")
    slug = created["slug"]
    page = await ask(node, f"/{slug}/diff/1..2", headers=HTML)
    assert page.status == 200
    assert page.shared is not None
    assert page.keys >= {f"p-{slug}"}
    for text in ("-two", "+2 &lt;b&gt;", "a.txt"):
        assert text in page.body.decode()
    split = (await ask(node, f"/{slug}/diff/1..2?layout=split", headers=HTML)).body.decode()
    assert '<table class="split">' in split
    want = b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2 <b>\n"
    for path, headers in ((f"/{slug}/diff/1..2", PATCH), (f"/{slug}/diff/1..2.patch", {})):
        patch = await ask(node, path, headers=headers)
        assert patch.body == want
        assert patch.headers["Content-Type"] == "text/x-diff; charset=utf-8"
        assert "sandbox" in patch.headers["Content-Security-Policy"]
    view = json.loads((await ask(node, f"/api/v1/pastes/{slug}/diff?from=1&to=2")).body)
    assert (view["added"], view["removed"], view["files"][0]["patch"]) == (1, 1, want.decode())
    assert json.loads((await ask(node, f"/api/v1/pastes/{slug}/diff")).body)["old"] == {"slug": slug, "revision": 1}
    assert (await ask(node, f"/api/v1/pastes/{slug}/diff", headers=PATCH)).body == want
    again = await ask(node, f"/{slug}/diff/1..2", headers={**HTML, "If-None-Match": page.headers["ETag"]})
    assert again.status == 304
    same = await ask(node, f"/{slug}/diff/2..2", headers=HTML)
    assert "no difference" in same.body.decode()
    assert (await ask(node, f"/{slug}/diff/1..9")).status == 404
    assert (await ask(node, f"/{slug}/diff/0..1")).status == 404


async def test_forms_of_the_history_lead_to_comparisons(node: Node) -> None:
    slug = (await revised(node, "one\n", "two\n"))["slug"]
    for query, place in (
        ("from=1&to=2", f"/{slug}/diff/1..2"),
        ("with=otherpaste", f"/diff/{slug}/otherpaste"),
        (f"with={node.url}/otherpaste.py%3Fx%23L1", f"/diff/{slug}/otherpaste"),
    ):
        answer = await ask(node, f"/{slug}/diff?{query}", headers=HTML)
        assert (answer.status, answer.headers["Location"]) == (303, place)
    for query in ("from=x&to=2", "with=..%2F..%2F", "with=//evil.example/", ""):
        answer = await ask(node, f"/{slug}/diff?{query}", headers=HTML)
        assert answer.status == 422 or answer.headers["Location"].startswith(f"/diff/{slug}/")


async def test_any_two_pastes(node: Node) -> None:
    one, other = await node.paste("1\n", name="a.py"), await node.paste("2\n", name="b.py")
    path = f"/diff/{one['slug']}/{other['slug']}"
    page = await ask(node, path, headers=HTML)
    assert page.status == 200
    assert page.keys >= {f"p-{one['slug']}", f"p-{other['slug']}"}
    assert b"rename from a.py\nrename to b.py\n" in (await ask(node, path, headers=PATCH)).body
    assert (await ask(node, f"{path}.patch")).body == (await ask(node, path, headers=PATCH)).body
    assert (await ask(node, f"/diff/{one['slug']}/nosuchpaste")).status == 404


async def test_what_is_protected_is_protected_in_its_past(node: Node) -> None:
    """Neither a history, nor a revision, nor a difference shows what takes a reveal; its owner sees all of it."""
    open_paste = await node.paste("x\n")
    for options in ({"max_reads": 1}, {"password": "open sesame"}, {"visibility": "private"}):
        created = await revised(node, "secret one\n", "secret two\n", **options)
        slug, status = created["slug"], 404 if "visibility" in options else 403
        paths = [
            *(f"/{slug}/history", f"/{slug}/rev/1", f"/{slug}/rev/1/raw", f"/{slug}/rev/2", f"/{slug}/diff/1..2"),
            *(f"/{slug}/diff/1..2.patch", f"/api/v1/pastes/{slug}/revisions", f"/api/v1/pastes/{slug}/revisions/1"),
            f"/api/v1/pastes/{slug}/diff?from=1&to=2",
            f"/diff/{slug}/{open_paste['slug']}",
            f"/diff/{open_paste['slug']}/{slug}",
        ]
        for path in paths:
            for headers in ({}, HTML, PATCH, bearer(open_paste["token"])):
                answer = await ask(node, path, headers=headers)
                assert answer.status == status, (path, answer.body)
                assert b"secret" not in answer.body
        for path in paths[:9]:
            answer = await ask(node, path, headers={**HTML, **bearer(created["token"])})
            assert (answer.status, answer.is_secret) == (200, True), path
        (row,) = await node.sql("select reads from pastes where slug = $1", slug)
        assert row["reads"] == 0


async def test_restoring_makes_a_new_revision(node: Node) -> None:
    created = await revised(node, "one\n", "two\n", name="a.txt")
    answer = await restored(node, created, 1)
    view = json.loads(answer.body)
    assert (answer.status, view["revision"], answer.headers["ETag"]) == (200, 3, '"3"')
    assert (await ask(node, f"/{created['slug']}/raw")).body == b"one\n"
    assert (await ask(node, f"/{created['slug']}/rev/2/raw")).body == b"two\n"
    assert json.loads((await restored(node, created, 3)).body)["revision"] == 3
    assert (await restored(node, created, 9)).status == 404
    assert (await restored(node, created, 1, **{"If-Match": '"1"'})).status == 412
    path = f"/api/v1/pastes/{created['slug']}/restore/1"
    assert (await ask(node, path, "POST")).status == 401
    assert (await ask(node, path, "POST", headers=bearer("wrong"))).status == 403


async def test_large_files_are_restored_and_kept_without_a_copy(node: Node) -> None:
    large = b"\0" * 200_000
    created = await node.paste(large, name="big.bin")
    slug, token = created["slug"], created["token"]
    await call(node, "PATCH", slug, token, json={"content": "small\n"})
    assert (await restored(node, created, 1)).status == 200
    assert (await ask(node, f"/{slug}/raw")).body == large
    headers = bearer(token)
    answer = await ask(node, f"/{slug}/raw/b.txt", "PUT", data=b"beside\n", headers=headers)
    assert answer.status == 201
    assert (await ask(node, f"/{slug}/raw/big.bin")).body == large
    rows = await node.sql(
        """select distinct f.blob_key, b.state from files f join pastes p on p.id = f.paste_id
           join blobs b on b.key = f.blob_key where slug = $1""",
        slug,
    )
    assert [row["state"] for row in rows] == ["live"]


async def test_public_forks_are_linked_both_ways(node: Node) -> None:
    parent = await node.paste("one\n")
    slug = parent["slug"]
    public = await node.paste("two\n", parent=slug, visibility="public", title="A <fork>")
    hidden = [
        await node.paste("two\n", parent=slug),
        await node.paste("two\n", parent=slug, visibility="private"),
        await node.paste("two\n", parent=slug, visibility="public", password="p"),
        await node.paste("two\n", parent=slug, visibility="public", max_reads=3),
    ]
    page = await ask(node, f"/{slug}/history", headers=HTML)
    text = page.body.decode()
    assert f'href="/{public["slug"]}"' in text
    assert "A &lt;fork&gt;" in text
    assert not any(fork["slug"] in text for fork in hidden)
    assert page.shared is None, "whoever kept it would not be told when one of them ends"
    assert f'href="/{slug}"' in (await ask(node, f"/{public['slug']}/history", headers=HTML)).body.decode()


@pytest.mark.parametrize("headers", [{}, GZIP])
async def test_hostile_names_and_texts_stay_text(node: Node, headers: dict[str, str]) -> None:
    name = '"><img src=x onerror=alert(1)>'
    created = await node.paste("<script>alert(1)</script>\n", name=name, title=name)
    await call(node, "PATCH", created["slug"], created["token"], json={"content": "</pre><svg onload=alert(1)>\n"})
    slug = created["slug"]
    for path in (f"/{slug}/history", f"/{slug}/diff/1..2", f"/{slug}/diff/1..2?layout=split", f"/{slug}/rev/1"):
        text = (await ask(node, path, headers={**HTML, **headers})).body
        if not headers:
            assert b"<script>alert" not in text
            assert b"<img src=x" not in text
            assert b"<svg" not in text.replace(b"<svg xmlns", b"")


async def test_large_texts_are_compared_elsewhere(node: Node) -> None:
    """In a process of its own: the answer is the same, and as bounded."""
    lines = [f"line {number}\n" for number in range(20_000)]
    old = await node.paste("".join(lines), name="a.txt")
    lines[7] = "changed <b>\n"
    new = await node.paste("".join(lines), name="a.txt")
    path = f"/diff/{old['slug']}/{new['slug']}"
    want = b"@@ -5,7 +5,7 @@\n line 4\n line 5\n line 6\n-line 7\n+changed <b>\n line 8\n line 9\n line 10\n"
    assert (await ask(node, f"{path}.patch")).body.endswith(want)
    for layout in ("", "?layout=split"):
        page = await ask(node, f"{path}{layout}", headers=HTML)
        assert page.status == 200
        assert b"changed &lt;b&gt;" in page.body
        assert len(page.body) < 20_000
    other = await node.paste("".join(f"{number * 7919 % 60_000}\n" for number in range(60_000)))
    page = await ask(node, f"/diff/{old['slug']}/{other['slug']}", headers=HTML)
    assert (page.status, len(page.body) < 3_000_000) == (200, True)
    assert b"more changes than this page has room for" in page.body


async def test_what_is_no_text_or_too_much_is_named(node: Node) -> None:
    old, new = await node.paste(b"\0" * 9, name="a.bin"), await node.paste(b"\1\0" * 9, name="a.bin")
    path = f"/diff/{old['slug']}/{new['slug']}"
    assert b"its changes cannot be shown" in (await ask(node, path, headers=HTML)).body
    assert b"Binary files a/a.bin and b/a.bin differ\n" in (await ask(node, f"{path}.patch")).body
    large = await node.paste(b"x" * 1_100_000, name="a.txt")
    small = await node.paste("y\n")
    page = await ask(node, f"/diff/{large['slug']}/{small['slug']}", headers=HTML)
    assert b"too large to be compared" in page.body
    moved = await node.paste(b"x" * 1_100_000, name="b.txt")
    patch = await ask(node, f"/diff/{large['slug']}/{moved['slug']}.patch")
    assert b"rename from a.txt\nrename to b.txt\n" in patch.body
