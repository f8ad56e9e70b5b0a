"""Pages of statistics in a real browser: with and without scripts, in both themes, wide and narrow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, expect

from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.sections import AnalyticsSection
from tests.analytics.traffic import week
from tests.browser.conftest import SCREENSHOTS, Browse, Watched, browsing
from tests.nodes import Node, directory, started
from tests.postgres import Server, fresh_database

pytestmark = pytest.mark.browser

TOKEN = "an admin token of thirty-two characters"


@dataclass(frozen=True)
class Site:
    """A node with a week of visits."""

    node: Node
    engine: PostgresEngine
    paste: dict[str, str]
    empty: dict[str, str]


@pytest.fixture(scope="module")
async def site(postgres: Server, session_database_dsn: str) -> AsyncIterator[Site]:
    async with (
        fresh_database(postgres, "template1") as dsn,
        directory() as path,
        PostgresEngine.opened(AnalyticsSection(), dsn) as engine,
        started(
            session_database_dsn,
            path,
            node__roles=["web", "read", "write", "analytics"],
            analytics__database=dsn,
            admin__token=TOKEN,
        ) as node,
    ):
        paste, empty = await node.paste("read by many"), await node.paste("read by nobody")
        now = datetime.now(UTC)
        for batch in week(now, [paste["slug"], "aaaaaaa", "bbbbbbb", "ccccccc", "d" * 64]):
            await engine.take(batch, now)
        await engine.roll(now)
        yield Site(node, engine, paste, empty)


@pytest.fixture
def browse_site(browser: Browser, site: Site) -> Browse:
    return browsing(browser, site.node.url)


@asynccontextmanager
async def signed_in(browse: Browse, **options: object) -> AsyncIterator[Watched]:
    """A browser of the administrator, which notes what the policy of a page forbids."""
    async with browse(**options) as watched:
        page = watched.page
        page.on("console", lambda told: watched.offences.append(told.text) if told.type == "error" else None)
        await page.goto("/admin")
        await page.get_by_label("Admin token").fill(TOKEN)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/admin/analytics")
        yield watched


async def look(watched: Watched, name: str, scheme: str) -> None:
    """Keep pictures of the whole page, and look that it fits."""
    for width in (1280, 360):
        await watched.page.set_viewport_size({"width": width, "height": 800})
        await watched.page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        wide = await watched.page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} px wide on a screen of {width}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_dashboard_fits_every_screen(browse_site: Browse, scheme: str) -> None:
    async with signed_in(browse_site, color_scheme=scheme) as watched:
        page = watched.page
        await page.goto("/admin/analytics?since=7d&granularity=hour&zone=Europe/Berlin")
        await expect(page.get_by_role("heading", name="Countries")).to_be_visible()
        is_drawn = "document.querySelector('.world use.l0').getBBox().width > 1000"
        await page.wait_for_function(is_drawn)
        await expect(page.locator("[data-live-text]")).to_contain_text("in the last second")
        await look(watched, "dashboard", scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_owners_see_the_same_of_their_paste(browse_site: Browse, site: Site, scheme: str) -> None:
    async with browse_site(color_scheme=scheme) as watched:
        page = watched.page
        slug = site.paste["slug"]
        await page.goto(f"/{slug}/stats?since=7d")
        await look(watched, "stats-closed", scheme)
        await page.get_by_label("Owner token").fill(site.paste["token"])
        await page.get_by_role("button", name="Show statistics").click()
        await page.wait_for_url(f"**/{slug}/stats")
        await page.goto(f"/{slug}/stats?since=7d")
        await expect(page.get_by_role("heading", name="Countries")).to_be_visible()
        await look(watched, "stats", scheme)
