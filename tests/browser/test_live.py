"""A live paste and a frame in a real browser: they grow, say when they end, and run nothing of what they show."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from playwright.async_api import expect

from tests.browser.conftest import SCREENSHOTS, Browse, follow
from tests.browser.looks import check, violations
from tests.nodes import Node
from tests.origin.test_live import read_until, writing

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>\x1b]8;;javascript:alert(2)\x07link\x1b]8;;\x07 \x1b[31mred\x1b[0m\n"


async def test_a_page_grows_with_its_paste(node: Node, browse: Browse) -> None:
    async with writing(node, params={"name": "build.log", "title": "Nightly build"}) as writer, browse() as watched:
        page = watched.page
        await writer.write("first\n")
        await page.goto(f"/{writer.slug}")
        text, status = page.locator(".tail code"), page.locator("[data-status]")
        await expect(text).to_have_text("first")
        await expect(status).to_have_text("Following as it is written")
        await writer.write(HOSTILE)
        await expect(text).to_contain_text("<img src=x onerror=alert(1)>link red")
        await writer.write("".join(f"[{n:4}/200] CC src/module_{n}.o\n" for n in range(200)))
        await expect(text).to_contain_text("module_199.o")
        assert await page.evaluate("document.querySelector('.tail').scrollTop") > 1000
        await page.evaluate("document.querySelector('.tail').scrollTop = 0")
        await expect(page.locator("[data-follow]")).not_to_be_checked()
        await writer.write("more\n")
        await expect(text).to_contain_text("more")
        assert await page.evaluate("document.querySelector('.tail').scrollTop") == 0
        await check(page, "live")
        await writer.end()
        await expect(status).to_have_text("It is complete")
        await follow(page.get_by_role("link", name="Show it as a paste"))
        await expect(page.locator(".line").first).to_contain_text("first")


async def test_a_page_says_that_its_paste_is_gone(node: Node, browse: Browse) -> None:
    async with writing(node) as writer, browse() as watched:
        await watched.page.goto(f"/{writer.slug}")
        await expect(watched.page.locator("[data-status]")).to_have_text("Following as it is written")
        owner = {"Authorization": f"Bearer {writer.token}"}
        async with node.http.delete(f"{node.url}/api/v1/pastes/{writer.slug}", headers=owner) as response:
            assert response.status == 204
        await expect(watched.page.locator("[data-status]")).to_have_text("It is gone")


async def test_without_a_script_the_page_has_a_link(node: Node, browse: Browse) -> None:
    async with writing(node) as writer, browse(java_script_enabled=False) as watched:
        page = watched.page
        await page.goto(f"/{writer.slug}")
        async with node.http.get(f"{node.url}/{writer.slug}/tail") as tail:
            await writer.write("hello\n")
            assert await read_until(tail, b"hello\n") == b"hello\n"
        await follow(page.get_by_role("link", name="Load what is new"))
        await expect(page.locator(".tail code")).to_have_text("hello")
        await expect(page.locator("[data-follow]")).to_be_hidden()


@pytest.fixture
async def elsewhere(node: Node) -> AsyncIterator[tuple[str, list[str]]]:
    """Another site, and what stands on its page."""
    markup: list[str] = []

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><title>x</title><p>Before</p>{markup[0]}", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", show)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)  # its other name may have two addresses, each with a port of its own
        await site.start()
        yield f"http://localhost:{runner.addresses[0][1]}/", markup
    finally:
        await runner.cleanup()


async def test_another_site_shows_a_paste(node: Node, browse: Browse, elsewhere: tuple[str, list[str]]) -> None:
    site, markup = elsewhere
    content = "def greet(name):\n    return f'hello {name}'\n" + HOSTILE
    slug = (await node.paste(content, name="greet.py"))["slug"]
    markup.append(f'<script src="{node.url}/{slug}/embed.js?lines=1-2"></script>')
    async with browse() as watched:
        watched.allowed = {site, f"{site}favicon.ico"}
        await watched.page.goto(site)
        frame = watched.page.frame_locator("iframe")
        await expect(frame.locator(".line")).to_have_count(2)
        await expect(frame.locator(".line").first).to_have_text("def greet(name):")
    for theme in ("light", "dark"):
        markup[:] = [f'<iframe src="{node.url}/{slug}/embed?theme={theme}" width="600" height="180"></iframe>']
        async with browse() as watched:
            watched.allowed = {site, f"{site}favicon.ico"}
            await watched.page.goto(site)
            await expect(watched.page.frame_locator("iframe").locator(".line")).to_have_count(3)
            await watched.page.screenshot(path=SCREENSHOTS / f"embed-{theme}.png")
            await watched.page.goto(f"/{slug}/embed?theme={theme}")
            assert await violations(watched.page) == []
