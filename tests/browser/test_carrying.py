"""The key of an encrypted paste, which stands in the address only, is not lost on the way through the site."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Browse, follow
from tests.browser.test_encryption import SECRET, make
from tests.nodes import Node

pytestmark = pytest.mark.browser


async def test_the_key_comes_along_to_the_settings_and_back(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        link = await make(page)
        text = page.locator("[data-files] code")
        await page.goto(link)
        await expect(text).to_have_text(SECRET)
        await follow(page.get_by_role("link", name="Appearance"))
        await follow(page.get_by_role("button", name="Save"))
        await expect(text).to_have_text(SECRET)
        await follow(page.get_by_role("link", name="Language"))
        await follow(page.get_by_role("button", name="Deutsch"))
        await expect(text).to_have_text(SECRET)
        await follow(page.get_by_role("link", name="Sprache"))
        await follow(page.get_by_role("button", name="English"))
        await follow(page.get_by_role("link", name="Manage"))
        await expect(page.locator("a[data-whole]")).to_have_text(link)
        await page.get_by_label("Expires").select_option("1w")
        await follow(page.get_by_role("button", name="Save settings"))
        await follow(page.locator("a[data-whole]"))
        await expect(text).to_have_text(SECRET)
        key = link.partition("#")[2]
        assert not [url for url in watched.requests if key in url.partition("#")[0]]
    async with browse() as watched:
        await watched.page.goto(f"{link.partition('#')[0]}/manage")
        await expect(watched.page.locator("[data-keyless]")).to_be_visible()


async def test_the_key_stays_where_the_token_comes_out_of_storage(browse: Browse) -> None:
    """The form that asks for the token is then sent before anybody has seen it."""
    async with browse() as watched:
        page = watched.page
        link = await make(page)
        await page.context.clear_cookies()
        await page.goto(f"{link.partition('#')[0]}/manage#{link.partition('#')[2]}")
        await expect(page.get_by_role("button", name="Save settings")).to_be_visible()
        await expect(page.locator("a[data-whole]")).to_have_text(link)
