"""My pastes in a browser, with scripts and without: kept, taken along, and found again when a cookie is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Browse, follow
from tests.browser.looks import check
from tests.browser.test_pages import create, upload
from tests.nodes import Node

pytestmark = pytest.mark.browser


@pytest.fixture(params=[False, True], ids=["without scripts", "with scripts"])
async def page(browse: Browse, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    async with browse(java_script_enabled=request.param) as watched:
        yield watched.page


async def slugs(page: Page, count: int) -> list[str]:
    await expect(page.locator("ul.kept li")).to_have_count(count)
    found = [await row.get_attribute("data-slug") for row in await page.locator("ul.kept li").all()]
    return [slug or "" for slug in found]


async def test_what_was_made_is_listed_opened_managed_and_forgotten(page: Page) -> None:
    await page.goto("/")
    await follow(page.get_by_role("link", name="My pastes"))
    await expect(page.get_by_text("No paste was made with this browser yet.")).to_be_visible()
    made = [
        await create(page, "one\n", title="The first <b>"),
        await create(page, "two\n", visibility="private", title="The second"),
        await create(page, "three\n", max_reads="5", name="three.py"),
    ]
    await page.goto("/mine")
    assert await slugs(page, 3) == made[::-1]
    await follow(page.get_by_role("button", name="Open The second"))
    await expect(page.locator("pre.code")).to_contain_text("two")
    await page.goto("/mine")
    await follow(page.get_by_role("link", name="The first <b>"))
    await expect(page.locator("pre.code")).to_contain_text("one")
    await page.goto("/mine")
    await follow(page.get_by_role("button", name="Manage The first <b>"))
    await page.get_by_label("Yes, delete this paste for good").check()
    await follow(page.get_by_role("button", name="Delete paste"))
    await page.goto("/mine")
    await expect(page.locator(f"li[data-slug='{made[0]}']")).to_contain_text("no longer there")
    await follow(page.get_by_role("button", name="Forget those that are over"))
    assert await slugs(page, 2) == made[:0:-1]
    await follow(page.get_by_role("button", name=f"Forget {made[1]}"))
    assert await slugs(page, 1) == [made[2]]
    await page.reload()
    assert await slugs(page, 1) == [made[2]]


async def test_the_list_moves_to_another_browser(page: Page, browse: Browse, node: Node) -> None:
    made = [await create(page, "one\n"), await create(page, "two\n", visibility="private")]
    await page.goto("/mine")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Save as a file").click()
    saved = Path(await (await download.value).path()).read_bytes()  # type: ignore[arg-type]
    assert (await download.value).suggested_filename == "pastes.jsonl"
    for scripted in (False, True):
        async with browse(java_script_enabled=scripted) as other:
            await other.page.goto("/mine")
            await other.page.get_by_label("Saved list", exact=True).set_input_files(
                [upload("pastes.jsonl", saved + b"nonsense\n")]
            )
            await follow(other.page.get_by_role("button", name="Add"))
            await expect(other.page.get_by_role("status")).to_contain_text("2 pastes were added.")
            assert await slugs(other.page, 2) == made[::-1]
            await follow(other.page.get_by_role("button", name=f"Manage {made[1]}"))
            await expect(other.page.locator("code.secret")).to_have_count(1)
            await other.page.goto("/mine")
            await other.page.get_by_label("Saved list", exact=True).set_input_files(
                [upload("<b>.jsonl", b"nonsense\n")]
            )
            await follow(other.page.get_by_role("button", name="Add"))
            await expect(other.page.get_by_role("alert")).to_contain_text("names no paste of this site")


async def test_storage_knows_more_than_the_cookie_and_gives_back_what_it_lost(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        made = [await create(page, "mine\n", visibility="private", title=f"number {index}") for index in range(2)]
        await page.goto("/mine")
        await slugs(page, 2)
        await check(page, "mine-filled")
        entries = [await node.paste(f"{index}") for index in range(60)]
        await page.evaluate(
            """(more) => {
                const key = "pastebin.mine";
                localStorage.setItem(key, JSON.stringify([...JSON.parse(localStorage.getItem(key)), ...more]));
            }""",
            [{name: entry[name] for name in ("slug", "token", "url", "created_at")} for entry in entries],
        )
        await page.context.clear_cookies()
        await page.reload()
        await slugs(page, 50)
        await page.get_by_role("button", name="Show more").click()
        assert set(await slugs(page, 62)) == {*made, *(entry["slug"] for entry in entries)}
        await follow(page.get_by_role("button", name="Manage number 0"))
        await expect(page.locator("code.secret")).to_have_count(1)


async def test_storage_that_somebody_has_spoiled_is_passed_over(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        await page.goto("/mine")
        for spoiled in ("nonsense", "{}", '[1, null, {"slug": "<img src=x onerror=alert(1)>", "token": 1}]'):
            await page.evaluate("(text) => localStorage.setItem('pastebin.mine', text)", spoiled)
            await page.evaluate("(text) => localStorage.setItem('pastebin.drafts', text)", spoiled)
            await page.goto("/")
            await page.goto("/mine")
            await expect(page.get_by_text("No paste was made with this browser yet.")).to_be_visible()
        slug = await create(page, "x\n")
        await page.goto("/mine")
        assert await slugs(page, 1) == [slug]


@pytest.mark.parametrize("place", ["edit", "manage"])
async def test_storage_opens_what_a_cookie_would(browse: Browse, place: str) -> None:
    async with browse() as watched:
        page = watched.page
        slug = await create(page, "mine\n")
        await page.context.clear_cookies()
        await page.goto(f"/{slug}/{place}")
        opened = {"edit": "textarea", "manage": "code.secret"}[place]
        await expect(page.locator(opened).first).to_be_visible()
        assert page.url.endswith(f"/{slug}/{place}")


async def test_a_token_that_storage_has_wrong_is_tried_once(browse: Browse) -> None:
    async with browse() as watched:
        page = watched.page
        slug = await create(page, "mine\n")
        await page.context.clear_cookies()
        await page.evaluate(
            """() => {
                const [entry] = JSON.parse(localStorage.getItem("pastebin.mine"));
                localStorage.setItem("pastebin.mine", JSON.stringify([{...entry, token: "x".repeat(32)}]));
            }"""
        )
        await page.goto(f"/{slug}/edit")
        await expect(page.get_by_role("alert")).to_contain_text("not the owner token")
        await page.goto(f"/{slug}/edit")
        await expect(page.get_by_label("Owner token")).to_have_value("x" * 32)
        assert page.url.endswith("/edit")
