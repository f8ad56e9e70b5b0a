"""Pages in other languages and in the other direction, and the keys that they have."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import SCREENSHOTS, Browse, copied, follow, led
from tests.browser.looks import picture, violations
from tests.nodes import Node

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
async def addresses(node: Node) -> dict[str, str]:
    """Where to find each page, under the name of its picture."""
    code = await node.paste(b"def f(x):\n    return x  # a comment\n", name="a.py", title="A title")
    burn = await node.paste("secret\n", burn=True, password="open sesame")
    owned = code["slug"]
    return {
        "create": "/",
        "paste": f"/{owned}",
        "reveal": f"/{burn['slug']}",
        "manage": f"/{owned}/manage",
        "stats-closed": f"/{owned}/stats",
        "admin": "/admin",
        "missing": "/unknown0000",
        "problem": "/problems/paste-not-found",
        "language": "/language",
        "keys": "/keys",
    }


@pytest.mark.parametrize("language", ["ar", "de", "ja", "ru"])
async def test_pages_fit_in_every_language(browse: Browse, addresses: dict[str, str], language: str) -> None:
    """Themes are the same in all of them; what a rule can find is in another direction, and in other words."""
    async with browse() as watched:
        page = watched.page
        await speak(page, watched.origin, language)
        broken = {}
        for name, address in addresses.items():
            await page.goto(address)
            await expect(page.locator("html")).to_have_attribute("lang", language)
            for width, height in ((360, 740), (1280, 800)):
                await picture(page, f"{name}-{language}-{width}", width, height)
            broken[name] = await violations(page) if language == "ar" else []
        assert {name: rules for name, rules in broken.items() if rules} == {}


async def speak(page: Page, origin: str, language: str) -> None:
    await page.context.add_cookies([{"name": "language", "value": language, "url": origin}])


async def test_a_language_is_chosen_without_a_script(browse: Browse, node: Node) -> None:
    slug = (await node.paste("x\n"))["slug"]
    async with browse(java_script_enabled=False, locale="de-AT") as watched:
        page = watched.page
        await page.goto(f"/{slug}")
        await expect(page.get_by_role("link", name="Sprache: Deutsch")).to_be_visible()
        await follow(page.get_by_role("link", name="Sprache: Deutsch"))
        await follow(page.get_by_role("button", name="עברית"))
        await expect(page).to_have_url(f"{watched.origin}/{slug}")
        await expect(page.locator("html")).to_have_attribute("dir", "rtl")
        await page.goto("/unknown0000")
        await expect(page.locator("html")).to_have_attribute("lang", "he")
        await page.goto("/language")
        await follow(page.get_by_role("button", name="כפי שהדפדפן שלי מבקש"))
        await expect(page.locator("html")).to_have_attribute("lang", "de")


async def test_keys_do_what_the_page_has(browse: Browse, node: Node) -> None:
    files = [{"name": f"{name}.txt", "content": "line\n" * 80} for name in "abc"]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files}) as response:
        slug = (await response.json())["slug"]
    async with browse(permissions=["clipboard-read", "clipboard-write"]) as watched:
        page = watched.page
        await page.goto(f"/{slug}")
        for key, name in (("j", "a.txt"), ("j", "b.txt"), ("j", "c.txt"), ("k", "b.txt")):
            await page.keyboard.press(key)
            await expect(page.locator("section.file:focus h2")).to_have_text(name)
        await page.keyboard.press("y")
        await copied(page, f"{watched.origin}/{slug}")
        await page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys")
        await expect(dialog.get_by_text("Next file")).to_be_visible()
        await expect(dialog.get_by_text("Back to the paste")).to_be_hidden()
        assert await violations(page) == []
        await page.screenshot(path=SCREENSHOTS / "keys-dialog.png")
        await page.keyboard.press("n")
        await expect(page).to_have_url(f"{watched.origin}/{slug}")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        async with led(page):
            await page.keyboard.press("n")
        await expect(page).to_have_url(f"{watched.origin}/")
        await page.get_by_label("Text", exact=True).press("r")
        await expect(page.get_by_label("Text", exact=True)).to_have_value("r")
        await page.goto(f"/{slug}/manage")
        async with led(page):
            await page.keyboard.press("p")
        await expect(page).to_have_url(f"{watched.origin}/{slug}")
        async with led(page):
            await page.keyboard.press("r")
        await expect(page).to_have_url(re.compile("/raw/a[.]txt$"))


async def test_keys_can_be_switched_off(browse: Browse) -> None:
    async with browse() as watched:
        page = watched.page
        await page.goto("/language")
        await page.get_by_role("link", name="Keys").click()
        await page.get_by_label("Keys are on in this browser").uncheck()
        await page.get_by_role("button", name="Close").click()
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await page.reload()
        await page.keyboard.press("?")
        await page.keyboard.press("n")
        await expect(page).to_have_url(f"{watched.origin}/language")
        await page.get_by_role("link", name="Keys").click()
        await page.get_by_label("Keys are on in this browser").check()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        async with led(page):
            await page.keyboard.press("n")
        await expect(page).to_have_url(f"{watched.origin}/")
