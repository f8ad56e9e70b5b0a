"""Making a paste with the script of the page: many files, their order and names, drafts, sending, what goes wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Browse, Watched, browsing
from tests.browser.looks import check
from tests.browser.test_pages import arrived, raw, upload
from tests.nodes import Node

pytestmark = pytest.mark.browser

HOSTILE = [
    '"><img src=x onerror=window.pwned=1>',
    "../../etc/passwd",
    "a\u202egnp.exe",
    "%22%0D%0A",
    'a"b',
    "C:\\x\\y",
    "ü" * 127,
]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0f01f0005000201"
    "5f0e2d6e0000000049454e44ae426082"
)
# Let a page hear what a hand would do: `kind` is paste or drop, with files of these names and contents.
BY_HAND = """([kind, files]) => {
  const held = new DataTransfer();
  for (const [name, type, text] of files) held.items.add(new File([text], name, {type}));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", {clipboardData: held, bubbles: true, cancelable: true})
    : new DragEvent(kind, {dataTransfer: held, bubbles: true, cancelable: true});
  document.getElementById("f-content").dispatchEvent(event);
}"""


@pytest.fixture
async def watched(browse: Browse) -> AsyncIterator[Watched]:
    async with browse() as one:
        yield one


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page


async def send(page: Page) -> str:
    await page.get_by_role("button", name="Create paste").click()
    return await arrived(page)


async def files_of(node: Node, slug: str) -> list[dict[str, Any]]:
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
        found: list[dict[str, Any]] = (await response.json())["files"]
        return found


async def pastes(node: Node) -> int:
    (row,) = await node.sql("select count(*) as count from pastes")
    return int(row["count"])


def rows(page: Page) -> Any:
    return page.locator("li.row")


async def test_files_are_named_moved_and_removed(page: Page, node: Node) -> None:
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill("first\n")
    await page.get_by_label("File name").fill("a.md")
    chosen = [upload(f"{letter}.txt", letter.encode()) for letter in "bcd"]
    await page.locator("#f-file").set_input_files(chosen)
    await expect(rows(page)).to_have_count(3)
    await page.get_by_role("button", name="Add another text").click()
    await page.get_by_label("Name of file 5").fill("e.py")
    await page.get_by_label("Text of file 5").fill("e = 1\n")
    await page.get_by_role("button", name="Move file 5 up").click()
    await page.get_by_role("button", name="Move file 2 down").click()
    await page.get_by_role("button", name="Remove file 5").click()
    await page.get_by_label("Name of file 2").fill("folder/renamed.txt")
    await page.get_by_label("Syntax of file 3").focus()
    await page.get_by_label("Syntax of file 3").select_option("rust")
    await expect(page.locator(".total output")).to_contain_text("4 files, ")
    slug = await send(page)
    found = [(file["name"], file["syntax"], file["size"]) for file in await files_of(node, slug)]
    assert found == [
        ("a.md", "markdown", 6),
        ("folder/renamed.txt", "text", 1),
        ("b.txt", "rust", 1),
        ("e.py", "python", 6),
    ]


async def test_files_are_dropped_and_pictures_pasted(page: Page, node: Node) -> None:
    await page.goto("/")
    await page.evaluate(BY_HAND, ["drop", [["one.txt", "text/plain", "1"], ["two.txt", "text/plain", "22"]]])
    await expect(rows(page)).to_have_count(2)
    for _ in range(2):
        await page.evaluate(BY_HAND, ["paste", [["image.png", "image/png", "not really"]]])
    await expect(rows(page)).to_have_count(4)
    names = [await rows(page).nth(index).locator(".row-name").input_value() for index in range(4)]
    assert names == ["one.txt", "two.txt", "picture.png", "picture-2.png"]
    await page.evaluate(BY_HAND, ["paste", [["a b.c", "text/plain", "x"]]])
    slug = await send(page)
    assert [file["name"] for file in await files_of(node, slug)] == [*names, "a b.c"]


async def test_a_folder_keeps_its_paths(page: Page, node: Node, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    for name, content in (("a.py", "a = 1\n"), ("deep/er/b.py", "b = 2\n"), ("deep/c", "c")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    await page.goto("/")
    await page.locator("input[webkitdirectory]").set_input_files(folder)
    await expect(rows(page)).to_have_count(3)
    slug = await send(page)
    names = {file["name"] for file in await files_of(node, slug)}
    assert names == {"project/a.py", "project/deep/er/b.py", "project/deep/c"}


async def test_hostile_names_stay_names(watched: Watched, node: Node) -> None:
    page = watched.page
    await page.goto("/")
    await page.locator("#f-file").set_input_files([upload(f"{number}", b"x") for number in range(len(HOSTILE))])
    for number, name in enumerate(HOSTILE):
        await rows(page).nth(number).locator(".row-name").fill(name)
    slug = await send(page)
    assert [file["name"] for file in await files_of(node, slug)] == HOSTILE
    assert await page.evaluate("window.pwned") is None


async def test_names_that_cannot_be_are_told_beside_the_file(page: Page, node: Node) -> None:
    before = await pastes(node)
    await page.goto("/")
    await page.get_by_label("File name").fill("same")
    await page.get_by_label("Text", exact=True).fill("x")
    await page.locator("#f-file").set_input_files([upload("b", b"1"), upload("c", b"2")])
    await page.get_by_label("Name of file 2").fill("same")
    await page.get_by_label("Name of file 3").fill("ü" * 128)
    await page.get_by_role("button", name="Create paste").click()
    await expect(rows(page).nth(0)).to_contain_text("Another file has this name.")
    await expect(rows(page).nth(1)).to_contain_text("at most 255 bytes")
    await expect(page.get_by_label("Name of file 2")).to_be_focused()
    assert await pastes(node) == before
    await check(page, "creating", whole=True)
    await page.get_by_label("Name of file 2").fill("other")
    await page.get_by_label("Name of file 3").fill("")
    slug = await send(page)
    assert [file["name"] for file in await files_of(node, slug)] == ["same", "other", "file-3"]


async def test_a_thousand_files(page: Page, node: Node) -> None:
    await page.goto("/")
    await page.locator("#f-file").set_input_files([upload(f"{number}.txt", b"%d" % number) for number in range(1000)])
    await expect(rows(page)).to_have_count(1000)
    await expect(page.locator(".total output")).to_contain_text("1000 files, ")
    slug = await send(page)
    assert [file["name"] for file in await files_of(node, slug)] == [f"{number}.txt" for number in range(1000)]


async def test_what_is_too_much_is_said_before_it_is_sent(browser: Browser, small_node: Node) -> None:
    async with browsing(browser, small_node.url)() as watched:
        page = watched.page
        await page.goto("/")
        await page.locator("#f-file").set_input_files([upload("large", b"x" * 300_000)])
        await expect(page.locator(".total")).to_have_class(re.compile("wrong"))
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.get_by_role("alert")).to_contain_text("That is 293 KiB, and a paste holds 195.3 KiB at most.")
        await page.get_by_role("button", name="Remove file 2").click()
        await page.locator("#f-file").set_input_files([upload(f"{number}", b"x") for number in range(6)])
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.get_by_role("alert")).to_contain_text("Those are 6 files, and a paste holds 5 at most.")
        await page.get_by_role("button", name="Remove file 2").click()
        assert not [url for url in watched.requests if url.endswith("/mine")]
        slug = await send(page)
        assert len(await files_of(small_node, slug)) == 5


async def test_sending_is_shown_and_can_be_cancelled(page: Page, node: Node) -> None:
    before = await pastes(node)
    await page.goto("/")
    await page.locator("#f-file").set_input_files([upload("large.bin", bytes(range(256)) * 40_000)])
    network = await page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 20_000}
    await network.send("Network.emulateNetworkConditions", slow)
    await page.get_by_role("button", name="Create paste").click()
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    await expect(page.locator(".sending [data-progress]")).to_contain_text("of 9.8 MiB")
    await check(page, "sending")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("alert")).to_contain_text("You cancelled it.")
    await expect(rows(page)).to_have_count(1)
    assert await pastes(node) == before
    await network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    slug = await send(page)
    assert await raw(node, slug) == bytes(range(256)) * 40_000


async def test_after_a_lost_connection_nothing_is_lost_and_nothing_made_twice(page: Page, node: Node) -> None:
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill("kept\n")
    before = await pastes(node)

    async def lose_the_answer(route: Any) -> None:
        await route.fetch()
        await route.abort("connectionreset")

    await page.route("**/mine", lose_the_answer)
    await page.get_by_role("button", name="Create paste").click()
    await expect(page.get_by_role("alert")).to_contain_text("The connection was lost.")
    assert await page.get_by_label("Text", exact=True).input_value() == "kept\n"
    await page.unroute("**/mine")
    slug = await send(page)
    assert (await raw(node, slug), await pastes(node)) == (b"kept\n", before + 1)


async def test_what_the_server_refuses_is_told_in_the_page(page: Page, node: Node) -> None:
    taken = (await node.paste("x", slug="taken-link"))["slug"]
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill("x\n")
    await page.get_by_label("Title").fill("t" * 201)
    await page.get_by_text("More options").click()
    await page.get_by_label("Exact time").fill("2001-02-03T04:05")
    await page.get_by_label("Exact time").evaluate("element => element.removeAttribute('min')")
    await page.get_by_role("button", name="Create paste").click()
    await expect(page.get_by_role("alert").get_by_role("link", name="Title")).to_be_visible()
    assert await page.get_by_label("Title").get_attribute("aria-invalid") == "true"
    await page.get_by_label("Title").fill("short")
    await page.get_by_role("button", name="Create paste").click()
    await expect(page.get_by_role("alert")).to_contain_text("Exact time: must lie in the future")
    assert await page.get_by_label("Title").get_attribute("aria-invalid") is None
    await page.get_by_label("Exact time").fill("")
    await page.get_by_label("Own link").fill(taken)
    await page.get_by_role("button", name="Create paste").click()
    await expect(page.get_by_role("alert").get_by_role("link", name="Own link")).to_be_visible()
    await page.get_by_label("Own link").fill("free-link")
    assert await send(page) == "free-link"


async def test_secrets_are_asked_about(page: Page, node: Node) -> None:
    await page.goto("/")
    secret = (
        "-----BEGIN OPENSSH PRIVATE KEY-----\n"
        + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\n" * 4
    )
    await page.get_by_label("Text", exact=True).fill(secret + "-----END OPENSSH PRIVATE KEY-----\n")
    await page.get_by_role("button", name="Create paste").click()
    await expect(page.get_by_role("alert")).to_contain_text("This looks like it holds secrets.")
    await page.get_by_role("button", name="Publish all the same").click()
    assert (await raw(node, await arrived(page))).startswith(b"-----BEGIN")


async def test_an_exact_time_is_that_of_the_reader(browse: Browse, node: Node) -> None:
    async with browse(timezone_id="Asia/Tokyo") as watched:
        page = watched.page
        await page.goto("/")
        await page.get_by_label("Text", exact=True).fill("x")
        await page.get_by_text("More options").click()
        await page.get_by_label("Exact time your time").fill("2099-12-24T18:00")
        slug = await send(page)
    (row,) = await node.sql("select expires_at from pastes where slug = $1", slug)
    assert f"{row['expires_at']:%Y-%m-%d %H:%M}" == "2099-12-24 09:00"


async def test_the_syntax_is_guessed_as_the_server_does(page: Page, node: Node) -> None:
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill("#!/usr/bin/env python3\nx = 1\n")
    await expect(page.locator("#f-syntax option").first).to_have_text("Guess: Python")
    for name, label in (
        ("x.h", "C"),
        ("Dockerfile", "Docker"),
        ("a.tar.SQL", "SQL"),
        ("dir/x.rs", "Rust"),
        ("x", "Python"),
    ):
        await page.get_by_label("File name").fill(name)
        await expect(page.locator("#f-syntax option").first).to_have_text(f"Guess: {label}")
    await page.get_by_label("File name").fill("x.h")
    slug = await send(page)
    assert [file["syntax"] for file in await files_of(node, slug)] == ["c"]


async def test_a_draft_outlives_a_reload_and_a_crash_but_not_its_paste(page: Page) -> None:
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill("half of a thought\n")
    await page.get_by_label("Password").fill("open sesame")
    await page.get_by_role("button", name="Add another text").click()
    await page.get_by_label("Text of file 2").fill("the other half\n")
    await page.reload()
    await expect(page.get_by_text("This is your draft of")).to_be_visible()
    assert await page.get_by_label("Text", exact=True).input_value() == "half of a thought\n"
    assert await page.get_by_label("Text of file 2").input_value() == "the other half\n"
    assert await page.get_by_label("Password").input_value() == ""
    assert "sesame" not in await page.evaluate("JSON.stringify(localStorage)")
    other = await page.context.new_page()
    await other.goto("/")
    await expect(other.get_by_text("is kept in this browser")).to_be_visible()
    await check(other, "draft")
    assert await other.get_by_label("Text", exact=True).input_value() == ""
    await page.close()
    await other.get_by_role("button", name="Take it up again").click()
    assert await other.get_by_label("Text", exact=True).input_value() == "half of a thought\n"
    await send(other)
    await other.goto("/")
    await expect(other.locator("li.row")).to_have_count(0)
    assert await other.get_by_text("draft").count() == 0
    assert await other.evaluate("localStorage.getItem('pastebin.drafts')") == "{}"


async def test_going_back_from_a_new_paste_shows_an_empty_form(page: Page) -> None:
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill("once\n")
    await send(page)
    await page.go_back()
    await expect(page.get_by_label("Text", exact=True)).to_have_value("")
