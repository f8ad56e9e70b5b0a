"""My pastes without a script: listed, opened again, forgotten, taken along as a file, and nobody else's business."""

from __future__ import annotations

import io
import json
import re
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.origin import keeping
from pastebin.origin.keeping import Kept
from tests.nodes import Node

HTML = {"Accept": "text/html,application/xhtml+xml"}


class Browser:
    """Keeps cookies by their paths, as a browser without scripts."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.mine = ""
        self.owners: dict[str, str] = {}

    async def ask(self, method: str, path: str, data: Any = None, **headers: str) -> tuple[int, str, str]:
        """Status, where to, and text."""
        if path.startswith("/mine"):
            cookie = f"mine={self.mine}" if self.mine else ""
        else:
            owner = self.owners.get(path.split("/")[1].partition("?")[0])
            cookie = f"owner={owner}" if owner else ""
        given = {**HTML, **headers, **({"Cookie": cookie} if cookie else {})}
        async with self.node.http.request(
            method, self.node.url + path, data=data, headers=given, allow_redirects=False
        ) as response:
            self._keep(response.cookies)
            return response.status, response.headers.get("Location", ""), await response.text()

    def _keep(self, cookies: SimpleCookie) -> None:
        for name, morsel in cookies.items():
            if name == "mine":
                assert (morsel["path"], morsel["httponly"], morsel["samesite"]) == ("/mine", True, "Lax")
                self.mine = morsel.value
            elif name == "owner":
                self.owners[morsel["path"].removeprefix("/")] = morsel.value

    async def create(self, **fields: str) -> str:
        form = aiohttp.FormData({"newlines": "lf", **fields}, default_to_multipart=True)
        status, location, text = await self.ask("POST", "/mine", form)
        assert status == 303, text
        return location.split("/")[1].partition("?")[0]

    async def shown(self) -> list[str]:
        """The slugs of the list."""
        status, _, text = await self.ask("GET", "/mine")
        assert status == 200
        return re.findall(r'<li data-slug="([^"]+)"', text)


@pytest.fixture
def browser(node: Node) -> Browser:
    return Browser(node)


async def test_what_was_made_is_listed_the_newest_first(browser: Browser) -> None:
    assert "No paste was made with this browser yet." in (await browser.ask("GET", "/mine"))[2]
    slugs = [await browser.create(content="x", title=f"<b>{number}") for number in range(3)]
    private = await browser.create(content="y", visibility="private", title="hidden one")
    burning = await browser.create(content="z", max_reads="5", password="open sesame")
    assert await browser.shown() == [burning, private, *reversed(slugs)]
    _, _, text = await browser.ask("GET", "/mine")
    assert "&lt;b&gt;2" in text
    assert "hidden one" in text
    assert "5 readings left" in text
    assert "with a password" in text
    assert all(token not in text for token in browser.owners.values())


async def test_the_list_is_kept_by_nobody_else(browser: Browser) -> None:
    slug = await browser.create(content="x")
    stranger = Browser(browser.node)
    assert await stranger.shown() == []
    async with browser.node.http.get(f"{browser.node.url}/mine", headers=HTML) as response:
        assert response.headers["Cache-Control"] == "private, no-store"
        assert response.headers["CDN-Cache-Control"] == "no-store"
    stranger.mine = f"{slug}:{'x' * 32}"
    _, _, text = await stranger.ask("GET", "/mine")
    assert "no longer there" in text, "a wrong token is told nothing"


async def test_opening_brings_back_the_token_that_a_browser_has_lost(browser: Browser) -> None:
    slug = await browser.create(content="private words", visibility="private")
    token = browser.owners.pop(slug)
    assert (await browser.ask("GET", f"/{slug}"))[0] == 404
    status, location, _ = await browser.ask("POST", "/mine/open", {"slug": slug, "to": "page"})
    assert (status, location) == (303, f"/{slug}")
    assert "private words" in (await browser.ask("GET", location))[2]
    browser.owners.clear()
    status, location, _ = await browser.ask("POST", "/mine/open", {"slug": slug})
    assert (status, location) == (303, f"/{slug}/manage")
    assert token in (await browser.ask("GET", location))[2]
    for slug in ("unknown0000", "../evil", "mine", ""):
        assert (await browser.ask("POST", "/mine/open", {"slug": slug}))[0] == 404


async def test_forgetting_one_and_all_that_are_over(browser: Browser) -> None:
    slugs = [await browser.create(content="x") for _ in range(3)]
    for slug in slugs[:2]:
        headers = {"Authorization": f"Bearer {browser.owners[slug]}"}
        async with browser.node.http.delete(f"{browser.node.url}/api/v1/pastes/{slug}", headers=headers) as response:
            assert response.status == 204
    assert await browser.shown() == slugs[::-1]
    assert (await browser.ask("POST", "/mine/forget", {"slug": slugs[0]}))[0:2] == (303, "/mine")
    assert await browser.shown() == [slugs[2], slugs[1]]
    await browser.ask("POST", "/mine/forget", {"which": "over"})
    assert await browser.shown() == [slugs[2]]


async def test_the_list_goes_from_browser_to_browser_as_a_file(browser: Browser) -> None:
    slugs = [await browser.create(content=f"{number}", title="Ünï") for number in range(3)]
    status, _, text = await browser.ask("GET", "/mine/export")
    assert status == 200
    entries = [json.loads(line) for line in text.splitlines()]
    assert [entry["slug"] for entry in entries] == slugs
    assert set(entries[0]) == {"server", "slug", "url", "token", "created_at", "expires_at", "title", "name"}
    other = Browser(browser.node)
    last = await other.create(content="here already")
    elsewhere = json.dumps({**entries[0], "url": "https://elsewhere.example/x", "server": "https://elsewhere.example"})
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("file", io.BytesIO(f"{text}\n{elsewhere}\nnonsense\n".encode()), filename="pastes.jsonl")
    status, location, _ = await other.ask("POST", "/mine/import", form)
    assert (status, location) == (303, "/mine?taken=3&foreign=2")
    assert await other.shown() == [*slugs[::-1], last]
    assert "3 pastes were added. 2 lines were of no paste" in (await other.ask("GET", location))[2]
    status, location, _ = await other.ask("POST", "/mine/open", {"slug": slugs[0]})
    assert browser.owners[slugs[0]] in (await other.ask("GET", location))[2]


@pytest.mark.parametrize("content", [b"", b"\0\xff\n" * 50, b"[1, 2]", b'{"slug": 1, "token": []}', b"x" * 2_100_000])
async def test_a_file_that_is_no_list_is_refused(browser: Browser, content: bytes) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("file", io.BytesIO(content), filename="<script>.jsonl")
    status, _, text = await browser.ask("POST", "/mine/import", form)
    assert status == 422
    assert browser.mine == ""
    assert "<script>." not in text


async def test_rows_for_what_only_the_storage_of_a_browser_knows(browser: Browser) -> None:
    slug = await browser.create(content="x", title="Found")
    asked = [
        {"slug": slug, "token": browser.owners[slug]},
        {"slug": slug, "token": "x" * 32},
        {"slug": "a b", "token": ""},
    ]
    json_body = {"Content-Type": "application/json"}
    status, _, text = await browser.ask("POST", "/mine/rows", json.dumps({"pastes": asked}), **json_body)
    assert status == 200
    assert (text.count("<li"), text.count("Found"), text.count("no longer there")) == (2, 4, 1)
    assert "<html" not in text
    many = {"pastes": asked[:1] * 51}
    assert (await browser.ask("POST", "/mine/rows", json.dumps(many), **json_body))[0] == 422


async def test_deleting_from_the_list(browser: Browser) -> None:
    slugs = [await browser.create(content="x", title="mine") for _ in range(2)]
    status, _, text = await browser.ask("POST", "/mine/delete", {"slug": slugs[0]})
    assert (status, "please tick the box first" in text) == (422, True)
    browser.owners.clear()
    status, _, text = await browser.ask("POST", "/mine/delete", {"slug": slugs[0], "confirm": "yes"})
    assert (status, "The paste is deleted" in text) == (200, True)
    assert await browser.shown() == [slugs[1]]
    assert (await browser.ask("GET", f"/{slugs[0]}"))[0] == 404
    wrong = {"slug": slugs[1], "confirm": "yes", "token": "x" * 32}
    assert (await browser.ask("POST", "/mine/delete", wrong))[0] == 403
    assert (await browser.ask("GET", f"/{slugs[1]}"))[0] == 200


@pytest.mark.parametrize("path", ["", "/delete", "/open", "/forget", "/import", "/rows"])
async def test_no_other_site_can_change_the_list(browser: Browser, path: str) -> None:
    slug = await browser.create(content="x")
    before = browser.mine
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        status, _, _ = await browser.ask("POST", f"/mine{path}", {"slug": slug}, **headers)
        assert status == 403
        assert browser.mine == before


async def test_a_script_of_the_page_gets_the_token_and_the_address(browser: Browser) -> None:
    form = aiohttp.FormData({"newlines": "lf", "content": "x", "syntax-1": "rust"}, default_to_multipart=True)
    form.add_field("file-1", io.BytesIO(b"fn main() {}"), filename="")
    url, json_wanted = f"{browser.node.url}/mine", {"Accept": "application/json"}
    async with browser.node.http.post(url, data=form, headers=json_wanted) as response:
        created = await response.json()
        assert response.status == 201
        assert response.headers["Location"] == f"/{created['slug']}?created"
        assert response.cookies["owner"].value == created["token"]
        assert response.cookies["mine"].value == f"{created['slug']}:{created['token']}"
        assert [(file["name"], file["syntax"]) for file in created["files"]] == [("file-1", None), ("file-2", "rust")]
    empty = aiohttp.FormData({"title": "x"}, default_to_multipart=True)
    async with browser.node.http.post(url, data=empty, headers=json_wanted) as response:
        assert (response.status, response.content_type) == (422, "application/problem+json")


async def test_a_form_posted_to_the_front_page_makes_a_paste_but_leaves_the_list(browser: Browser) -> None:
    await browser.create(content="x")
    before = browser.mine
    form = aiohttp.FormData({"newlines": "lf", "content": "y"}, default_to_multipart=True)
    assert (await browser.ask("POST", "/", form))[0] == 303
    assert browser.mine == before


_SLUGS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{1,62}[A-Za-z0-9]", fullmatch=True).filter(
    lambda slug: keeping.is_kept(slug, "x" * 32)
)
_KEPT = st.lists(st.builds(Kept, _SLUGS, st.from_regex(r"[A-Za-z0-9]{16,64}", fullmatch=True)), max_size=120)


@settings(max_examples=30)  # each of them is long
@given(_KEPT, _KEPT)
def test_a_cookie_holds_the_newest_and_never_too_much(older: list[Kept], newer: list[Kept]) -> None:
    kept = keeping.added(older, newer)
    assert len({one.slug for one in kept}) == len(kept)
    text = keeping.written(kept)
    assert len(f"mine={text}") < 4000
    found = keeping.parse(text)
    assert found == kept[: len(found)]
    assert len(found) == len(kept) or len(found) >= 28


@given(st.text(max_size=5000))
def test_a_cookie_from_anywhere_is_read_without_an_error(text: str) -> None:
    for one in keeping.parse(text):
        assert keeping.is_kept(*one)


@given(st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: json.dumps({"slug": text}).encode()))
def test_a_list_from_anywhere_is_read_without_an_error(content: bytes) -> None:
    found, foreign = keeping.imported(content, "https://p.example")
    assert not found
    assert foreign <= content.count(b"\n") + content.count(b"\r") + 1
