"""Hostile content, file names and titles: no script runs, nothing leaves the origin, every answer forbids both."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Error, expect

from tests.browser.conftest import VIEWER, Browse, Watched, follow
from tests.browser.payloads import JS, POLYGLOTS, TEXTS
from tests.nodes import Node
from tests.origin.test_live import writing

pytestmark = pytest.mark.browser

VIEWED = "frame-ancestors 'self'"


def cut(text: str, size: int) -> str:
    """As much as fits into so many bytes; names and titles may be long, but not that long."""
    return text.encode()[:size].decode(errors="ignore")


async def paste(node: Node, body: dict[str, Any]) -> dict[str, Any]:
    async with node.http.post(f"{node.url}/api/v1/pastes", json=body) as response:
        created: dict[str, Any] = await response.json()
        assert response.status == 201, created
        return created


class Visit:
    """Opens addresses, and holds each answer to its promises."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    async def __call__(self, url: str) -> None:
        self._watched.requests.clear()
        async with self._watched.page.expect_response(lambda response: response.url == url) as answer:
            try:
                await self._watched.page.goto(url)
            except Error as error:
                assert "Download is starting" in str(error), error
        policy = (await answer.value).headers.get("content-security-policy", "")
        assert await self._watched.page.evaluate("window.pwned") is None, url
        assert self._watched.offences == [], url
        # what Chromium says of PDF is about its own viewer, which it puts in the place of the answer
        assert policy.startswith("default-src 'none'; ") or policy == VIEWED, url
        known = (f"{self._watched.origin}/static/", f"{self._watched.origin}/look/", *VIEWER)
        unexpected = [asked for asked in self._watched.requests if asked != url and not asked.startswith(known)]
        assert unexpected == [], url


async def test_whatever_would_run_or_leave_is_noticed(browse: Browse, node: Node) -> None:
    """The other tests are worth something only if this one finds everything."""
    trap = f"{node.url}/trap"
    markup = f"<script>{JS}</script><img src='https://evil.example/x.png'><script>fetch('/leak')</script>"
    async with browse() as watched:
        await watched.page.route(trap, lambda route: route.fulfill(body=markup, content_type="text/html"))
        await watched.page.route("https://evil.example/**", lambda route: route.abort())
        async with watched.page.expect_request(f"{node.url}/leak"):
            await watched.page.goto(trap)
        assert await watched.page.evaluate("window.pwned") == 1
        assert sorted(watched.offences) == ["alert: pwned", "asked for https://evil.example/x.png"]
        assert f"{node.url}/leak" in watched.requests
        watched.offences.clear()


async def test_content_names_and_titles(browse: Browse, node: Node) -> None:
    assert len(TEXTS) >= 50
    async with browse() as watched:
        visit = Visit(watched)
        for text in TEXTS:
            created = await paste(
                node,
                {
                    "title": cut(text, 200),
                    "files": [
                        {"name": cut(text, 255), "content": text},
                        {"name": "page.html", "content": text, "syntax": "html"},
                    ],
                },
            )
            await visit(created["url"])
            shown = await watched.page.locator("pre.code").first.inner_text()
            assert "".join(text.split())[:20] in "".join(shown.split()) or not text.isprintable(), "it is shown as text"
            await visit(created["files"][0]["raw_url"])


async def test_frames_and_what_is_being_written(browse: Browse, node: Node) -> None:
    """In frames of other sites, in answers to programs that look at links, and while it comes."""
    async with browse() as watched:
        visit = Visit(watched)
        for text in TEXTS:
            options = {"title": cut(text, 200), "name": cut(text, 200)}
            created = await paste(
                node, {"title": options["title"], "files": [{"name": options["name"], "content": text}]}
            )
            await visit(f"{created['url']}/embed")
            await visit(f"{created['url']}/tail")
            query = {name: value for name, value in options.items() if value and value.isprintable()}
            async with writing(node, params=query) as writer:
                await writer.write(text)
                url = f"{node.url}/{writer.slug}"
                watched.requests.clear()
                await watched.page.goto(url)
                await expect(watched.page.locator("[data-status]")).to_have_attribute("data-state", "following")
                assert await watched.page.evaluate("window.pwned") is None
                assert watched.offences == []
                others = [asked for asked in watched.requests if "/static/" not in asked]
                assert all(
                    asked == url or asked.startswith((f"{url}/tail?", f"{node.url}/look/")) for asked in others
                ), others
                # a page that follows may ask once more, which is nothing that the next one asks for
                await watched.page.goto("about:blank")


@pytest.mark.parametrize("name", ["page.html", "image.svg"])
async def test_polyglots(browse_whole: Browse, node: Node, name: str) -> None:
    async with browse_whole() as watched:
        visit = Visit(watched)
        for content in POLYGLOTS:
            created = await node.paste(content, name=name)
            await visit(created["raw_url"])
            await watched.page.goto(created["url"])
            assert await watched.page.evaluate("window.pwned") is None
            allowed = {created["url"], created["raw_url"]}
            ours = (f"{node.url}/static/", f"{node.url}/look/", *VIEWER)
            assert {one for one in watched.requests if not one.startswith(ours)} <= allowed


async def test_pages_about_a_paste(browse: Browse, node: Node) -> None:
    """Forms that come back, errors, and what a burn paste shows when it is revealed."""
    async with browse() as watched:
        page = watched.page
        for text in TEXTS[::9]:
            await page.goto("/")
            await page.get_by_label("Title").fill(cut(text, 150) + "x" * 200)
            await page.get_by_label("File name").fill(text)
            await page.get_by_label("Text", exact=True).fill(text)
            await page.get_by_role("button", name="Create paste").click()
            await expect(page.get_by_role("alert")).to_have_count(1)
            await page.get_by_label("Title").fill(cut(text, 150))
            await page.get_by_label("File name").fill(cut(text, 200))
            await page.locator("[name=max_reads]").select_option("1")
            await follow(page.get_by_role("button", name="Create paste"))
            assert page.url.endswith("/manage?created")
            slug = page.url.split("/")[3].partition("?")[0]
            await page.goto(f"/{slug}")
            await follow(page.get_by_role("button", name="Open and delete"))
            assert await page.locator("pre.code").count() == 1
            assert await page.evaluate("window.pwned") is None
            assert watched.offences == []
        assert {url for url in watched.requests if "pwned" in url or "evil" in url} == set()


async def test_addresses_made_of_markup(browse: Browse) -> None:
    async with browse() as watched:
        for text in TEXTS[::5]:
            response = await watched.page.goto(f"/{json.dumps(text)[1:-1].replace('#', '')}")
            assert response is not None
            assert response.status in (400, 404)
            assert await watched.page.evaluate("window.pwned") is None
            assert watched.offences == []


@pytest.mark.parametrize("content", [f"{JS}\n", f'<svg xmlns="http://www.w3.org/2000/svg"><script>{JS}</script></svg>'])
async def test_other_sites_cannot_use_a_paste_as_their_own(browse: Browse, node: Node, content: str) -> None:
    created = await node.paste(content, name="x.js")
    elsewhere = "http://other.example/"
    raw = created["raw_url"]
    markup = f"""<script src="{raw}"></script><script type=module src="{raw}"></script><img src="{raw}">
        <iframe src="{raw}"></iframe><iframe src="{created["url"]}"></iframe><object data="{raw}"></object>
        <link rel=stylesheet href="{raw}">"""
    async with browse() as watched:
        watched.allowed.add(elsewhere)
        page = watched.page
        await page.route(elsewhere, lambda route: route.fulfill(body=markup, content_type="text/html"))
        await page.goto(elsewhere)
        assert await page.evaluate("window.pwned") is None
        texts = [await frame.evaluate("document.body ? document.body.innerText : ''") for frame in page.frames[1:]]
        assert not any("pwned" in text for text in texts)
