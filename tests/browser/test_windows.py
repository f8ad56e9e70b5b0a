"""Walking about in a large text, with scripts and without."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Browse, follow, until
from tests.browser.looks import check
from tests.browser.payloads import TEXTS
from tests.browser.test_hostile import cut
from tests.nodes import Node

pytestmark = pytest.mark.browser

LOG = b"".join(
    b"2026-11-23T03:%02d:%02d worker[%d] %s\n"
    % (number // 60 % 60, number % 60, number % 7, b"ERROR <b>no</b>" if number % 5000 == 0 else b"all is well")
    for number in range(1, 60_001)
)


@pytest.fixture(scope="module")
async def slug(node: Node) -> str:
    return str((await node.paste(LOG, name="worker.log", title="A large log"))["slug"])


@pytest.fixture
async def page(browse: Browse) -> AsyncIterator[Page]:
    async with browse() as watched:
        yield watched.page


@pytest.fixture
async def scriptless(browse: Browse) -> AsyncIterator[Page]:
    async with browse(java_script_enabled=False) as watched:
        yield watched.page


async def shown(page: Page) -> list[int]:
    """The numbers of the lines in the document."""
    found = await page.locator("[data-n]").evaluate_all("all => all.map(one => Number(one.dataset.n))")
    assert found == list(range(found[0], found[-1] + 1))
    return [int(number) for number in found]


async def test_links_and_forms_without_scripts(scriptless: Page, slug: str) -> None:
    page = scriptless
    await page.goto(f"/{slug}")
    await expect(page.get_by_text("Lines 1 to 500 of 60,000")).to_be_visible()
    await follow(page.get_by_role("link", name="Next", exact=True))
    assert (await shown(page))[0] == 501
    await follow(page.get_by_role("link", name="Last", exact=True))
    assert (await shown(page))[-1] == 60_000
    await follow(page.get_by_role("link", name="Previous lines"))
    assert (await shown(page))[-1] == 59_500
    await page.get_by_label("Go to line").fill("31234")
    await follow(page.get_by_role("button", name="Go", exact=True))
    assert (await shown(page))[0] == 31_234
    await follow(page.get_by_role("link", name="First", exact=True))
    assert (await shown(page))[0] == 1
    await follow(page.get_by_role("link", name="A large log"))
    assert page.url.endswith(f"/{slug}")


async def test_searching_without_scripts(scriptless: Page, slug: str) -> None:
    page = scriptless
    await page.goto(f"/{slug}")
    await page.get_by_label("Search the lines").fill("error.*</b>$")
    await page.get_by_label("Regular expression").check()
    await page.get_by_label("Ignore case").check()
    await follow(page.get_by_role("button", name="Search"))
    results = page.locator(".found li")
    assert await results.count() == 12
    assert (await results.nth(2).locator("mark").inner_text()) == "ERROR <b>no</b>"
    await expect(page.get_by_label("Search the lines")).to_have_value("error.*</b>$")
    await follow(page.get_by_role("link", name="Line 15,000"))
    await expect(page.locator(".line:target")).to_contain_text("ERROR <b>no</b>")
    assert (await shown(page))[0] == 14_990


async def test_scrolling_brings_lines_and_lets_go_of_others(page: Page, slug: str) -> None:
    await page.goto(f"/{slug}")
    code = page.locator("pre.scrolls")
    for _ in range(30):
        last = (await shown(page))[-1]
        await code.evaluate("pre => { pre.scrollTop = pre.scrollHeight }")
        await until(
            page,
            "last => Number([...document.querySelectorAll('[data-n]')].at(-1).dataset.n) > last",
            last,
        )
        assert len(await shown(page)) <= 2000
        if last > 6000:
            break
    assert (await shown(page))[0] > 1
    first = (await shown(page))[0]
    seen = await code.evaluate("pre => pre.scrollTop")
    assert seen > 0
    while first > 1:
        await code.evaluate("pre => { pre.scrollTop = 0 }")
        await until(page, "first => Number(document.querySelector('[data-n]').dataset.n) < first", first)
        first = (await shown(page))[0]
        assert len(await shown(page)) <= 2000


async def test_what_is_looked_at_stays_in_place_when_lines_come_above_it(page: Page, slug: str) -> None:
    await page.goto(f"/{slug}#L30000")
    marked = page.locator(".line.at")
    await expect(marked).to_have_attribute("id", "L30000")
    place = await marked.evaluate("line => Math.round(line.getBoundingClientRect().top)")
    await until(page, "() => Number(document.querySelector('[data-n]').dataset.n) < 29500")
    assert abs(await marked.evaluate("line => Math.round(line.getBoundingClientRect().top)") - place) <= 2
    await expect(marked).to_be_in_viewport()


async def test_jumping(page: Page, slug: str) -> None:
    await page.goto(f"/{slug}")
    await page.get_by_label("Go to line").fill("45678")
    await page.keyboard.press("Enter")
    await expect(page.locator(".line.at")).to_have_attribute("id", "L45678")
    await expect(page.locator(".line.at")).to_be_in_viewport()
    await expect(page).to_have_url(re.compile(f"/{slug}#L45678$"))
    await page.get_by_role("link", name="Last", exact=True).click()
    await expect(page.locator("#L60000")).to_be_in_viewport()
    await page.go_back()
    await expect(page.locator(".line.at")).to_have_attribute("id", "L45678")
    await expect(page.locator(".line.at")).to_be_in_viewport()
    slider = page.get_by_label("Position in this file")
    await slider.fill("20000")
    await expect(page.locator(".line.at")).to_have_attribute("id", "L20000")
    await page.reload()
    await expect(page.locator(".line.at")).to_have_attribute("id", "L20000")
    await expect(page.locator("[data-place]")).to_have_text(re.compile(r"^Lines 19,9\d\d to 20,0\d\d of 60,000$"))


async def test_lines_that_cannot_be_had_are_tried_again(browse: Browse, slug: str) -> None:
    async with browse() as watched:
        page = watched.page
        await page.goto(f"/{slug}")
        await until(page, "() => Number([...document.querySelectorAll('[data-n]')].at(-1).dataset.n) >= 500")
        await page.route("**/lines*", lambda route: route.abort())
        await page.get_by_label("Go to line").fill("50000")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("cannot be had at the moment")).to_be_visible()
        await page.unroute("**/lines*")
        await page.keyboard.press("Enter")
        await expect(page.locator(".line.at")).to_have_attribute("id", "L50000")
        await expect(page.get_by_text("cannot be had at the moment")).to_have_count(0)


async def test_hostile_lines_names_and_questions(browse: Browse, node: Node) -> None:
    lines = "".join(f"{' '.join(text.splitlines())}\n" for text in TEXTS)
    content = (lines * (1_200_000 // len(lines.encode()) + 1)).encode()
    name = cut(TEXTS[0], 200)
    slug = (await node.paste(content, name=name, title=name))["slug"]
    async with browse() as watched:
        page = watched.page
        await page.goto(f"/{slug}")
        await page.get_by_role("link", name="Last", exact=True).click()
        await expect(page.get_by_text(re.compile(r"of [\d,]+$"))).to_be_visible()
        await until(page, "() => Number(document.querySelector('[data-n]').dataset.n) > 1")
        for text in TEXTS:
            for options in ({}, {"regex": "true"}):
                query = urlencode({"q": cut(text, 400).replace("\0", ""), **options}, errors="replace")
                await page.goto(f"/{slug}/lines?{query}")
                assert await page.evaluate("window.pwned") is None
                assert watched.offences == []
        assert not any("evil" in url.partition("?")[0] for url in watched.requests)


async def test_it_looks_right_on_any_screen(page: Page, slug: str, node: Node) -> None:
    long = await node.paste(b"short\n" + b"a very long line " * 500_000 + b"\nafter it\n", name="long.txt")
    addresses = {
        "window": f"/{slug}",
        "window-line": f"/{slug}#L30000",
        "window-found": f"/{slug}/lines?q=ERROR",
        "window-nothing": f"/{slug}/lines?q=nothing+like+it",
        "window-wrong": f"/{slug}/lines?q=(&regex=true",
        "window-cut": f"/{long['slug']}/lines?line=2",
    }
    for name, address in addresses.items():
        await page.goto("about:blank")
        await page.goto(address)
        if "#" in address:
            await expect(page.locator(".line.at")).to_be_in_viewport()
        await check(page, name)
