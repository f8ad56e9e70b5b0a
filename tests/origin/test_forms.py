"""What a browser without scripts, lynx or w3m posts: create, reveal, manage; and what it must not be tricked into."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.nodes import Node, directory, started

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ELSEWHERE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://[x"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
]
AT_HOME: list[dict[str, str]] = [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]


@dataclass(frozen=True)
class Page:
    """An answer as a browser gets it."""

    status: int
    text: str
    headers: Mapping[str, str]
    cookies: SimpleCookie

    @property
    def owner(self) -> Morsel[str]:
        return self.cookies["owner"]

    @property
    def words(self) -> str:
        """The text without its markup."""
        return html.unescape(re.sub(r"<[^>]*>", "", self.text))

    def value(self, field: str) -> str:
        """What is typed into a field of the form."""
        area = re.search(rf'<textarea[^>]*name="{field}"[^>]*>\n(.*?)</textarea>', self.text, re.DOTALL)
        text = re.search(rf'<input[^>]*name="{field}"[^>]*value="([^"]*)"', self.text)
        choice = re.search(rf'<select[^>]*name="{field}"(.*?)</select>', self.text, re.DOTALL)
        if choice:
            text = re.search(r'<option value="([^"]*)" selected', choice[1])
        found = area or text
        return html.unescape(found[1]) if found else ""


async def visit(node: Node, path: str, *, owner: str | None = None, data: Any = None, **headers: str) -> Page:
    """GET, or POST of `data`: a dict goes urlencoded, as browsers do without another enctype. Redirects are shown."""
    given = {"Accept": ACCEPT, **headers}
    if owner:
        given["Cookie"] = f"owner={owner}"
    method = "GET" if data is None else "POST"
    async with node.http.request(method, node.url + path, data=data, headers=given, allow_redirects=False) as response:
        assert response.status == 303 or response.headers["X-Content-Type-Options"] == "nosniff"
        return Page(response.status, (await response.read()).decode(), response.headers.copy(), response.cookies)


async def create(node: Node, headers: dict[str, str] | None = None, **fields: str | tuple[str, bytes]) -> Page:
    """Fill in the form and send it as browsers do: every field, empty or not, text with CR LF."""
    empty = {"title": "", "name": "", "content": "", "syntax": "", "expires_in": "", "visibility": "unlisted"}
    form = as_form({**empty, "max_reads": "", "password": "", "file": ("", b""), **fields})
    return await visit(node, "/", data=form, **(headers or {}))


def as_form(fields: Mapping[str, str | tuple[str, bytes]]) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("newlines", "lf")
    for name, value in fields.items():
        if isinstance(value, tuple):
            form.add_field(name, io.BytesIO(value[1]), filename=value[0], content_type="application/octet-stream")
        else:
            form.add_field(name, value.replace("\n", "\r\n"))
    return form


async def made(node: Node, **fields: str | tuple[str, bytes]) -> tuple[str, str]:
    """Slug and owner token of a paste made with the form."""
    page = await create(node, **fields)
    assert page.status == 303, page.words
    return slug_of(page), page.owner.value


def slug_of(page: Page) -> str:
    """Of the paste that the answer leads to."""
    return urlsplit(page.headers["Location"]).path.split("/")[1]


async def raw(node: Node, slug: str, suffix: str = "/raw") -> bytes:
    async with node.http.get(f"{node.url}/{slug}{suffix}") as response:
        return await response.read() if response.status == 200 else b""


async def is_there(node: Node, slug: str) -> bool:
    async with node.http.get(f"{node.url}/{slug}", headers={"Accept": ACCEPT}) as response:
        return response.status == 200


async def test_the_form_makes_a_paste_and_leads_to_its_page(node: Node) -> None:
    front = await visit(node, "/")
    assert (front.status, front.headers["Vary"]) == (200, "Accept, Accept-Encoding, Accept-Language")
    assert '<form class="create" method="post" action="/mine" enctype="multipart/form-data"' in front.text
    sent = await create(node, content="print('hi')\n\n", title="A <title>", name="a.py")
    assert (sent.status, sent.headers["Cache-Control"]) == (303, "no-store")
    slug = slug_of(sent)
    assert await raw(node, slug) == b"print('hi')\n\n"
    page = await visit(node, f"/{slug}")
    assert page.status == 200
    assert "A <title>" in page.words
    assert "Python" in page.words


async def test_files_keep_every_byte(node: Node) -> None:
    slug, _ = await made(node, file=("a.bin", b"one\r\ntwo\0"), content="typed\n")
    page = await visit(node, f"/{slug}")
    assert "a.bin" in page.words
    assert await raw(node, slug, "/raw/a.bin") == b"one\r\ntwo\0"
    assert await raw(node, slug, "/raw/file-1") == b"typed\n"


async def test_the_cookie_is_for_this_paste_and_out_of_reach(node: Node) -> None:
    page = await create(node, content="x")
    slug = slug_of(page)
    cookie = page.owner
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (f"/{slug}", True, "Strict")
    assert (cookie["secure"], cookie["domain"]) == ("", "")
    assert int(cookie["max-age"]) > 86_400
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
        assert cookie.value not in await response.text()


async def test_behind_https_the_cookie_never_travels_in_the_open(database_dsn: str) -> None:
    async with directory() as path, started(database_dsn, path, site__url="https://p.example") as node:
        page = await create(node, {"Origin": "https://p.example"}, content="x")
        assert (page.status, page.owner["secure"]) == (303, True)
        assert page.headers["Location"].startswith("/")
        slug = slug_of(page)
        manage = await visit(node, f"/{slug}/manage", owner=page.owner.value)
        assert f"https://p.example/{slug}" in manage.words


async def test_who_has_just_made_a_paste_is_told_its_link_and_where_the_token_is(node: Node) -> None:
    sent = await create(node, content="x")
    slug, greeting = slug_of(sent), "Your paste is ready."
    page = await visit(node, sent.headers["Location"], owner=sent.owner.value)
    assert greeting in page.words
    assert f"{node.url}/{slug}." in page.words.replace(". ", ".")
    assert "The owner token" in page.words
    assert f'href="/{slug}/manage"' in page.text
    assert sent.owner.value not in page.text
    assert (page.headers["Cache-Control"], "ETag" in page.headers) == ("private, no-store", False)
    for path, owner in ((f"/{slug}?created", None), (f"/{slug}?created", "wrong"), (f"/{slug}", sent.owner.value)):
        other = await visit(node, path, owner=owner)
        assert greeting not in other.words
        assert "ETag" in other.headers


@pytest.mark.parametrize("fields", [{"max_reads": "1"}, {"password": "open sesame"}])
async def test_the_maker_of_a_protected_paste_gets_its_link_and_uses_up_nothing(
    node: Node, fields: dict[str, str]
) -> None:
    page = await create(node, content="x", **fields)
    slug = page.headers["Location"].split("/")[1]
    assert page.headers["Location"] == f"/{slug}/manage?created"
    manage = await visit(node, page.headers["Location"], owner=page.owner.value)
    assert f"{node.url}/{slug}" in manage.words
    assert page.owner.value in manage.words
    assert "no-store" in manage.headers["Cache-Control"]
    rows = await node.sql("select reads from pastes where slug = $1", slug)
    assert [row["reads"] for row in rows] == [0]


async def test_a_refused_form_comes_back_as_it_was_filled_in(node: Node) -> None:
    typed = {
        "content": "one\n  <two>\n",
        "title": 't"' + "x" * 200,
        "name": "a/b.py",
        "syntax": "klingon",
        "expires_in": "1d",
        "visibility": "public",
        "max_reads": "5",
    }
    page = await create(node, **typed, password="open sesame", file=("lost.txt", b"chosen"))
    assert page.status == 422
    assert "Nothing was saved yet" in page.words
    for field, value in typed.items():
        assert page.value(field).replace("\r\n", "\n") == value, field
    assert "open sesame" not in page.text
    assert "Title: must be at most 200 characters" in page.words
    assert "Syntax: is not known" in page.words
    assert "owner" not in page.cookies


async def test_an_empty_form_is_told_what_it_lacks(node: Node) -> None:
    page = await create(node)
    assert page.status == 422
    assert "Text: must not be empty" in page.words


async def test_a_taken_slug_leaves_the_text_in_the_form(node: Node) -> None:
    taken, _ = await made(node, content="first")
    page = await create(node, content="second\n", slug=taken)
    assert (page.status, page.value("content").replace("\r\n", "\n")) == (409, "second\n")
    assert await raw(node, taken) == b"first"


async def test_managing_needs_the_token_or_the_browser_that_has_it(node: Node) -> None:
    slug, token = await made(node, content="x")
    stranger = await visit(node, f"/{slug}/manage")
    assert stranger.status == 200
    assert token not in stranger.text
    assert 'name="token" required' in stranger.text
    assert token in (await visit(node, f"/{slug}/manage", owner=token)).words
    assert (await visit(node, "/unknown0000/manage")).status == 404


async def test_deleting_by_cookie(node: Node) -> None:
    slug, token = await made(node, content="x")
    unticked = await visit(node, f"/{slug}/manage", owner=token, data={"action": "delete"})
    assert (unticked.status, await is_there(node, slug)) == (422, True)
    assert "tick the box" in unticked.words
    page = await visit(node, f"/{slug}/manage", owner=token, data={"action": "delete", "confirm": "yes"})
    assert page.status == 200
    assert "The paste is deleted" in page.words
    assert (page.owner.value, page.owner["path"], page.owner["max-age"]) == ("", f"/{slug}", "0")
    assert not await is_there(node, slug)
    again = await visit(node, f"/{slug}/manage", owner=token, data={"action": "delete", "confirm": "yes"})
    assert again.status == 404


@pytest.mark.parametrize("multipart", [False, True])
async def test_deleting_by_a_typed_token(node: Node, multipart: bool) -> None:
    slug, token = await made(node, content="x")
    for typed, status in (("", 401), ("wrong", 403), (token, 200)):
        assert await is_there(node, slug)
        fields = {"action": "delete", "confirm": "yes", "token": typed}
        data = aiohttp.FormData(fields, default_to_multipart=True) if multipart else fields
        page = await visit(node, f"/{slug}/manage", data=data)
        assert page.status == status, page.words
    assert not await is_there(node, slug)


async def test_a_stale_cookie_is_neither_shown_nor_better_than_the_typed_token(node: Node) -> None:
    slug, token = await made(node, content="x")
    _, stale = await made(node, content="y")
    manage = await visit(node, f"/{slug}/manage", owner=stale)
    assert stale not in manage.text
    assert 'name="token" required' in manage.text
    unticked = await visit(node, f"/{slug}/manage", owner=stale, data={"action": "delete"})
    assert (unticked.status, stale in unticked.text) == (422, False)
    fields = {"action": "delete", "confirm": "yes", "token": token}
    assert (await visit(node, f"/{slug}/manage", owner=stale, data=fields)).status == 200
    assert not await is_there(node, slug)


async def test_what_does_not_exist_cannot_be_managed(node: Node) -> None:
    for fields in ({"action": "delete"}, {"action": "delete", "confirm": "yes", "token": "x"}):
        assert (await visit(node, "/unknown0000/manage", data=fields)).status == 404


async def test_the_token_of_another_paste_deletes_nothing(node: Node) -> None:
    slug, _ = await made(node, content="x")
    _, other = await made(node, content="y")
    fields = {"action": "delete", "confirm": "yes"}
    assert (await visit(node, f"/{slug}/manage", owner=other, data=fields)).status == 403
    assert await is_there(node, slug)


async def test_a_private_paste_opens_for_the_browser_that_made_it(node: Node) -> None:
    slug, token = await made(node, content="mine", visibility="private")
    assert "mine" in (await visit(node, f"/{slug}", owner=token)).words
    for owner in (None, "wrong"):
        for path in (f"/{slug}", f"/{slug}/raw", f"/{slug}/manage"):
            assert (await visit(node, path, owner=owner)).status == 404


async def test_a_burn_paste_is_shown_once_by_the_button(node: Node) -> None:
    slug, _ = await made(node, content="secret text\n", max_reads="1")
    for _ in range(3):
        page = await visit(node, f"/{slug}")
        assert (page.status, page.headers["Cache-Control"]) == (200, "private, no-store")
        assert "secret text" not in page.text
        assert "This paste can be read once" in page.words
    assert (await visit(node, f"/{slug}/reveal")).status in (404, 405)
    shown = await visit(node, f"/{slug}/reveal", data={})
    assert shown.status == 200
    assert "secret text" in shown.words
    assert "That was the last reading." in shown.words
    assert shown.headers["Cache-Control"] == "private, no-store"
    assert "ETag" not in shown.headers
    assert (await visit(node, f"/{slug}/reveal", data={})).status == 404


async def test_a_password_is_asked_for_until_it_is_right(node: Node) -> None:
    slug, _ = await made(node, content="secret text\n", password="pass & wörd", max_reads="2")
    for wrong in ({"password": "pass"}, {"password": ""}, {}):
        page = await visit(node, f"/{slug}/reveal", data=wrong)
        assert page.status == 403
        assert "The password is wrong. No reading was used up." in page.words
        assert "secret text" not in page.text
    page = await visit(node, f"/{slug}/reveal", data={"password": "pass & wörd"})
    assert (page.status, "secret text" in page.words) == (200, True)
    assert "can be read once" in (await visit(node, f"/{slug}")).words


async def test_what_no_page_can_show_is_sent_as_a_download(node: Node) -> None:
    slug, _ = await made(node, file=("a.bin", b"\0" * 3_000_000), max_reads="1")
    async with node.http.post(f"{node.url}/{slug}/reveal", data={}, headers={"Accept": ACCEPT}) as response:
        assert response.status == 200
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox")
        assert len(await response.read()) == 3_000_000


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
async def test_other_sites_cannot_post_in_somebody_s_name(node: Node, headers: dict[str, str]) -> None:
    slug, token = await made(node, content="secret text\n", max_reads="1")
    refusals = [
        await create(node, headers, content="theirs", title="of another site"),
        await visit(node, f"/{slug}/reveal", data={}, **headers),
        await visit(node, f"/{slug}/manage", owner=token, data={"action": "delete", "confirm": "yes"}, **headers),
    ]
    for page in refusals:
        assert (page.status, "Cross-site request" in page.words) == (403, True)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "owner" not in page.cookies
    assert await node.sql("select from pastes where title = 'of another site'") == []
    assert "secret text" in (await visit(node, f"/{slug}/reveal", data={})).words, "nothing was used up"


@pytest.mark.parametrize("headers", AT_HOME, ids=str)
async def test_the_site_s_own_forms_are_taken(node: Node, headers: dict[str, str]) -> None:
    assert (await create(node, headers, content="mine")).status == 303
    assert (await create(node, {"Origin": node.url}, content="mine")).status == 303


@pytest.mark.parametrize(
    "data",
    [b"a=1&a=2", b"\xff\xfe", b"&".join(b"%d=1" % number for number in range(100)), b"password=" + b"x" * 100_000],
    ids=["twice", "no text", "too many", "too long"],
)
@pytest.mark.parametrize("form", ["reveal", "manage"])
async def test_broken_small_forms_are_refused_with_a_page(node: Node, form: str, data: bytes) -> None:
    slug, token = await made(node, content="secret text\n", max_reads="1")
    given = {"Content-Type": "application/x-www-form-urlencoded"}
    page = await visit(node, f"/{slug}/{form}", owner=token, data=data, **given)
    assert page.status in (400, 413, 422)
    assert "secret text" not in page.text
    assert await is_there(node, slug)


async def test_programs_get_problems_where_browsers_get_pages(node: Node) -> None:
    slug, _ = await made(node, content="x", max_reads="1")
    headers = {"Accept": "application/json", "Sec-Fetch-Site": "cross-site"}
    async with node.http.post(f"{node.url}/{slug}/reveal", data={}, headers=headers) as response:
        assert (response.status, response.content_type) == (403, "application/problem+json")
        assert json.loads(await response.read())["type"] == "/problems/cross-site-request"


@pytest.mark.parametrize(
    "path", ["/", "/mine", "/{slug}", "/{slug}/manage", "/unknown0000", "/problems/paste-not-found"]
)
async def test_every_page_forbids_scripts_frames_and_strangers(node: Node, path: str) -> None:
    slug, _ = await made(node, content="x")
    page = await visit(node, path.format(slug=slug))
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
    ours = r"<script(?! type=\"module\" src=\"/static/[a-z_]+\.[0-9a-f]{16}\.js\"(?: integrity=\"[^\"]+\")?></script>)"
    assert not re.search(ours, page.text)
    assert not re.search(r"<[^>]*\s(on\w+|style)=", page.text)
