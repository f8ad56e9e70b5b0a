"""The pages in a real browser, with scripts and without: everything works, nothing is used up by looking."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Page, expect

from tests.browser.conftest import Browse, follow
from tests.nodes import Node

pytestmark = pytest.mark.browser

TYPED = "def f(x):\n\n    return '<b>' + x  # ünïcode\n\n"


@pytest.fixture(params=[False, True], ids=["without scripts", "with scripts"])
async def page(browse: Browse, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    async with browse(java_script_enabled=request.param) as watched:
        yield watched.page


def upload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


async def fill_in(page: Page, text: str = "", **choices: str) -> None:
    """Fill in the form and send it."""
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill(text)
    for name, value in choices.items():
        field = page.locator(f"[name={name}]")
        if await field.evaluate("element => element.tagName") == "SELECT":
            await field.select_option(value)
        else:
            await field.fill(value)
    await page.get_by_role("button", name="Create paste").click()


async def arrived(page: Page) -> str:
    """Wait for the page that a new paste leads to; its slug."""
    await page.wait_for_url(re.compile(r"\?created$"))
    return page.url.split("/")[3].partition("?")[0]


async def create(page: Page, text: str = "", **choices: str) -> str:
    """Make a paste with the form; its slug."""
    await fill_in(page, text, **choices)
    return await arrived(page)


async def raw(node: Node, slug: str) -> bytes:
    async with node.http.get(f"{node.url}/{slug}/raw") as response:
        return await response.read()


async def reads(node: Node, slug: str) -> int:
    (row,) = await node.sql("select reads from pastes where slug = $1", slug)
    return int(row["reads"])


async def test_typing_a_paste(page: Page, node: Node) -> None:
    slug = await create(page, TYPED, title="A title", name="f.py")
    assert page.url == f"{node.url}/{slug}?created"
    await expect(page.get_by_role("heading", level=1)).to_have_text("A title")
    code = page.locator("pre.code")
    assert TYPED.split("\n")[2] in await code.inner_text()
    assert await code.locator("span.k").first.inner_text() == "def"
    assert await code.locator("span.k").first.evaluate("e => getComputedStyle(e).color") != await code.evaluate(
        "e => getComputedStyle(e).color"
    )
    assert await raw(node, slug) == TYPED.encode()


async def test_windows_line_ends_in_a_text_area_are_unix_ones_in_the_paste(page: Page, node: Node) -> None:
    slug = await create(page, "one\r\ntwo\r\n")
    assert await raw(node, slug) == b"one\ntwo\n"


async def test_uploading_several_files(page: Page, node: Node) -> None:
    await page.goto("/")
    files = [upload("a b.py", b"import os\r\n"), upload("ü.bin", b"\0\xff" * 1000), upload("c.md", b"# c\n")]
    await page.get_by_label("Files").set_input_files(files)
    await page.get_by_role("button", name="Create paste").click()
    await arrived(page)
    headings = page.locator("section.file h2")
    assert await headings.all_inner_texts() == ["a b.py", "ü.bin", "c.md"]
    await follow(page.get_by_role("link", name=re.compile("Raw.*a b.py")))
    assert page.url.endswith("/raw/a%20b.py")
    async with node.http.get(page.url) as response:
        assert await response.read() == b"import os\r\n"
    await page.go_back()
    async with page.expect_download() as download:
        await page.get_by_role("link", name=re.compile("Download.*ü.bin")).first.click()
    found = await download.value
    assert found.suggested_filename == "ü.bin"
    assert Path(await found.path()).read_bytes() == b"\0\xff" * 1000  # type: ignore[arg-type]


async def test_the_owner_manages_and_deletes(page: Page, node: Node) -> None:
    slug = await create(page, "mine\n")
    await follow(page.get_by_role("link", name="Manage"))
    assert page.url == f"{node.url}/{slug}/manage"
    token = await page.locator("code.secret").inner_text()
    assert len(token) == 32
    await page.get_by_label("Yes, delete this paste for good").check()
    await follow(page.get_by_role("button", name="Delete paste"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("The paste is deleted")
    response = await page.goto(f"/{slug}")
    assert response is not None
    assert response.status == 404
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    assert await page.context.cookies(f"{node.url}/{slug}") == []


async def test_another_browser_needs_the_token(page: Page, node: Node) -> None:
    created = await node.paste("theirs\n")
    await page.goto(f"/{created['slug']}/manage")
    for token, heading in (("wrong", re.compile("^Manage")), (created["token"], "The paste is deleted")):
        await page.get_by_label("Owner token").fill(token)
        await page.get_by_label("Yes, delete this paste for good").check()
        await follow(page.get_by_role("button", name="Delete paste"))
        await expect(page.get_by_role("heading", level=1)).to_have_text(heading)


async def test_the_button_reveals_once_and_looking_uses_up_nothing(page: Page, node: Node) -> None:
    slug = await create(page, "secret text\n", max_reads="1")
    assert page.url.endswith(f"/{slug}/manage?created")
    assert (await page.context.cookies(page.url))[0]["httpOnly"] is True
    for _ in range(2):
        await page.goto(f"/{slug}")
        await page.reload()
    assert await reads(node, slug) == 0
    await follow(page.get_by_role("button", name="Open and delete"))
    await expect(page.get_by_text("That was the last reading.")).to_be_visible()
    assert "secret text" in await page.locator("pre.code").inner_text()
    assert await reads(node, slug) == 1
    await page.go_back()
    assert "secret text" not in await page.content()
    response = await page.goto(f"/{slug}")
    assert response is not None
    assert response.status == 404


async def test_reloading_what_was_revealed_uses_up_what_it_says(page: Page, node: Node) -> None:
    created = await node.paste("secret text\n", max_reads=5)
    await page.goto(created["url"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("This paste can be read 5 more times")
    await follow(page.get_by_role("button", name="Open"))
    assert await reads(node, created["slug"]) == 1
    await page.go_back()
    await expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("can be read [45] more times"))
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("This paste can be read 4 more times")
    assert await reads(node, created["slug"]) == 1


async def test_a_password_wrong_then_right(page: Page, node: Node) -> None:
    created = await node.paste("secret text\n", password="open sesame", burn=True)
    await page.goto(created["url"])
    await page.get_by_label("Password").fill("wrong")
    await follow(page.get_by_role("button", name="Open"))
    await expect(page.get_by_role("alert")).to_contain_text("The password is wrong. No reading was used up.")
    assert await page.get_by_label("Password").input_value() == ""
    await page.get_by_label("Password").fill("open sesame")
    await follow(page.get_by_role("button", name="Open"))
    assert "secret text" in await page.locator("pre.code").inner_text()


async def test_a_revealed_file_that_cannot_be_shown_can_still_be_kept(page: Page, node: Node) -> None:
    created = await node.paste(b"\0\xff" * 500, name="a.bin", max_reads="1")
    await page.goto(created["url"])
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Open and delete").click()
    found = await download.value
    assert found.suggested_filename == "a.bin"
    assert Path(await found.path()).read_bytes() == b"\0\xff" * 500  # type: ignore[arg-type]


async def test_files_revealed_together_are_inside_their_page(page: Page, node: Node) -> None:
    body = {
        "files": [{"name": "a.txt", "content": "one\n"}, {"name": "b.bin", "content": "AP8=", "encoding": "base64"}]
    }
    async with node.http.post(f"{node.url}/api/v1/pastes", json={**body, "burn": True}) as response:
        created = await response.json()
    await page.goto(created["url"])
    await follow(page.get_by_role("button", name="Open and delete"))
    async with page.expect_download() as download:
        await page.get_by_role("link", name=re.compile("Download.*b.bin")).first.click()
    found = await download.value
    assert found.suggested_filename == "b.bin"
    assert Path(await found.path()).read_bytes() == b"\0\xff"  # type: ignore[arg-type]


async def test_a_refused_form_keeps_what_was_typed(page: Page) -> None:
    await fill_in(page, TYPED, title="t" * 201, name="f.py", expires_in="1h", visibility="public", max_reads="5")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing was saved yet")
    assert await page.get_by_label("Text", exact=True).input_value() == TYPED
    assert await page.get_by_label("Title").input_value() == "t" * 201
    assert await page.get_by_label("File name").input_value() == "f.py"
    assert await page.get_by_label("Expires").input_value() == "1h"
    assert await page.get_by_label("Who can read it").input_value() == "public"
    assert await page.get_by_label("Burn after reading").input_value() == "5"
    assert await page.get_by_label("Title").get_attribute("aria-invalid") == "true"
    await page.get_by_label("Title").fill("shorter")
    await follow(page.get_by_role("button", name="Create paste"))
    assert page.url.endswith("/manage?created")


async def test_a_private_paste_is_for_the_browser_that_made_it(page: Page, browse: Browse) -> None:
    slug = await create(page, "mine alone\n", visibility="private")
    await page.goto(f"/{slug}")
    assert "mine alone" in await page.locator("pre.code").inner_text()
    async with browse() as other:
        response = await other.page.goto(f"/{slug}")
        assert response is not None
        assert response.status == 404


async def test_another_site_cannot_delete(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        slug = await create(page, "mine\n")
        # the same server under another name is another site
        elsewhere = f"{node.url.replace('127.0.0.1', 'localhost')}/{slug}/manage"
        watched.allowed.add(elsewhere)
        form = f"""<form method=post action="{node.url}/{slug}/manage"><input name=action value=delete>
            <input name=confirm value=yes><button>win</button></form>"""
        await page.route(elsewhere, lambda route: route.fulfill(body=form, content_type="text/html"))
        await page.goto(elsewhere)
        await follow(page.get_by_role("button", name="win"))
        await expect(page.get_by_role("heading", level=1)).to_have_text("Cross-site request")
        assert await raw(node, slug) == b"mine\n"
