"""Reading a paste: lines are chosen and copied, pages look as the reader wants, with a script and without."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Browse, Watched, copied, follow, stop_time, until
from tests.nodes import Node

pytestmark = pytest.mark.browser

LINES = 60
CODE = "".join(f"value_{number} = {number}\n" for number in range(1, LINES + 1))
LONG = f"x = '{'long ' * 100}'\n\ty = 1\n"
CLIPBOARD = ["clipboard-read", "clipboard-write"]


@pytest.fixture
async def watched(browse: Browse) -> AsyncIterator[Watched]:
    async with browse(permissions=CLIPBOARD, viewport={"width": 1000, "height": 700}) as one:
        # what a button says for two seconds it says until a test has seen it
        await stop_time(one.page)
        yield one


async def picked(page: Page) -> list[str]:
    lines: list[str] = await page.evaluate("[...document.querySelectorAll('.line.picked')].map((line) => line.id)")
    return lines


def number(page: Page, line: str) -> str:
    return f"a.n[href='#{line}']"


def ids(*numbers: int, prefix: str = "") -> list[str]:
    return [f"{prefix}L{one}" for one in numbers]


# Lines


async def test_a_click_takes_a_line_and_shift_a_range(watched: Watched, node: Node) -> None:
    page = watched.page
    url = (await node.paste(CODE, name="a.py"))["url"]
    await page.goto(url)
    await expect(page.locator("[data-picks]")).to_be_hidden()
    await page.click(number(page, "L5"))
    await expect(page).to_have_url(f"{url}#L5")
    assert await picked(page) == ids(5)
    await expect(page.locator("[data-picks] output")).to_have_text("Line 5")
    await page.click(number(page, "L8"), modifiers=["Shift"])
    await expect(page).to_have_url(f"{url}#L5-L8")
    assert await picked(page) == ids(5, 6, 7, 8)
    await page.click(number(page, "L3"), modifiers=["Shift"])
    await expect(page).to_have_url(f"{url}#L3-L5")
    assert await picked(page) == ids(3, 4, 5)
    await page.click(number(page, "L10"), modifiers=["Control"])
    await page.click(number(page, "L12"), modifiers=["Control", "Shift"])
    await expect(page).to_have_url(f"{url}#L3-L5,L10-L12")
    await expect(page.locator("[data-picks] output")).to_have_text("Lines 3\u20135, 10\u201312")
    await page.get_by_role("button", name="Choose no lines").click()
    await expect(page).to_have_url(url)
    assert await picked(page) == []
    await expect(page.locator("[data-picks]")).to_be_hidden()


async def test_chosen_lines_are_copied_as_link_and_as_text(watched: Watched, node: Node) -> None:
    page = watched.page
    slug = (await node.paste("one\n\ttwo \x1b[0m\n three\nfour\u202e", name="a.txt"))["slug"]
    await page.goto(f"/{slug}#L2-L3")
    await page.get_by_role("button", name="Copy text").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    await copied(page, "\ttwo \x1b[0m\n three")  # the bytes, and not their pictures
    await page.click(number(page, "L4"), modifiers=["Control"])
    await page.get_by_role("region", name="Chosen lines").get_by_role("button", name="Copy link").click()
    await expect(page.locator("[data-said]")).to_have_text("Copied")
    await copied(page, f"{node.url}/{slug}#L2-L4")
    raw = page.get_by_role("region", name="Chosen lines").get_by_role("link", name="Raw")
    assert await raw.get_attribute("href") == f"{node.url}/{slug}/raw?lines=2-4"


ADDRESSES = {
    "L7": ids(7),
    "L10-L12": ids(10, 11, 12),
    "L12-L10": ids(10, 11, 12),
    "L10-12": ids(10, 11, 12),
    "L3,L10-L11": ids(3, 10, 11),
    "L10-L11,L3,L11-L12": ids(3, 10, 11, 12),
    "L59-L99999999": ids(59, 60),
    "L61": [],
    "L0": [],
    "L": [],
    "L1-": [],
    "L1,,L2": [],
    "main": [],
    "%4c1": [],
    "L1" + ",L1" * 100: [],
    "f2-L1": [],
    '"],*,[x="-L1': [],
}


async def test_an_address_names_lines(watched: Watched, node: Node) -> None:
    page = watched.page
    slug = (await node.paste(CODE, name="a.py"))["slug"]
    for fragment, lines in ADDRESSES.items():
        await page.goto("about:blank")
        await page.goto(f"/{slug}#{fragment}")
        await expect(page.locator("[data-picks]"), fragment).to_be_visible(visible=bool(lines))
        assert await picked(page) == lines, fragment
        if lines:
            await expect(page.locator(f"#{lines[0]}"), fragment).to_be_in_viewport()


async def test_lines_of_several_files(watched: Watched, node: Node) -> None:
    page = watched.page
    files = [{"name": f"{name}.txt", "content": CODE} for name in "abc"]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files}) as response:
        url = (await response.json())["url"]
    await page.goto(f"{url}#f3-L50-L51")
    assert await picked(page) == ids(50, 51, prefix="f3-")
    await expect(page.locator("#f3-L50")).to_be_in_viewport()
    await page.click(number(page, "f3-L52"), modifiers=["Shift"])
    await expect(page).to_have_url(f"{url}#f3-L50-L52")
    await page.click(number(page, "f2-L60"), modifiers=["Control"])
    await expect(page).to_have_url(f"{url}#f3-L50-L52,f2-L60")
    await page.get_by_role("button", name="Copy text").click()
    await expect(page.locator("[data-said]")).to_have_text("Copied")
    await copied(page, "value_50 = 50\nvalue_51 = 51\nvalue_52 = 52\nvalue_60 = 60")
    await page.click(number(page, "f1-L2"), modifiers=["Shift"])
    await expect(page, "a range is of one file").to_have_url(f"{url}#f1-L2")


async def test_lines_are_chosen_with_the_keyboard(watched: Watched, node: Node) -> None:
    page = watched.page
    url = (await node.paste(CODE, name="a.py"))["url"]
    await page.goto(url)
    for text, fragment in (("50", "#L50"), ("12-10, L3", "#L3,L10-L12"), ("40 41-60", "#L40-L60")):
        await page.get_by_label("Choose lines").fill(text)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{url}{fragment}")
        await expect(page.get_by_role("region", name="Chosen lines").get_by_role("button").first).to_be_focused()
    for text in ("61", "x", "2:1", "0", "1-", '"]'):
        await page.get_by_label("Choose lines").fill(text)
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Choose lines")).to_have_attribute("aria-invalid", "")
        await expect(page).to_have_url(url)
        assert await picked(page) == []
    files = [{"name": f"{name}.txt", "content": CODE} for name in "ab"]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files}) as response:
        url = (await response.json())["url"]
    await page.goto(url)
    await page.get_by_label("Choose lines").fill("7, 2:8")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{url}#f1-L7,f2-L8")


async def test_without_a_script_a_number_is_a_link(browse: Browse, node: Node) -> None:
    slug = (await node.paste(CODE, name="a.py"))["slug"]
    async with browse(java_script_enabled=False) as watched:
        page = watched.page
        await page.goto(f"/{slug}")
        assert await page.locator("button:visible").all_inner_texts() == ["Show"], "what a script does is not offered"
        await page.click(number(page, "L5"))
        await expect(page).to_have_url(f"{node.url}/{slug}#L5")
        colours = [await page.locator(f"#L{n}").evaluate("e => getComputedStyle(e).backgroundColor") for n in (4, 5)]
        assert colours[0] != colours[1]


# Copying


async def test_a_file_is_copied_as_it_is(watched: Watched, node: Node) -> None:
    page = watched.page
    for content in ("no line end", "two\r\nlines\n", "\x1b[31mred\u202e\n"):
        await page.goto((await node.paste(content, name="a.txt"))["url"])
        await page.get_by_role("button", name="Copy a.txt").click()
        await expect(page.locator("[data-said]")).to_have_text("Copied")
        found = await page.evaluate("navigator.clipboard.readText()")
        assert found.replace("\r\n", "\n") == content.replace("\r\n", "\n")


async def test_copying_without_a_secure_connection(watched: Watched, node: Node) -> None:
    """A browser gives its clipboard to pages that came by TLS, or from the same machine; others have an older way."""
    page = watched.page
    await page.add_init_script(
        "window.kept = navigator.clipboard; Object.defineProperty(navigator, 'clipboard', {value: undefined});"
    )
    slug = (await node.paste("one\n\ttwo\n three\n", name="a.txt"))["slug"]
    await page.goto(f"/{slug}#L1-L2")
    await page.get_by_role("button", name="Copy text").click()
    await expect(page.locator("[data-said]")).to_have_text("Copied")
    assert await page.evaluate("kept.readText()") == "one\n\ttwo"
    await page.evaluate("document.execCommand = () => false")
    button = page.locator(".tools").get_by_role("button", name="Copy link")
    await button.click()
    await expect(page.locator("[data-said]")).to_have_text("This could not be copied")
    await page.clock.run_for(2000)
    await expect(button).to_have_text("Copy link")
    await expect(page.locator("[data-said]")).to_have_text("")


async def test_copying_when_the_server_is_away(watched: Watched, node: Node) -> None:
    page = watched.page
    await page.goto((await node.paste("one\n<two>\n", name="a.txt"))["url"])
    await page.context.set_offline(True)
    await page.locator("[data-copy-file]").click()
    await expect(page.locator("[data-said]")).to_have_text("Copied")
    await copied(page, "one\n<two>")


async def test_the_link_is_copied(watched: Watched, node: Node) -> None:
    url = (await node.paste(CODE))["url"]
    await watched.page.goto(f"{url}#L4")
    await watched.page.locator(".tools").get_by_role("button", name="Copy link").click()
    await expect(watched.page.locator("[data-said]")).to_have_text("Copied")
    await copied(watched.page, url)


async def test_what_was_revealed_is_copied_from_the_page(watched: Watched, node: Node) -> None:
    page = watched.page
    created = await node.paste("the <secret>\nis &amp; this\n", burn=True)
    await page.goto(created["url"])
    await follow(page.get_by_role("button", name="Open and delete"))
    await page.locator("[data-copy-file]").click()
    await expect(page.locator("[data-said]")).to_have_text("Copied")
    await page.click(number(page, "L2"))
    await expect(page.locator("[data-pick=raw]")).to_be_hidden()
    assert await page.get_by_role("button", name="Copy link").count() == 0, "nobody can open it any more"
    await page.get_by_role("button", name="Copy text").click()
    await expect(page.get_by_role("region", name="Chosen lines").get_by_role("button", name="Copied")).to_be_visible()
    await copied(page, "is &amp; this")


async def test_numbers_are_neither_selected_nor_copied(watched: Watched, node: Node) -> None:
    page = watched.page
    await page.goto((await node.paste(CODE, name="a.py"))["url"])
    await page.locator("pre.code code").evaluate("element => getSelection().selectAllChildren(element)")
    assert await page.evaluate("getSelection().toString()") == CODE.removesuffix("\n")
    names = await page.locator("pre.code").aria_snapshot()
    assert "link" not in names


# How it looks


async def style(page: Page, selector: str, name: str) -> str:
    value: str = await page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{name}")
    return value


@pytest.mark.parametrize("scripts", [False, True], ids=["without scripts", "with scripts"])
async def test_a_look_is_chosen_once_for_all_pages(browse: Browse, node: Node, *, scripts: bool) -> None:
    slug = (await node.paste(LONG, name="a.py"))["slug"]
    async with browse(java_script_enabled=scripts, color_scheme="light") as watched:
        page = watched.page
        await page.goto(f"/{slug}.py")
        light = await style(page, "html", "backgroundColor"), await style(page, ".k, .s, .m", "color")
        await follow(page.locator(".tools").get_by_role("link", name="Appearance"))
        for choice in ("Dark", "Wrap", "Huge", "8"):
            await page.get_by_role("radio", name=choice, exact=True).check()
        await follow(page.get_by_role("button", name="Save"))
        assert page.url == f"{node.url}/{slug}.python"
        dark = await style(page, "html", "backgroundColor"), await style(page, ".k, .s, .m", "color")
        assert not set(light) & set(dark)
        assert await style(page, ".line", "whiteSpace") == "pre-wrap"
        assert await style(page, ".line", "tabSize") == "8"
        assert await style(page, ".code", "fontSize") == "22px"
        assert await page.evaluate(
            "document.querySelector('.code').scrollWidth <= document.querySelector('.code').clientWidth"
        )
        for path in ("/", "/unknown0000", "/look"):
            await page.goto(path)
            assert await style(page, "html", "backgroundColor") == dark[0]
        assert await page.get_by_role("radio", checked=True).evaluate_all("all => all.map((one) => one.value)") == [
            "dark",
            "on",
            "huge",
            "8",
        ]
        await page.get_by_role("radio", name="As the system").check()
        await follow(page.get_by_role("button", name="Save"))
        await expect(page.get_by_role("status")).to_contain_text("Done.")
        assert await style(page, "html", "backgroundColor") == light[0]
        kept = await page.context.cookies(f"{node.url}/look/style.css")
        assert [(one["name"], one["path"], one["httpOnly"], one["sameSite"]) for one in kept] == [
            ("look", "/look", True, "Lax")
        ]
        assert await page.context.cookies(f"{node.url}/{slug}") == [], "pages are asked for without it"


async def test_light_can_be_chosen_on_a_dark_system_and_paper_is_light(browse: Browse, node: Node) -> None:
    slug = (await node.paste(LONG, name="a.py"))["slug"]
    async with browse(color_scheme="dark") as watched:
        page = watched.page
        await page.goto(f"/{slug}")
        dark = await style(page, "html", "backgroundColor")
        await page.goto("/look")
        await page.get_by_role("radio", name="Light").check()
        await follow(page.get_by_role("button", name="Save"))
        assert await style(page, "html", "backgroundColor") != dark
        await page.get_by_role("radio", name="Dark").check()
        await follow(page.get_by_role("button", name="Save"))
        assert await style(page, "html", "backgroundColor") == dark
        await page.emulate_media(media="print")
        assert await style(page, "html", "backgroundColor") == "rgb(255, 255, 255)"
        assert await style(page, "body", "color") == "rgb(31, 35, 38)"


async def test_lines_are_wrapped_at_once_and_from_then_on(watched: Watched, node: Node) -> None:
    page = watched.page
    slug = (await node.paste(LONG, name="a.py"))["slug"]
    await page.goto(f"/{slug}")
    button = page.get_by_role("button", name="Wrap lines")
    await expect(button).to_have_attribute("aria-pressed", "false")
    async with page.expect_response("**/look") as kept:
        await button.click()
    assert (await kept.value).status == 204
    await expect(button).to_have_attribute("aria-pressed", "true")
    assert await style(page, ".line", "whiteSpace") == "pre-wrap"
    await page.reload()
    await expect(button).to_have_attribute("aria-pressed", "true")
    assert await style(page, ".line", "whiteSpace") == "pre-wrap"
    async with page.expect_response("**/look"):
        await button.click()
    await page.reload()
    await expect(button).to_have_attribute("aria-pressed", "false")


# The rest of the page


@pytest.mark.parametrize("scripts", [False, True], ids=["without scripts", "with scripts"])
async def test_another_syntax_and_the_code(browse: Browse, node: Node, *, scripts: bool) -> None:
    slug = (await node.paste("def f(x): return x\n"))["slug"]
    async with browse(java_script_enabled=scripts) as watched:
        page = watched.page
        await page.goto(f"/{slug}")
        # where there are no scripts browsers load at once (HTML, 2.5.7: lazy loading would tell of scrolling)
        assert not scripts or f"{node.url}/{slug}/qr.svg" not in watched.requests
        await page.get_by_text("QR code", exact=True).click()
        picture = page.get_by_role("img", name="QR code")
        await expect(picture).to_be_visible()
        await expect(picture).to_have_js_property("complete", True)
        await until(page, "() => document.querySelector('img[src$=\"/qr.svg\"]').naturalWidth > 100")
        await page.get_by_label("Show as").select_option("ruby")
        await follow(page.get_by_role("button", name="Show", exact=True))
        assert page.url == f"{node.url}/{slug}.ruby"
        await expect(page.get_by_label("Show as")).to_have_value("ruby")
        await page.get_by_label("Show as").select_option("more")
        await follow(page.get_by_role("button", name="Show", exact=True))
        await page.get_by_label("Show it as").select_option("cobol")
        await follow(page.get_by_role("button", name="Show", exact=True))
        assert page.url == f"{node.url}/{slug}.cobol"
        await expect(page.get_by_label("Show as")).to_have_value("cobol")


async def test_archives_are_downloads(watched: Watched, node: Node) -> None:
    page = watched.page
    files = [{"name": name, "content": "x\n"} for name in ("a/b.txt", "c.txt")]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files, "title": "Some files"}) as response:
        url = (await response.json())["url"]
    await page.goto(url)
    for kind in ("zip", "tar.gz"):
        async with page.expect_download() as download:
            await page.get_by_role("link", name=f"All files as .{kind}").click()
        assert (await download.value).suggested_filename == f"Some files.{kind}"


PYTHON = '''def area(width: float, height: float = 1.0) -> float:
    """What a rectangle covers; `width` and `height` in metres."""
    if width < 0 or height < 0:
        raise ValueError(f"not a rectangle: {width} x {height}")
    return width * height


'''


async def test_a_page_weighs_little_and_stays_where_it_is(browse: Browse, node: Node) -> None:
    """HTML, style sheets and modules of a source of 4 KB, as they go over the wire."""
    slug = (await node.paste((PYTHON * 20)[:4096], name="area.py"))["slug"]
    async with browse() as watched:
        page = watched.page
        await page.add_init_script(
            "window.shifts = 0;"
            "new PerformanceObserver((list) => list.getEntries().forEach((one) => shifts += one.value))"
            ".observe({type: 'layout-shift', buffered: true})"
        )
        sizes: dict[str, int] = {}
        await page.goto(f"/{slug}", wait_until="networkidle")
        for address in dict.fromkeys(watched.requests):
            async with node.http.get(address, headers={"Accept": "text/html"}) as response:
                sizes[address] = len(gzip.compress(await response.read(), 5))
        assert sum(sizes.values()) < 60 * 1024, sizes
        assert await page.evaluate("window.shifts") == 0
