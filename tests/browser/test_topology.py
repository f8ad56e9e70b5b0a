"""The page of all nodes in a real browser: wide and narrow, in both themes, with and without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Browse, Watched, browsing, follow, stop_time
from tests.browser.looks import Scheme, check, set_scheme
from tests.constellation import Constellation, constellation, wait_for_everybody
from tests.nodes import directory

pytestmark = pytest.mark.browser

# Text of the picture, and the box that it stands in, on the screen.
_TEXTS = """
[...document.querySelectorAll('.arrangement')].filter((one) => one.offsetParent).flatMap((one) =>
  [...one.querySelectorAll('.box')].flatMap((box) => {
    const face = box.querySelector('.face').getBoundingClientRect();
    return [...box.querySelectorAll('text')].map((text) => {
      const at = text.getBoundingClientRect();
      return [text.textContent, at.left >= face.left && at.right <= face.right + 1 && at.top >= face.top - 1
        && at.bottom <= face.bottom + 1, at.height];
    });
  }))
"""
# Relative luminance and contrast (WCAG 2.2, 1.4.3) of what is written in the boxes, on their ground.
_CONTRASTS = """
() => {
  const channel = (value) => {
    const part = value / 255;
    return part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
  };
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).map(Number);
    return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  };
  const of = (element) => getComputedStyle(element).fill;
  return [...document.querySelectorAll('.arrangement .box')].flatMap((box) =>
    [...box.querySelectorAll('text')].map((text) => contrast(of(text), of(box.querySelector('.face')))));
}
"""


@pytest.fixture(scope="module")
async def sky(module_database_dsn: str) -> AsyncIterator[Constellation]:
    with pytest.MonkeyPatch.context() as patch:
        wait_for_everybody(patch)
        opened = {"admin.open_topology": True}
        async with directory() as path, constellation(module_database_dsn, path, **opened) as one:
            yield one


@pytest.fixture
def browse_sky(browser: Browser, sky: Constellation) -> Browse:
    return browsing(browser, sky.web.url)


def on_console(watched: Watched) -> None:
    watched.page.on("console", lambda told: watched.offences.append(told.text) if told.type == "error" else None)


async def fits(page: Page, width: int) -> None:
    wide = await page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= width
    texts: list[list[Any]] = await page.evaluate(_TEXTS)
    assert texts
    assert [text for text, is_inside, _ in texts if not is_inside] == []
    assert min(height for _, _, height in texts) > 9


async def test_it_fits_every_screen_and_can_be_read(browse_sky: Browse) -> None:
    async with browse_sky() as watched:
        page = watched.page
        on_console(watched)
        await page.goto("/admin/topology")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator(".arrangement:visible")).to_have_count(1)
        for width in (1600, 1280, 1060, 820, 640, 360):
            await page.set_viewport_size({"width": width, "height": 800})
            await fits(page, width)
        await check(page, "topology", whole=True)
        schemes: tuple[Scheme, ...] = ("light", "dark")
        for scheme in schemes:
            await set_scheme(page, scheme)
            assert min(await page.evaluate(_CONTRASTS)) >= 4.5


async def test_it_has_names_and_a_table_for_those_who_do_not_see_it(browse_sky: Browse, sky: Constellation) -> None:
    async with browse_sky() as watched:
        page = watched.page
        await page.goto("/admin/topology")
        picture = page.get_by_role("img", name="All nodes")
        await expect(picture).to_have_count(1)
        identities = await page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(identities) == len(set(identities))
        labels = await page.evaluate(
            "[...document.querySelectorAll('svg[aria-labelledby]')]"
            ".flatMap((one) => one.getAttribute('aria-labelledby').split(' '))"
            ".every((id) => document.getElementById(id)?.textContent.trim())"
        )
        assert labels
        table = page.get_by_role("region", name="All nodes")
        for name in (*sky.nodes, sky.absent):
            await expect(table.get_by_role("rowheader", name=name, exact=True)).to_be_visible()
        await expect(table.get_by_role("row").filter(has_text=sky.absent)).to_contain_text("no answer")


async def test_without_a_script_it_is_all_there(browse_sky: Browse) -> None:
    async with browse_sky(java_script_enabled=False) as watched:
        page = watched.page
        await page.goto("/admin/topology")
        await expect(page.locator("[data-pause]")).to_be_hidden()
        await expect(page.locator(".arrangement:visible .box.down").first).to_contain_text("no answer")
        await follow(page.get_by_role("link", name="Reload"))
        assert watched.requests.count(page.url) == 2


async def test_with_one_it_is_live_until_it_is_paused(browse_sky: Browse) -> None:
    async with browse_sky() as watched:
        page = watched.page
        await stop_time(page)
        await page.goto("/admin/topology")
        table = page.get_by_role("region", name="All nodes")
        await table.focus()
        await refreshed(page)
        await expect(table).to_be_focused()
        await page.get_by_role("button", name="Pause").click()
        asked = watched.requests.count(page.url)
        await page.clock.run_for(20_000)
        await page.get_by_role("button", name="Go on").click()
        await refreshed(page)
        assert watched.requests.count(page.url) == asked + 1
        await page.route("**/admin/topology", lambda route: route.abort())
        await page.clock.run_for(2000)
        await expect(page.locator("[data-stale]")).to_be_visible()
        await page.unroute("**/admin/topology")
        await refreshed(page)
        await expect(page.locator("[data-stale]")).to_be_hidden()


async def refreshed(page: Page) -> None:
    """Let two seconds pass, and wait until what is shown is new."""
    await page.evaluate("document.querySelector('.status').dataset.old = ''")
    await page.clock.run_for(2000)
    await expect(page.locator(".status[data-old]")).to_have_count(0)
