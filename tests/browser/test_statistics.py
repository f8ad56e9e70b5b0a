"""Pages of statistics in a real browser: with and without scripts, in both themes, wide and narrow."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from playwright.async_api import Browser, expect

from pastebin.http.signing import Signer
from pastebin.visits import BATCHES, Batch
from tests.analytics.oracle import visit
from tests.analytics.traffic import AUTHORIZED, TOKEN, Site, visited
from tests.browser.conftest import Browse, Watched, browsing, follow, until
from tests.browser.looks import check
from tests.nodes import SECRET
from tests.postgres import Server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
async def site(postgres: Server, session_database_dsn: str) -> AsyncIterator[Site]:
    async with visited(postgres, session_database_dsn) as one:
        yield one


def since() -> str:
    """A day before all visits: of a range that begins so long ago from now the first might be lost meanwhile."""
    return f"since={datetime.now(UTC) - timedelta(days=9):%Y-%m-%d}T00:00Z"


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
        await follow(page.get_by_role("button", name="Sign in"))
        assert page.url.endswith("/admin/analytics")
        yield watched


async def test_the_dashboard_fits_every_screen(browse_site: Browse) -> None:
    async with signed_in(browse_site) as watched:
        page = watched.page
        await page.goto("/admin/analytics?since=7d&granularity=hour&zone=Europe/Berlin")
        await expect(page.get_by_role("heading", name="Countries")).to_be_visible()
        await until(page, "() => document.querySelector('.world use.l0').getBBox().width > 1000")
        await expect(page.locator("[data-live-text]")).to_contain_text("in the last second")
        await check(page, "dashboard", whole=True)


async def test_owners_see_the_same_of_their_paste(browse_site: Browse, site: Site) -> None:
    async with browse_site() as watched:
        page = watched.page
        slug = site.paste["slug"]
        await page.goto(f"/{slug}/stats?since=7d")
        await check(page, "stats-closed", whole=True)
        await page.get_by_label("Owner token").fill(site.paste["token"])
        await follow(page.get_by_role("button", name="Show statistics"))
        assert page.url.endswith(f"/{slug}/stats")
        await page.goto(f"/{slug}/stats?since=7d")
        await expect(page.get_by_role("heading", name="Countries")).to_be_visible()
        await check(page, "stats", whole=True)


async def test_without_a_script_the_same_is_told(browse_site: Browse, site: Site) -> None:
    """The figures and the tables of the page are those that the API gives."""
    query = f"{since()}&granularity=day&zone=Asia/Kathmandu"
    async with signed_in(browse_site, java_script_enabled=False) as watched:
        page = watched.page
        await page.goto(f"/admin/analytics?{query}")
        address = f"{site.node.url}/api/v1/analytics/overview?{query}"
        async with site.node.http.get(address, headers=AUTHORIZED) as response:
            totals = (await response.json())["totals"]
        await expect(page.locator(".tiles strong").first).to_have_text(f"{totals['visits']:,}")
        await expect(page.locator("[data-live]")).to_be_hidden()
        await page.locator("#traffic summary").click()
        rows = page.locator("#traffic tbody tr")
        counts = [int(text.replace(",", "")) for text in await rows.locator("td:nth-child(2)").all_inner_texts()]
        assert sum(counts) == totals["visits"]
        await page.locator("#heat summary").click()
        await page.locator("#referrers summary").click()
        await check(page, "dashboard-tables", whole=True, rules=False)
        async with page.expect_download() as download:
            await page.locator("#countries .csv, #world .csv").first.click()
        assert (await download.value).suggested_filename == "countries.csv"


async def test_what_is_asked_wrongly_is_said(browse_site: Browse) -> None:
    async with browse_site() as watched:
        await watched.page.goto("/admin")
        await watched.page.get_by_label("Admin token").fill("wrong")
        await follow(watched.page.get_by_role("button", name="Sign in"))
        await expect(watched.page.get_by_role("alert")).to_contain_text("not the admin token")
    async with browse_site() as watched:
        page = watched.page
        await page.goto("/admin")
        await page.get_by_label("Admin token").fill(TOKEN)
        await follow(page.get_by_role("button", name="Sign in"))
        await page.goto("/admin/analytics?zone=Mars/Olympus&granularity=minute&since=1y")
        await expect(page.get_by_role("alert")).to_contain_text("IANA time zone")
        await check(page, "dashboard-refused", whole=True)
        await page.goto("/admin/analytics?audience=bots&until=300d&since=301d")
        await expect(page.get_by_text("Nothing was counted")).to_be_visible()
        await check(page, "dashboard-empty", whole=True)


async def test_a_visit_is_seen_without_asking_again(browse_site: Browse, site: Site) -> None:
    """Who looks at the page of a paste sees what is new within seconds."""
    async with signed_in(browse_site) as watched:
        page = watched.page
        await page.goto(f"/admin/analytics?audience=all&granularity=day&{since()}")
        # a second that is told before the page listens is lost to it
        await expect(page.locator("[data-live-text]")).to_contain_text("in the last second")
        tile = page.locator(".tiles strong").first
        before = int((await tile.inner_text()).replace(",", ""))
        await page.locator("#clients summary").click()
        now = datetime.now(UTC)
        batch = Batch("live", "live-node", [visit(1, now, weight=1000, agent="Lynx")], [])
        body = gzip.compress(msgspec.json.encode(batch))
        headers = Signer(SECRET.encode()).headers("POST", BATCHES, body)
        async with site.node.http.post(f"{site.node.internal}{BATCHES}", data=body, headers=headers) as response:
            assert response.status == 200, await response.text()
        await expect(tile).to_have_text(f"{before + 1000:,}")
        await expect(page.locator("#clients details")).to_have_attribute("open", "")
