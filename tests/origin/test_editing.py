"""Editing in the page, without a script: the form, what it keeps, conflicts, tokens that are lost; forks; settings."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import aiohttp
import pytest

from tests.nodes import Node
from tests.origin.test_changing import call
from tests.origin.test_forms import ELSEWHERE, Page, is_there, raw, visit


def values(page: Page) -> dict[str, str]:
    """What a browser would send of the form on the page: every field but files."""
    (form,) = re.findall(r'<form class="edit".*?</form>', page.text, re.DOTALL)
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        kind, name = re.search(r'type="(\w+)"', tag), re.search(r' name="([^"]*)"', tag)
        value = re.search(r' value="([^"]*)"', tag)
        if name and kind and kind[1] in ("text", "number", "hidden", "password"):
            found[name[1]] = html.unescape(value[1]) if value else ""
        elif name and kind and kind[1] == "checkbox" and " checked" in tag:
            found[name[1]] = html.unescape(value[1]) if value else "on"
    for name, text in re.findall(r'<textarea[^>]* name="([^"]*)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
        found[name] = html.unescape(text)
    for name, choices in re.findall(r'<select[^>]* name="([^"]*)".*?>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', choices)
        found[name] = html.unescape(chosen[1]) if chosen else ""
    return found


async def post(
    node: Node, path: str, fields: dict[str, str], *uploads: tuple[str, bytes], owner: str | None = None, **headers: str
) -> Page:
    """Send the form as browsers do: CR LF in text, and an empty file where none was chosen."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value.replace("\n", "\r\n"))
    for filename, content in uploads or [("", b"")]:
        form.add_field("file", io.BytesIO(content), filename=filename, content_type="application/octet-stream")
    return await visit(node, path, data=form, owner=owner, **headers)


async def opened(node: Node, created: dict[str, Any], mode: str = "edit") -> dict[str, str]:
    page = await visit(node, f"/{created['slug']}/{mode}", owner=created["token"])
    assert page.status == 200, page.words
    return values(page)


async def edited(node: Node, created: dict[str, Any], *uploads: tuple[str, bytes], **changes: str) -> Page:
    fields = {**await opened(node, created), **{name.replace("_", "-"): text for name, text in changes.items()}}
    return await post(node, f"/{created['slug']}/edit", fields, *uploads, owner=created["token"])


async def several(node: Node, *files: tuple[str, str], **options: Any) -> dict[str, Any]:
    body = {"files": [{"name": name, "content": content} for name, content in files], **options}
    async with node.http.post(f"{node.url}/api/v1/pastes", json=body) as response:
        assert response.status == 201
        created: dict[str, Any] = await response.json()
        return created


async def shown(node: Node, slug: str) -> dict[str, Any]:
    return (await call(node, "GET", slug, None))[1]


async def test_what_was_typed_is_the_next_revision(node: Node) -> None:
    created = await node.paste("one\n", name="a.py", title="before")
    page = await edited(node, created, content_1="two\n<b>\n", title="after")
    slug = created["slug"]
    assert (page.status, page.headers["Location"]) == (303, f"/{slug}")
    assert await raw(node, slug) == b"two\n<b>\n"
    view = await shown(node, slug)
    assert (view["revision"], view["title"], view["files"][0]["name"]) == (2, "after", "a.py")


@pytest.mark.parametrize(
    "content", ["one\r\ntwo\r\n", "\n\nleading\n", "no end", "mixed\r\nends\n", "\ufeffbom\n", " \t\n"]
)
async def test_an_untouched_form_changes_nothing(node: Node, content: str) -> None:
    created = await node.paste(content)
    assert (await edited(node, created)).status == 303
    assert await raw(node, created["slug"]) == content.encode()
    assert (await shown(node, created["slug"]))["revision"] == 1


async def test_line_ends_stay_those_of_the_file(node: Node) -> None:
    created = await node.paste("one\r\ntwo\r\n")
    await edited(node, created, content_1="one\nnew\ntwo\n")
    assert await raw(node, created["slug"]) == b"one\r\nnew\r\ntwo\r\n"


async def test_files_are_kept_renamed_removed_and_added(node: Node) -> None:
    created = await several(node, ("keep.txt", "1\n"), ("old.txt", "2\n"), ("gone.txt", "3\n"))
    slug = created["slug"]
    page = await edited(
        node,
        created,
        ("up.bin", b"\0\1"),
        name_2="new.txt",
        remove_3="yes",
        name_new="typed.md",
        content_new="# typed\n",
    )
    assert page.status == 303
    view = await shown(node, slug)
    assert [file["name"] for file in view["files"]] == ["keep.txt", "new.txt", "typed.md", "up.bin"]
    assert await raw(node, slug, "/raw/new.txt") == b"2\n"
    assert await raw(node, slug, "/raw/typed.md") == b"# typed\n"
    assert await raw(node, slug, "/raw/up.bin") == b"\0\1"
    assert view["files"][2]["syntax"] == "markdown"


async def test_what_no_form_can_hold_stays_as_it_is(node: Node) -> None:
    created = await node.paste(b"\xff latin\n" + b"x" * 100_000, name="a.txt")
    slug = created["slug"]
    await call(node, "PUT", f"../../../{slug}/raw/b.bin", created["token"], data=io.BytesIO(b"\0" * 100_000))
    page = await visit(node, f"/{slug}/edit", owner=created["token"])
    assert "content-1" not in values(page)
    assert "It stays as it is" in page.words
    assert (await edited(node, created, name_1="renamed.txt")).status == 303
    assert await raw(node, slug, "/raw/renamed.txt") == b"\xff latin\n" + b"x" * 100_000
    assert await raw(node, slug, "/raw/b.bin") == b"\0" * 100_000
    assert (await shown(node, slug))["revision"] == 3


async def test_many_files_are_edited_by_the_page(node: Node) -> None:
    created = await several(node, *((f"{number}.txt", f"{number}\n") for number in range(1, 46)))
    slug = created["slug"]
    page = await visit(node, f"/{slug}/edit?from=21", owner=created["token"])
    fields = values(page)
    assert "content-21" in fields
    assert "content-20" not in fields
    assert f'href="/{slug}/edit?from=41"' in page.text
    fields["content-21"] = "changed\n"
    assert (await post(node, f"/{slug}/edit", fields, owner=created["token"])).status == 303
    assert await raw(node, slug, "/raw/21.txt") == b"changed\n"
    assert await raw(node, slug, "/raw/45.txt") == b"45\n"


async def test_a_conflict_shows_both_and_loses_nothing(node: Node) -> None:
    created = await several(node, ("both.txt", "base\nsame\n"), ("theirs.txt", "base\n"), ("mine.txt", "base\n"))
    slug, token = created["slug"], created["token"]
    fields = await opened(node, created)
    files = [
        {"name": "theirs.txt", "content": "theirs\n"},
        {"name": "both.txt", "content": "theirs <i>\nsame\n"},
        {"name": "mine.txt", "content": "base\n"},
        {"name": "more.txt", "content": "more\n"},
    ]
    assert (await call(node, "PATCH", slug, token, json={"files": files}))[0] == 200
    fields |= {"content-1": "mine <b>\nsame\n", "content-3": "mine\n", "title": "my title"}
    page = await post(node, f"/{slug}/edit", fields, owner=token)
    assert page.status == 412
    again = values(page)
    assert (again["content-1"], again["content-2"], again["content-3"]) == ("theirs\n", "mine <b>\nsame\n", "mine\n")
    assert again["title"] == "my title"
    assert again["base"].startswith("2.")
    for text in ("-theirs <i>", "+mine <b>", "What was saved meanwhile"):
        assert text in page.words
    assert await raw(node, slug, "/raw/both.txt") == b"theirs <i>\nsame\n"
    assert (await post(node, f"/{slug}/edit", again, owner=token)).status == 303
    assert await raw(node, slug, "/raw/both.txt") == b"mine <b>\nsame\n"
    assert await raw(node, slug, "/raw/theirs.txt") == b"theirs\n"
    assert await raw(node, slug, "/raw/more.txt") == b"more\n"


async def test_a_file_that_somebody_else_removed_is_new_where_it_was_typed_into(node: Node) -> None:
    created = await several(node, ("a.txt", "a\n"), ("b.txt", "b\n"))
    fields = await opened(node, created)
    files = {"files": [{"name": "c.txt", "content": "c\n"}, {"name": "d.txt", "content": "d\n"}]}
    await call(node, "PATCH", created["slug"], created["token"], json=files)
    page = await post(node, f"/{created['slug']}/edit", {**fields, "content-2": "typed\n"}, owner=created["token"])
    assert page.status == 412
    assert values(page)["content-new"] == "typed\n"
    assert (await post(node, f"/{created['slug']}/edit", values(page), owner=created["token"])).status == 303
    assert await raw(node, created["slug"], "/raw/b.txt") == b"typed\n"
    assert [file["name"] for file in (await shown(node, created["slug"]))["files"]] == ["c.txt", "d.txt", "b.txt"]


async def test_a_lost_token_loses_nothing_else(node: Node) -> None:
    created, other = await node.paste("one\n"), await node.paste("other\n")
    slug = created["slug"]
    fields = {**await opened(node, created), "content-1": "typed <x>\n"}
    for owner in (None, other["token"]):
        page = await post(node, f"/{slug}/edit", fields, ("a.txt", b"chosen"), owner=owner)
        assert page.status == (401 if owner is None else 403)
        again = values(page)
        assert (again["content-1"], again["token"]) == ("typed <x>\n", "")
        assert "chosen again" in page.words
    again["token"] = "wrong"
    page = await post(node, f"/{slug}/edit", again)
    assert (page.status, values(page)["content-1"], values(page)["token"]) == (403, "typed <x>\n", "")
    page = await post(node, f"/{slug}/edit", {**again, "token": created["token"]})
    assert (page.status, page.owner.value) == (303, created["token"])
    assert await raw(node, slug) == b"typed <x>\n"


async def test_what_was_typed_outlives_the_paste(node: Node) -> None:
    created = await several(node, ("a.txt", "a\n"), ("b.txt", "b\n"))
    slug = created["slug"]
    fields = {**await opened(node, created), "content-1": "typed\n"}
    await call(node, "DELETE", slug, created["token"])
    page = await post(node, f"/{slug}/edit", fields, owner=created["token"])
    assert page.status == 404
    assert "This paste has ended" in page.words
    assert f'action="/{slug}/fork"' in page.text
    saved = await post(node, f"/{slug}/fork", values(page))
    assert saved.status == 303, saved.words
    made = saved.headers["Location"].strip("/").partition("?")[0]
    assert await raw(node, made, "/raw/a.txt") == b"typed\n"
    assert await raw(node, made, "/raw/b.txt") == b"b\n"
    assert (await shown(node, made))["parent"] is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"content_1": ""}, "must not be empty"),
        ({"syntax_1": "klingon"}, "is not known"),
        ({"name_1": "x" * 300}, "255 bytes"),
        ({"title": "x" * 300}, "200 characters"),
    ],
)
async def test_a_refused_form_comes_back(node: Node, changes: dict[str, str], word: str) -> None:
    created = await node.paste("one\n")
    page = await edited(node, created, **{"content_1": "typed\n", **changes})
    assert page.status == 422
    assert word in page.words
    if "content_1" not in changes:
        assert values(page)["content-1"] == "typed\n"
    assert (await shown(node, created["slug"]))["revision"] == 1


@pytest.mark.parametrize(
    ("places", "order"),
    [
        ({"place_3": "1"}, "cab"),
        ({"place_1": "3"}, "bca"),
        ({"place_1": "2"}, "bac"),
        ({"place_1": "3", "place_3": "1"}, "cba"),
        ({"place_3": "1", "remove_1": "yes"}, "cb"),
        ({"place_2": "x"}, "abc"),
    ],
    ids=str,
)
async def test_files_get_another_place(node: Node, places: dict[str, str], order: str) -> None:
    created = await several(node, *((name, f"{name}\n") for name in "abc"))
    assert (await edited(node, created, **places)).status == 303
    view = await shown(node, created["slug"])
    assert "".join(file["name"] for file in view["files"]) == order
    assert view["revision"] == (1 if order == "abc" else 2)
    assert await raw(node, created["slug"], "/raw/c") == b"c\n"


async def test_two_files_of_one_name_are_refused(node: Node) -> None:
    created = await several(node, ("a.txt", "a\n"), ("b.txt", "b\n"))
    page = await edited(node, created, name_2="a.txt")
    assert page.status == 422
    assert "File 2: Another file has this name." in page.words


async def test_strangers_are_asked_for_the_token(node: Node) -> None:
    created = await node.paste("one\n", max_reads=3)
    slug, token = created["slug"], created["token"]
    for owner in (None, "wrong"):
        page = await visit(node, f"/{slug}/edit", owner=owner)
        assert 'name="token" required' in page.text
        assert "<textarea" not in page.text
    wrong = await visit(node, f"/{slug}/unlock", data={"token": "wrong", "place": "edit"})
    assert (wrong.status, "owner" in wrong.cookies) == (403, False)
    right = await visit(node, f"/{slug}/unlock", data={"token": f" {token} ", "place": "edit"})
    assert (right.status, right.headers["Location"], right.owner.value) == (303, f"/{slug}/edit", token)
    assert right.owner["path"] == f"/{slug}"
    away = await visit(node, f"/{slug}/unlock", data={"token": token, "place": "//evil.example"})
    assert away.headers["Location"] == f"/{slug}/manage"
    owned = await visit(node, f"/{slug}/edit", owner=token)
    assert values(owned)["content-1"] == "one\n"
    (row,) = await node.sql("select reads from pastes where slug = $1", slug)
    assert row["reads"] == 0


async def test_an_owner_edits_a_protected_paste_and_uses_up_nothing(node: Node) -> None:
    created = await node.paste("one\n", max_reads=2, password="open sesame")
    page = await edited(node, created, content_1="two\n")
    assert (page.status, page.headers["Location"]) == (303, f"/{created['slug']}/manage?saved")
    rows = await node.sql("select reads, max_reads, revision from pastes where slug = $1", created["slug"])
    assert [tuple(row) for row in rows] == [(0, 2, 2)]


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_other_sites_change_nothing(node: Node, headers: dict[str, str]) -> None:
    created = await node.paste("one\n", max_reads=3)
    slug, token = created["slug"], created["token"]
    fields = {"base": "1.1", "content-1": "hacked\n"}
    for path in (f"/{slug}/edit", f"/{slug}/fork"):
        assert (await post(node, path, fields, owner=token, **headers)).status == 403
    for path in ("settings", "unlock", "burn", "restore/1"):
        data = {"confirm": "yes", "token": token, "visibility": "public"}
        assert (await visit(node, f"/{slug}/{path}", owner=token, data=data, **headers)).status == 403
    assert (await shown(node, slug))["revision"] == 1
    assert await is_there(node, slug)


async def test_a_fork_is_a_paste_of_its_own(node: Node) -> None:
    parent = await several(node, ("a.py", "a = 1\n"), ("b.txt", "b\n"), title="A title", visibility="public")
    await call(node, "PUT", f"../../../{parent['slug']}/raw/c.bin", parent["token"], data=io.BytesIO(b"\0" * 99_999))
    page = await visit(node, f"/{parent['slug']}/fork")
    fields = {**values(page), "content-1": "a = 2\n", "title": "Mine"}
    made = await post(node, f"/{parent['slug']}/fork", fields)
    assert made.status == 303, made.words
    slug = made.headers["Location"].strip("/").partition("?")[0]
    assert made.owner["path"] == f"/{slug}"
    view = await shown(node, slug)
    assert (view["parent"], view["title"], view["revision"]) == (parent["slug"], "Mine", 1)
    assert await raw(node, slug, "/raw/a.py") == b"a = 2\n"
    assert await raw(node, slug, "/raw/c.bin") == b"\0" * 99_999
    assert await raw(node, parent["slug"], "/raw/a.py") == b"a = 1\n"
    assert (await call(node, "DELETE", parent["slug"], parent["token"]))[0] == 204
    assert await raw(node, slug, "/raw/c.bin") == b"\0" * 99_999


async def test_a_form_that_is_sent_twice_makes_one_fork(node: Node) -> None:
    parent = await several(node, ("a.py", "a = 1\n"), ("b.txt", "b\n"))
    await call(node, "PUT", f"../../../{parent['slug']}/raw/c.bin", parent["token"], data=io.BytesIO(b"\0" * 99_999))
    fields = {**values(await visit(node, f"/{parent['slug']}/fork")), "content-1": "a = 2\n"}
    once, again = [await post(node, f"/{parent['slug']}/fork", fields, ("d.txt", b"d\n")) for _ in range(2)]
    assert (once.status, again.headers["Location"]) == (303, once.headers["Location"])
    assert again.owner.value == once.owner.value
    slug = once.headers["Location"].strip("/").partition("?")[0]
    assert await raw(node, slug, "/raw/c.bin") == b"\0" * 99_999
    assert await raw(node, parent["slug"], "/raw/c.bin") == b"\0" * 99_999
    other = await post(node, f"/{parent['slug']}/fork", fields, ("d.txt", b"e\n"))
    assert other.status == 303
    assert other.headers["Location"] != once.headers["Location"], "what has changed since is another paste"
    renamed = await post(node, f"/{parent['slug']}/fork", fields, ("e.txt", b"d\n"))
    assert renamed.status == 303, renamed.words
    assert renamed.headers["Location"] not in (once.headers["Location"], other.headers["Location"])
    assert values(await visit(node, f"/{parent['slug']}/fork"))["attempt"] != fields["attempt"]


async def test_a_fork_need_not_say_where_it_comes_from(node: Node) -> None:
    parent = await node.paste("one\n")
    fields = values(await visit(node, f"/{parent['slug']}/fork"))
    del fields["parent"]
    made = await post(node, f"/{parent['slug']}/fork", fields)
    assert (await shown(node, made.headers["Location"].strip("/").partition("?")[0]))["parent"] is None


@pytest.mark.parametrize("options", [{"max_reads": 1}, {"password": "p"}, {"visibility": "private"}])
async def test_what_takes_a_reveal_is_not_forked(node: Node, options: dict[str, Any]) -> None:
    created = await node.paste("secret\n", **options)
    status = 404 if "visibility" in options else 403
    page = await visit(node, f"/{created['slug']}/fork")
    assert (page.status, "secret\n" in page.text) == (status, False)
    page = await post(node, f"/{created['slug']}/fork", {"base": "1.1", "name-1": "x"})
    assert page.status in (403, 422)
    assert "secret\n" not in page.text


async def test_encrypted_pastes_are_for_those_with_the_key(node: Node) -> None:
    created = await node.paste("cipher\n", encryption={"v": 2})
    for mode in ("edit", "fork"):
        page = await visit(node, f"/{created['slug']}/{mode}", owner=created["token"])
        assert "This paste is encrypted" in page.words
        assert "<textarea" not in page.text
