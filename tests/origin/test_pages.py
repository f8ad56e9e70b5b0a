"""Pages of pastes that are large, slow to highlight, or strangely named: bounded, and still of use."""

from __future__ import annotations

import asyncio
import html
import io
import json
import re
from urllib.parse import quote, urlsplit

import aiohttp
import pytest

from pastebin.origin import paste_page
from tests.nodes import Node, directory, started

BROWSER = {"Accept": "text/html"}
# Minutes of backtracking for the GherkinLexer of Pygments 2.21.
BOMB = "\t\n" * 20_000


async def show(node: Node, path: str, **headers: str) -> str:
    async with node.http.get(node.url + path, headers={**BROWSER, **headers}) as response:
        assert response.status == 200
        text = await response.text()
        assert response.content_length == len(text.encode())
        return text


async def several(node: Node, *contents: str, syntax: str | None = None, **options: object) -> str:
    """The slug of a paste with these files."""
    files = [{"content": content, "name": f"{number}.txt"} for number, content in enumerate(contents, 1)]
    for file in files:
        if syntax:
            file["syntax"] = syntax
    body = io.BytesIO(json.dumps({"files": files, **options}).encode())
    given = {"Content-Type": "application/json"}
    async with node.http.post(f"{node.url}/api/v1/pastes", data=body, headers=given) as response:
        assert response.status == 201, await response.text()
        return str((await response.json())["slug"])


def words(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


async def test_short_lines_in_great_numbers_are_shown_without_numbers(node: Node) -> None:
    content = "a=1\n" * 200_000
    slug = (await node.paste(content, name="a.ini"))["slug"]
    page = await show(node, f"/{slug}")
    assert len(page) < paste_page.PAGE_CHARACTERS
    assert "too many lines for this page" in page
    assert 'class="line"' not in page
    assert '<pre class="code mere"' in page
    assert content.strip() in words(page)


async def test_many_files_share_the_room_of_one_page(node: Node) -> None:
    slug = await several(node, *(["a=1\n" * 37_500 + str(number) for number in range(10)]), syntax="text")
    page = await show(node, f"/{slug}")
    assert len(page) < paste_page.PAGE_CHARACTERS + 100_000
    assert 'class="line"' in page, "the first ones have their numbers"
    assert f"/{slug}/raw/10.txt" in page, "and the last one at least its link"


async def test_text_that_grows_too_much_is_shown_by_its_beginning(node: Node) -> None:
    slug = (await node.paste(("\u202e" * 300_000).encode()))["slug"]
    page = await show(node, f"/{slug}")
    assert len(page) < 200_000
    assert "Very long lines are cut here" in page
    assert f"/{slug}/raw?download" in page


async def test_of_many_large_files_the_page_shows_the_first_ones_only(node: Node) -> None:
    slug = await several(node, *(["a line of text\n" * 75_000] * 5), syntax="text")
    page = await show(node, f"/{slug}")
    assert page.count("Lines 1 to 500 of 75,000") == 3
    assert page.count("too large to be shown") == 2


async def test_revealed_text_that_grows_too_much_is_a_download_in_the_page(node: Node) -> None:
    slug = (await node.paste(("\u202e" * 300_000).encode(), burn="true"))["slug"]
    async with node.http.post(f"{node.url}/{slug}/reveal", headers=BROWSER) as response:
        page = await response.text()
    assert "too large to be shown" in page
    assert "data:application/octet-stream;base64," in page
    assert "/manage" not in page, "there is nothing to manage any more"


async def test_a_reader_that_does_not_read_is_left(database_dsn: str) -> None:
    async with directory() as path, started(database_dsn, path, doors__body_idle_seconds=2.0) as node:
        content = "\n" * 80_000
        slug = (await node.paste(content, syntax="text"))["slug"]
        address = urlsplit(node.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
        try:
            writer.write(f"GET /{slug} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(60):
                while (await metric(node, 'in_flight{door="origin"}')) > 0:  # noqa: ASYNC110  (no event tells)
                    await asyncio.sleep(0.1)
        finally:
            writer.close()


async def metric(node: Node, name: str) -> float:
    async with node.http.get(f"{node.internal}/metrics") as response:
        text = await response.text()
    (found,) = re.findall(rf"^\w*{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found)


async def test_a_page_has_one_budget_for_highlighting(database_dsn: str) -> None:
    async with (
        directory() as path,
        started(database_dsn, path, rendering__page_seconds=1.0, rendering__timeout_seconds=1.0) as node,
    ):
        await coloured(node, "x = 1")
        bombs = [BOMB + " " * number for number in range(4)]
        slug = await several(node, *bombs, syntax="gherkin")
        page = await show(node, f"/{slug}")
        assert page.count("so this file is plain text") >= 3
        assert await metric(node, 'renders_total{outcome="highlighted"}') == 1
        await coloured(node, "y = 2")


async def coloured(node: Node, code: str) -> None:
    """Look at it until it has its colours: a process that has to be started may take longer than a page waits."""
    slug = (await node.paste(code, syntax="python"))["slug"]
    async with asyncio.timeout(60):
        while 'class="m"' not in await show(node, f"/{slug}"):
            pass


async def test_a_page_without_all_its_colours_is_not_taken_for_the_final_one(database_dsn: str) -> None:
    async with (
        directory() as path,
        started(database_dsn, path, rendering__page_seconds=0.5, rendering__timeout_seconds=0.5) as node,
    ):
        slug = await several(node, BOMB, BOMB + " ", syntax="gherkin")
        async with node.http.get(f"{node.url}/{slug}", headers=BROWSER) as response:
            assert "ETag" not in response.headers


@pytest.mark.parametrize("name", ["{name}", "{", "a}b", "%7Bname%7D", "a b.txt", ".."])
async def test_files_are_found_by_the_address_they_are_given(node: Node, name: str) -> None:
    files = [{"content": "one", "name": name}, {"content": "two", "name": "other"}]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files}) as response:
        view = await response.json()
    async with node.http.get(view["files"][0]["raw_url"]) as response:
        assert (response.status, await response.text()) == (200, "one")


async def test_an_upload_is_named_as_its_address_says(node: Node) -> None:
    async with node.http.put(f"{node.url}/{quote('{x}')}", data=b"one") as response:
        assert response.status == 201
        slug = (await response.text()).strip().rpartition("/")[2]
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
        assert (await response.json())["files"][0]["name"] == "{x}"


async def test_the_list_of_files_says_what_decided_about_it(node: Node) -> None:
    slug = await several(node, "one", "two")
    async with node.http.get(f"{node.url}/{slug}") as response:
        assert (await response.text()).count(f"/{slug}/raw/") == 2
        assert response.headers["Vary"] == "Accept"


async def test_every_page_names_its_site(node: Node) -> None:
    slug = (await node.paste("hello", burn=True))["slug"]
    for path in ("/", f"/{slug}", f"/{slug}/manage", "/problems/paste-not-found"):
        assert f"curl {node.url}/" in words(await show(node, path))
    form = aiohttp.FormData({"content": ""}, default_to_multipart=True)
    async with node.http.post(node.url + "/", data=form, headers=BROWSER) as response:
        assert response.status == 422
        assert f"curl {node.url}/" in words(await response.text())
