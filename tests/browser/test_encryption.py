"""Encryption in a real Chromium: what is made there and what is opened there, against a client of PrivateBin's too."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import privatebin
import pytest
from playwright.async_api import Page, expect
from privatebin import Attachment, PrivateBin

from tests.browser.conftest import Browse
from tests.browser.looks import check
from tests.browser.payloads import TEXTS
from tests.nodes import Node

pytestmark = pytest.mark.browser

SECRET = "launch code: grüße\n\tend\n"


async def make(page: Page, text: str = SECRET, **fields: str) -> str:
    """Fill in the form and have it encrypted; the link."""
    await page.goto("/")
    await page.get_by_label("Text", exact=True).fill(text)
    for name in ("title", "name", "password"):
        if name in fields:
            await page.locator(f"[name={name}]").fill(fields[name])
    if reads := fields.get("max_reads"):
        await page.locator("[name=max_reads]").select_option(reads)
    await page.get_by_label("Encrypt in this browser").check()
    await page.get_by_role("button", name="Create paste").click()
    return str(await page.locator("[data-ready] .command a[href]").get_attribute("href"))


async def make_by_client(node: Node, text: str = SECRET, **options: Any) -> str:
    def made() -> str:
        with PrivateBin(f"{node.url}/") as client:
            return client.create(text, **options).url.unmask()

    return await asyncio.to_thread(made)


async def on_the_command_line(*arguments: str, stdin: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pastebin", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )
    out, _ = await asyncio.wait_for(process.communicate(stdin), 60)
    return out


async def stored(node: Node, link: str) -> dict[str, Any]:
    slug = link.split("#")[0].rpartition("/")[2].removeprefix("?")
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
        shown: dict[str, Any] = await response.json()
        return shown


def theirs(link: str) -> str:
    """The same link in PrivateBin's form."""
    server, _, rest = link.rpartition("/")
    return f"{server}/?{rest}"


async def test_what_is_encrypted_here_opens_here_and_with_their_client(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        link = await make(watched.page, title="A <title>", name="codes.txt")
        await expect(watched.page.locator("[data-files] code")).to_have_text(SECRET)
    shown = await stored(node, link)
    assert (shown["title"], shown["files"][0]["name"], shown["protection"]) == (None, None, "end-to-end")
    async with node.http.get(shown["raw_url"]) as response:
        assert b"launch" not in await response.read()
    async with browse() as watched:
        await watched.page.goto(link)
        await expect(watched.page.locator("[data-files] code")).to_have_text(SECRET)
        await expect(watched.page.get_by_role("heading", level=1)).to_have_text("A <title>")
        await expect(watched.page.get_by_role("heading", level=2)).to_have_text("codes.txt")
        await expect(watched.page.locator("[data-ready]")).to_have_count(0)
        assert all("#" not in url.split("data:")[0] for url in watched.requests[1:])
    assert (await asyncio.to_thread(privatebin.get, theirs(link))).text == SECRET


async def test_what_their_client_encrypts_opens_here(browse: Browse, node: Node) -> None:
    attachment = Attachment(name='a".bin', content=os.urandom(70_000))
    link = await make_by_client(node, attachment=attachment)
    async with browse() as watched:
        page = watched.page
        await page.goto(link)
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)
        assert (await stored(node, link))["slug"] in page.url
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Download").last.click()
        path = await (await download.value).path()
        assert path.read_bytes() == attachment.content


async def test_the_command_line_and_the_page_open_what_the_other_made(
    browse: Browse, node: Node, tmp_path: Path
) -> None:
    """Also where the server asks for a proof that the key is known."""
    (tmp_path / "password").write_text("pass wörd\n")
    password = ("--password-file", str(tmp_path / "password"))
    put = ("put", "--encrypt", "--forget", "--burn", "--title", "From afar", *password, "--server", node.url)
    link = (await on_the_command_line(*put, stdin=SECRET.encode())).decode().strip()
    async with browse() as watched:
        page = watched.page
        await page.goto(link)
        await page.get_by_label("Password").fill("pass wörd")
        await page.get_by_role("button", name="Open and delete").click()
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)
        await expect(page.get_by_role("heading", level=1)).to_have_text("From afar")
        link = await make(page, max_reads="1", password="pass wörd")
    assert await on_the_command_line("get", link, "--reveal", *password) == SECRET.encode()


async def test_a_password_is_asked_for_until_it_fits(browse: Browse, node: Node) -> None:
    link = await make_by_client(node, password="open sesame")
    async with browse() as watched:
        page = watched.page
        await page.goto(link)
        await expect(page.locator("[data-told]")).to_contain_text("It has a password")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("[data-told]")).to_contain_text("Nothing was used up")
        await page.get_by_label("Password").fill("open sesame")
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)


@pytest.mark.parametrize("reads", ["1", "2"])
async def test_neither_a_wrong_password_nor_a_wrong_key_uses_up_a_reading(
    browse: Browse, node: Node, reads: str
) -> None:
    async with browse() as watched:
        link = await make(watched.page, max_reads=reads, password="open sesame")
        assert "#-" in link
        await expect(watched.page.locator("[data-files] code")).to_have_count(0)
    address, key = link.split("#-")
    other = key[:-1] + ("x" if key[-1] != "x" else "y")
    async with browse() as watched:
        page = watched.page
        for fragment, password in ((key, ""), (key, "wrong"), (other, "open sesame")):
            await page.goto("about:blank")
            await page.goto(f"{address}#-{fragment}")
            await page.get_by_label("Password").fill(password)
            await page.locator("form button").click()
            await expect(page.locator("[data-told]")).to_contain_text("Nothing was used up")
        assert (await stored(node, link))["reads_left"] == int(reads)
        await page.route("**/reveal", lambda route: route.fulfill(status=429))
        await page.locator("form button").click()
        await expect(page.locator("[data-told]")).to_contain_text("Too many requests")
        await page.unroute("**/reveal")
        await page.goto("about:blank")
        await page.goto(link)
        await page.reload()
        await page.get_by_label("Password").fill("open sesame")
        await page.locator("form button").click()
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)
        if reads == "1":
            await expect(page.locator("[data-told]")).to_contain_text("That was the last reading")
            await expect(page.get_by_role("link", name="Manage")).to_have_count(0)
        await expect(page.locator("[data-reads]")).to_have_text(str(int(reads) - 1))
    if reads == "2":
        assert (await stored(node, link))["reads_left"] == 1
        opened = await asyncio.to_thread(privatebin.get, theirs(link), password="open sesame")
        assert opened.text == SECRET
    async with node.http.get(f"{node.url}/api/v1/pastes/{address.rpartition('/')[2]}") as response:
        assert response.status == 404


async def test_what_was_used_up_stays_on_the_page(browse: Browse, node: Node) -> None:
    """Of a paste that somebody else's program made to burn nobody can say before whether the password fits."""
    link = await make_by_client(node, password="open sesame", burn_after_reading=True)
    async with browse() as watched:
        page = watched.page
        await page.goto(link)
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Open and delete").click()
        await expect(page.locator("[data-told]")).to_contain_text("nothing is lost")
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Save the encrypted content").click()
        kept = json.loads((await (await download.value).path()).read_bytes())
        assert (kept["v"], len(base64.b64decode(kept["ct"])) > 16) == (2, True)
        await page.get_by_label("Password").fill("open sesame")
        await page.get_by_role("button", name="Open and delete").click()
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)


async def test_what_is_wrong_with_a_link_is_said(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        link = await make(watched.page)
    address, key = link.split("#")
    async with browse() as watched:
        page = watched.page
        for fragment, words in (
            ("", "no key"),
            ("#abc", "not whole"),
            (f"#{key}0", "not whole"),
            ("#<b>", "not whole"),
        ):
            await page.goto("about:blank")
            await page.goto(address + fragment)
            await expect(page.locator("[data-told]")).to_contain_text(words)
        await page.get_by_label("Key, or the whole link").fill(link)
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)
        await page.goto("about:blank")
        await page.goto(f"{address}#-{key}")
        await expect(page.get_by_text("wants you to be asked")).to_be_visible()
        await page.get_by_role("button", name="Open").click()
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)


async def test_tampered_content_is_not_shown(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        links = [await make(watched.page, max_reads=reads) for reads in ("", "5")]
        for link in links:
            slug = (await stored(node, link))["slug"]
            await node.sql(
                "update files f set body = set_byte(body, 20, get_byte(body, 20) # 1) from pastes p"
                " where p.id = f.paste_id and p.slug = $1 and body is not null",
                slug,
            )

            async def spoilt(route: Any) -> None:
                response = await route.fetch()
                body = bytearray(await response.body())
                body[20] ^= 1
                await route.fulfill(response=response, body=bytes(body))

            page = watched.page
            await page.goto("about:blank")
            for suffix in ("raw", "reveal"):
                await page.route(f"**/{slug}/{suffix}", spoilt)
            await page.goto(link)
            if "#-" in link:
                await page.locator("form button").click()
                await expect(page.locator("[data-told]")).to_contain_text("not what the author encrypted")
            else:
                await expect(page.locator("[data-told]")).to_contain_text("the key was changed")
            await expect(page.locator("[data-files] code")).to_have_count(0)


async def test_a_script_that_is_not_ours_does_not_run(browse: Browse, node: Node) -> None:
    """What a cache or a server in between changed is refused, the imported module too."""
    async with browse() as watched:
        link = await make(watched.page)
        page = watched.page
        for name in ("sealing", "encryption"):

            async def changed(route: Any) -> None:
                response = await route.fetch()
                await route.fulfill(response=response, body=await response.text() + "\nwindow.pwned = 1;")

            await page.goto("about:blank")
            await page.route(f"**/static/{name}.*.js", changed)
            await page.goto(link)
            await expect(page.locator("[data-waiting]")).to_be_visible()
            assert await page.evaluate("window.pwned") is None
            await page.unroute(f"**/static/{name}.*.js")


async def test_hostile_content_stays_text(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        for start in range(0, len(TEXTS), 9):
            some = TEXTS[start : start + 9]
            text = "\n".join(some).replace("\r\n", "\n").replace("\r", "\n")
            link = await make(watched.page, text, title=some[0].replace("\n", " "), name=some[-1].replace("\n", " "))
            await expect(watched.page.locator("[data-files] pre")).to_be_visible()
            assert await watched.page.evaluate("window.pwned") is None
            await watched.page.goto("about:blank")
            await watched.page.goto(link)
            await expect(watched.page.locator("[data-files] pre")).to_be_visible()
            assert await watched.page.evaluate("window.pwned") is None


async def test_what_the_server_refuses_is_said_and_nothing_is_lost(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        await page.goto("/")
        await page.get_by_label("Encrypt in this browser").check()
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.locator(".alert")).to_contain_text("nothing to encrypt")
        await page.get_by_label("Text", exact=True).fill(SECRET)
        await page.evaluate("document.querySelector('[name=visibility] option').value = 'nonsense'")
        await page.locator("[name=visibility]").select_option(index=0)
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.locator(".alert")).to_contain_text("Who can read it")
        await page.locator("[name=visibility]").select_option("public")
        sent: list[tuple[str, str]] = []

        async def lost(route: Any) -> None:
            """The first answer does not arrive, though the paste is made."""
            sent.append((route.request.headers["idempotency-key"], route.request.post_data_buffer.decode("latin-1")))
            response = await route.fetch()
            await (route.abort() if len(sent) == 1 else route.fulfill(response=response))

        await page.route("**/mine", lost)
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.locator(".alert")).to_contain_text("The connection was lost")
        await expect(page.get_by_label("Text", exact=True)).to_have_value(SECRET)
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.locator("[data-files] code")).to_have_text(SECRET)
        assert len({key for key, _ in sent}) == 1
        assert SECRET not in sent[0][1]


async def test_several_files_travel_with_their_names(browse: Browse, node: Node) -> None:
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    )
    files = [
        {"name": "a.py", "mimeType": "text/x-python", "buffer": b"print()\n"},
        {"name": "dot.png", "mimeType": "image/png", "buffer": png},
        {"name": "b\u202ec.bin", "mimeType": "application/x-thing", "buffer": b"\0\xff" * 50_000},
    ]
    async with browse() as watched:
        page = watched.page
        await page.goto("/")
        await page.locator("input[type=file]").first.set_input_files(files)  # type: ignore[arg-type]
        await page.get_by_label("Encrypt in this browser").check()
        await page.get_by_role("button", name="Create paste").click()
        names = page.locator("[data-files] h2")
        await expect(names).to_have_text(["a.py", "dot.png", "b\ufffdc.bin"])
        assert (
            await page.locator("[data-files] img").evaluate("(image) => image.decode().then(() => image.naturalWidth)")
            == 1
        )
        await expect(page.get_by_text("97.7 KiB")).to_be_visible()


async def test_without_a_script_it_is_said_what_opens_it(browse: Browse, node: Node) -> None:
    link = await make_by_client(node)
    async with browse(java_script_enabled=False) as watched:
        await watched.page.goto(link)
        await expect(watched.page.locator("noscript code")).to_contain_text("pastebin get")
        await watched.page.goto("/")
        await expect(watched.page.locator("form noscript p")).to_be_visible()
        await expect(watched.page.get_by_label("Encrypt in this browser")).to_be_hidden()


async def test_pictures(browse: Browse) -> None:
    async with browse() as watched:
        page = watched.page
        link = await make(page, f"first line\n{'wide ' * 60}\n", title="Where the treasure is", name="map.txt")
        await expect(page.locator("[data-files] pre")).to_be_visible()
        await check(page, "encrypted-made", whole=True)
        await page.goto("about:blank")
        await page.goto(link)
        await expect(page.locator("[data-files] pre")).to_be_visible()
        await check(page, "encrypted-open", whole=True)
        await page.goto("about:blank")
        await page.goto(link.split("#")[0])
        await expect(page.locator("[data-told]")).to_be_visible()
        await check(page, "encrypted-no-key", whole=True)
        await page.goto(f"{link.split('#')[0]}/edit")
        await check(page, "edit-closed")
        burning = await make(page, max_reads="1", password="x")
        await check(page, "encrypted-made-burning", whole=True)
        await page.goto("about:blank")
        await page.goto(burning)
        await page.locator("form button").click()
        await expect(page.locator("[data-told]")).to_contain_text("Nothing was used up")
        await check(page, "encrypted-wrong", whole=True)
        await page.goto("/")
        await page.get_by_label("Encrypt in this browser").check()
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.locator(".alert")).to_be_visible()
        await check(page, "encrypted-form", whole=True)
