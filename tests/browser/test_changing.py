"""Changing a paste in a real browser, with scripts and without: edit, compare, restore, fork, settings, burn."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Browse, copied, follow, led, stop_time
from tests.browser.looks import check
from tests.nodes import Node

pytestmark = pytest.mark.browser

CODE = "def area(width, height):\n    return width * height\n\n\nprint(area(2, 3))\n"
HOSTILE = "</textarea></pre><script>alert(1)</script>\n<img src=x onerror=alert(2)>\n"


@pytest.fixture(params=[False, True], ids=["without scripts", "with scripts"])
async def page(browse: Browse, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    async with browse(java_script_enabled=request.param) as watched:
        yield watched.page


async def own(page: Page, node: Node, text: str = CODE, **options: Any) -> str:
    """A paste whose owner token this browser keeps; its slug."""
    created = await node.paste(text, **options)
    slug = str(created["slug"])
    cookie = {"name": "owner", "value": created["token"], "domain": "127.0.0.1", "path": f"/{slug}"}
    await page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Strict"}])  # type: ignore[list-item]
    return slug


async def raw(node: Node, slug: str, suffix: str = "/raw") -> str:
    async with node.http.get(f"{node.url}/{slug}{suffix}") as response:
        return await response.text() if response.status == 200 else ""


def text_area(page: Page) -> Any:
    return page.locator("textarea[name=content-1]")


async def test_edit_compare_restore(page: Page, node: Node) -> None:
    slug = await own(page, node, name="area.py")
    await page.goto(f"/{slug}")
    await follow(page.get_by_role("link", name="Edit"))
    assert await text_area(page).input_value() == CODE
    await text_area(page).fill(CODE.replace("width * height", "width * height  # m²"))
    await follow(page.get_by_role("button", name="Save"))
    assert page.url == f"{node.url}/{slug}"
    assert "# m²" in await raw(node, slug)
    await follow(page.get_by_role("link", name="Last change"))
    assert "+    return width * height  # m²" in await page.locator("pre.unified").inner_text()
    assert await page.locator(".added mark").inner_text() == "  # m²"
    await follow(page.get_by_role("link", name="Side by side"))
    assert "# m²" in await page.locator("table.split ins").inner_text()
    await follow(page.get_by_role("link", name="The other way round"))
    assert page.url.endswith("/diff/2..1?layout=split")
    await follow(page.get_by_role("link", name="History"))
    await follow(page.get_by_role("link", name="Restore"))
    await follow(page.get_by_role("button", name="Restore"))
    assert await raw(node, slug) == CODE
    await page.goto(f"/{slug}/history")
    await page.get_by_role("radio", name="From revision 1").check()
    await follow(page.get_by_role("button", name="Compare").first)
    assert page.url.endswith("/diff/1..3")
    await expect(page.get_by_text("There is no difference between them.")).to_be_visible()


async def test_the_past_is_shown_as_the_past(page: Page, node: Node) -> None:
    slug = await own(page, node)
    await page.goto(f"/{slug}/edit")
    await text_area(page).fill("two\n")
    await follow(page.get_by_role("button", name="Save"))
    await page.goto(f"/{slug}/rev/1")
    await expect(page.get_by_text("This is revision 1 of 2.")).to_be_visible()
    await follow(page.get_by_role("link", name="Raw").first)
    assert page.url.endswith(f"/{slug}/rev/1/raw")
    await page.go_back()
    await follow(page.get_by_role("link", name="What has changed since"))
    assert page.url.endswith("/diff/1..2")


async def test_a_conflict_is_settled_on_the_page(page: Page, node: Node) -> None:
    slug = await own(page, node)
    await page.goto(f"/{slug}/edit")
    token = (await page.context.cookies(f"{node.url}/{slug}"))[0]["value"]  # type: ignore[typeddict-item]
    change = {"json": {"content": "theirs\n"}, "headers": {"Authorization": f"Bearer {token}"}}
    async with node.http.patch(f"{node.url}/api/v1/pastes/{slug}", **change) as response:  # type: ignore[arg-type]
        assert response.status == 200
    await text_area(page).fill("mine\n")
    await follow(page.get_by_role("button", name="Save"))
    await expect(page.get_by_role("alert")).to_contain_text("Somebody has changed this paste meanwhile")
    assert await text_area(page).input_value() == "mine\n"
    selected = "element => { getSelection().selectAllChildren(element); return getSelection().toString(); }"
    assert await page.locator("pre.unified").evaluate(selected) == "@@ -1 +1 @@\n-theirs\n+mine"
    await page.get_by_text("What was saved meanwhile").click()
    assert await page.locator("details.theirs textarea").input_value() == "theirs\n"
    await follow(page.get_by_role("button", name="Save", exact=True))
    assert page.url == f"{node.url}/{slug}"
    assert await raw(node, slug) == "mine\n"


async def test_another_browser_gets_in_with_the_token(page: Page, node: Node) -> None:
    created = await node.paste("one\n")
    await page.goto(f"/{created['slug']}/edit")
    for token in ("wrong", created["token"]):
        await page.get_by_label("Owner token").fill(token)
        await follow(page.get_by_role("button", name="Go on"))
    assert page.url == f"{node.url}/{created['slug']}/edit"
    assert await text_area(page).input_value() == "one\n"


async def test_a_fork_with_another_file(page: Page, node: Node) -> None:
    created = await node.paste(CODE, name="area.py", title="Areas")
    await page.goto(f"/{created['slug']}")
    await follow(page.get_by_role("link", name="Fork"))
    await page.get_by_text("Another file").click()
    await page.locator("[name=name-new]").fill("notes.md")
    await page.locator("[name=content-new]").fill("# Notes\n")
    chosen = {"name": "ü b.txt", "mimeType": "text/plain", "buffer": b"chosen\n"}
    await page.get_by_label("Or files from this device").set_input_files([chosen])  # type: ignore[list-item]
    await follow(page.get_by_role("button", name="Create paste"))
    slug = page.url.split("/")[3].partition("?")[0]
    assert slug != created["slug"]
    assert await page.locator("section.file h2").all_inner_texts() == ["area.py", "notes.md", "ü b.txt"]
    await follow(page.get_by_role("link", name=created["slug"]))
    assert page.url == created["url"]


async def test_settings_and_burning(page: Page, node: Node) -> None:
    slug = await own(page, node)
    await page.goto(f"/{slug}/manage")
    await page.get_by_label("Expires").select_option("1d")
    await page.get_by_label("Burn after reading").select_option("5")
    await follow(page.get_by_role("button", name="Save settings"))
    await expect(page.get_by_role("status").first).to_contain_text("Your changes are saved.")
    await page.goto(f"/{slug}")
    await follow(page.get_by_role("button", name="Open"))
    await follow(page.get_by_role("link", name="Burn it now"))
    await page.get_by_label("Yes, burn this paste for everybody").check()
    await follow(page.get_by_role("button", name="Burn paste"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("The paste is burned")
    response = await page.goto(f"/{slug}")
    assert response is not None
    assert response.status == 404


async def test_the_link_is_copied_and_a_moment_is_one_of_the_reader(browse: Browse, node: Node) -> None:
    async with browse(timezone_id="Asia/Tokyo", permissions=["clipboard-read", "clipboard-write"]) as watched:
        page = watched.page
        await stop_time(page)  # what a button says for two seconds it says until it was seen
        slug = await own(page, node, name="a b.py")
        await page.goto(f"/{slug}/manage")
        await page.get_by_role("button", name="Copy link").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        await copied(page, f"{node.url}/{slug}")
        await page.get_by_label("Exact time your time").fill("2099-12-24T18:00")
        await page.get_by_role("button", name="Save settings").click()
        await expect(page.get_by_role("status").first).to_contain_text("Your changes are saved.")
    (row,) = await node.sql("select expires_at from pastes where slug = $1", slug)
    assert f"{row['expires_at']:%Y-%m-%d %H:%M}" == "2099-12-24 09:00"


async def test_hostile_text_runs_nowhere(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        name = '"><script>alert(3)</script>'
        slug = await own(page, node, "x\n", name=name, title=name)
        await page.goto(f"/{slug}/edit")
        await text_area(page).fill(HOSTILE)
        await follow(page.get_by_role("button", name="Save"))
        for path in ("edit", "fork", "history", "diff/1..2", "diff/1..2?layout=split", "rev/1", "manage", "restore/1"):
            await page.goto(f"/{slug}/{path}")
        await page.goto(f"/{slug}/edit")
        assert await text_area(page).input_value() == HOSTILE


async def test_who_leaves_with_typed_text_is_asked(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        slug = await own(page, node)
        await page.goto(f"/{slug}/edit")
        await text_area(page).press_sequentially("typed")
        async with page.expect_event("dialog"):
            await page.get_by_role("link", name="Back to the paste").click(no_wait_after=True)
        await expect(text_area(page)).to_have_value(re.compile("^typed|typed$"))
        assert watched.offences == ["beforeunload: "]
        watched.offences.clear()
        async with led(page):
            await text_area(page).press("Control+Enter")
        await expect(page).to_have_url(f"{node.url}/{slug}")


async def test_pictures(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        slug = await own(page, node, CODE, name="area.py", title="How large it is", expires_in="30d")
        await page.goto(f"/{slug}/edit")
        await check(page, "edit")
        await text_area(page).fill(CODE.replace("height):", "height, unit='m²'):") + "# " + "long " * 60 + "\n")
        await page.locator("[name=syntax-1]").fill("klingon")
        await follow(page.get_by_role("button", name="Save"))
        await check(page, "edit-refused")
        await page.locator("[name=syntax-1]").fill("python")
        await follow(page.get_by_role("button", name="Save", exact=True))
        for path, name in (
            *(("", "paste-changed"), ("/rev/1", "revision"), ("/history", "history"), ("/diff/1..2", "diff")),
            *(("/diff/1..2?layout=split", "diff-split"), ("/diff/2..2", "diff-none"), ("/restore/1", "restore")),
            *(("/fork", "fork"), ("/manage", "manage-owner")),
        ):
            await page.goto(f"/{slug}{path}")
            await check(page, name)
        await page.goto(f"/{slug}/edit")
        token = (await page.context.cookies(f"{node.url}/{slug}"))[0]["value"]  # type: ignore[typeddict-item]
        change = {"json": {"content": "theirs\n"}, "headers": {"Authorization": f"Bearer {token}"}}
        async with node.http.patch(f"{node.url}/api/v1/pastes/{slug}", **change) as response:  # type: ignore[arg-type]
            assert response.status == 200
        await text_area(page).fill(CODE + "mine = True\n")
        await follow(page.get_by_role("button", name="Save"))
        await check(page, "edit-conflict", whole=True)
        await follow(page.get_by_role("button", name="Save", exact=True))
        other, limited = await node.paste("one\n"), await own(page, node, max_reads=3)
        for path, name in ((f"/{other['slug']}/edit", "unlock"), (f"/{limited}/burn", "burn")):
            await page.goto(path)
            await check(page, name)
        await page.get_by_label("Yes, burn this paste for everybody").check()
        await follow(page.get_by_role("button", name="Burn paste"))
        await check(page, "burned")
