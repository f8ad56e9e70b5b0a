"""Large texts: their first lines on the page of the paste, the others on pages of their own, and searches in them."""

from __future__ import annotations

import io
import json
import re
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.nodes import Node
from tests.origin.answers import HTML, ask

LOG = b"".join(b"line %d of <b>a log</b>\n" % number for number in range(1, 80_001))


@pytest.fixture(scope="module")
async def log(node: Node) -> dict[str, Any]:
    return await node.paste(LOG, name="build.log")


def numbers(body: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb'data-n="(\d+)"', body)]


def links(body: bytes) -> dict[str, str]:
    return {text.decode(): url.decode() for url, text in re.findall(rb'<a[^>]* href="([^"]+)"[^>]*>(\w+)</a>', body)}


async def test_an_upload_is_indexed_on_its_way(node: Node, log: dict[str, Any]) -> None:
    ((size, blocks),) = await node.sql(
        """select i.size, length(counts) / 8 from line_indexes i join files f using (blob_key)
           join pastes p on p.id = f.paste_id where p.slug = $1""",
        log["slug"],
    )
    assert (size, blocks) == (len(LOG), -(-len(LOG) // 65_536))


async def test_small_and_binary_uploads_are_not(node: Node) -> None:
    made = [await node.paste(content) for content in (b"x\n" * 40_000, b"\0\n" * 1_000_000)]
    indexes = """select from line_indexes i join files f using (blob_key) join pastes p on p.id = f.paste_id
                 where p.slug = any($1)"""
    assert await node.sql(indexes, [one["slug"] for one in made]) == []


async def test_the_page_shows_the_first_lines(node: Node, log: dict[str, Any]) -> None:
    answer = await ask(node, f"/{log['slug']}", headers=HTML)
    assert answer.status == 200
    assert numbers(answer.body) == list(range(1, 501))
    assert b"line 500 of &lt;b&gt;a log&lt;/b&gt;" in answer.body
    assert b"Lines 1 to 500 of 80,000" in answer.body
    assert answer.shared is not None
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert links(answer.body)["Next"] == f"/{log['slug']}/lines?line=501"


async def test_links_lead_through_all_of_it(node: Node, log: dict[str, Any]) -> None:
    path, seen = f"/{log['slug']}/lines?line=79001", []
    for _ in range(2):
        answer = await ask(node, path)
        seen += numbers(answer.body)
        path = links(answer.body).get("Next", "")
    assert (seen, path) == (list(range(79_001, 80_001)), "")
    last = await ask(node, f"/{log['slug']}/lines?line=end")
    assert numbers(last.body) == list(range(79_501, 80_001))
    assert links(last.body)["First"] == f"/{log['slug']}/lines"
    assert links(last.body)["Previous"] == f"/{log['slug']}/lines?line=79001"
    assert b'id="L80000"' in last.body


async def test_a_window_is_kept_by_caches_and_has_a_validator(node: Node, log: dict[str, Any]) -> None:
    path = f"/{log['slug']}/lines?line=40000"
    answer = await ask(node, path)
    assert answer.shared is not None
    assert answer.keys == {f"p-{log['slug']}", "all"}
    again = await ask(node, path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    other = await ask(node, f"/{log['slug']}/lines?line=40001", headers={"If-None-Match": answer.headers["ETag"]})
    assert other.status == 200


@pytest.mark.parametrize("query", ["line=x", "line=-3", "line=1e3", "file=2", "file=0", "line=" + "9" * 30])
async def test_what_makes_no_sense_is_refused(node: Node, log: dict[str, Any], query: str) -> None:
    assert (await ask(node, f"/{log['slug']}/lines?{query}")).status == 422


async def test_a_line_behind_the_text_is_at_its_end(node: Node, log: dict[str, Any]) -> None:
    answer = await ask(node, f"/{log['slug']}/lines?line=999999999")
    assert numbers(answer.body)[-1] == 80_000


async def test_pages_of_other_pastes(node: Node) -> None:
    assert (await ask(node, "/unknown0000/lines")).status == 404
    binary = await node.paste(b"\0\xff" * 10)
    assert (await ask(node, f"/{binary['slug']}/lines")).status == 422
    small = await node.paste("one\ntwo")
    assert numbers((await ask(node, f"/{small['slug']}/lines")).body) == [1, 2]
    burn = await node.paste("x", burn=True)
    answer = await ask(node, f"/{burn['slug']}/lines")
    assert (answer.status, answer.headers["Location"]) == (303, f"/{burn['slug']}")
    assert answer.is_secret


async def test_a_private_text_is_for_its_owner(node: Node) -> None:
    private = await node.paste(LOG, visibility="private")
    for path in (f"/{private['slug']}/lines?line=70", f"/api/v1/pastes/{private['slug']}/search?q=70"):
        assert (await ask(node, path)).status == 404
        answer = await ask(node, path, headers={"Authorization": f"Bearer {private['token']}"})
        assert answer.status == 200
        assert answer.is_secret


async def test_files_of_one_paste(node: Node) -> None:
    files = [{"name": "a.txt", "content": "a\n" * 1_000_000}, {"name": "b.txt", "content": "b\n" * 700_000}]
    form = aiohttp.FormData()
    for file in files:
        form.add_field("file", io.BytesIO(file["content"].encode()), filename=file["name"])
    async with node.http.post(f"{node.url}/api/v1/pastes", data=form) as response:
        slug = (await response.json())["slug"]
    page = await ask(node, f"/{slug}", headers=HTML)
    assert b'id="f1-L500"' in page.body
    assert b'id="f2-L500"' in page.body
    answer = await ask(node, f"/{slug}/lines?file=2&line=699999")
    assert re.findall(rb'id="(f2-L\d+)"', answer.body) == [b"f2-L699999", b"f2-L700000"]


async def test_a_revision_shows_its_own_lines(node: Node) -> None:
    created = await node.paste(LOG)
    await ask(node, f"/{created['slug']}/lines?line=end")
    async with node.http.patch(
        f"{node.url}/api/v1/pastes/{created['slug']}",
        data=io.BytesIO(LOG[: len(LOG) // 2]),
        headers={"Authorization": f"Bearer {created['token']}"},
    ) as response:
        assert response.status == 200, await response.text()
    answer = await ask(node, f"/{created['slug']}/lines?line=end")
    assert numbers(answer.body)[-1] == LOG[: len(LOG) // 2].count(b"\n") + 1


async def search(node: Node, slug: str, **query: Any) -> tuple[int, Any]:
    parameters = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()}
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug}/search", params=parameters) as response:
        assert response.headers["CDN-Cache-Control"] == "no-store"
        return response.status, await response.json()


async def test_searching_by_the_api(node: Node, log: dict[str, Any]) -> None:
    status, answer = await search(node, log["slug"], q="line 7777 ")
    text = "line 7777 of <b>a log</b>"
    match = {"file": 1, "line": 7777, "name": "build.log", "text": text, "start": 0, "end": 10}
    assert (status, answer) == (200, {"matches": [match], "next": None})
    status, answer = await search(node, log["slug"], q="^LINE [0-9]*000 ", regex=True, ignore_case=True, limit=3)
    assert [match["line"] for match in answer["matches"]] == [1000, 2000, 3000]
    assert answer["next"] == {"file": 1, "line": 3001}
    _, answer = await search(node, log["slug"], q="000 ", line=79_500)
    assert [match["line"] for match in answer["matches"]] == [80_000]


async def test_searching_small_files_and_several(node: Node) -> None:
    files = [
        {"name": "a.txt", "content": "needle\nx\n"},
        {"name": "b.bin", "content": "AP9uZWVkbGU=", "encoding": "base64"},
        {"name": "c.txt", "content": "x\r\nthe needle, ünd mehr\r\n"},
    ]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files}) as response:
        slug = (await response.json())["slug"]
    _, answer = await search(node, slug, q="needle")
    places = [(match["file"], match["line"], match["text"]) for match in answer["matches"]]
    assert places == [(1, 1, "needle"), (3, 2, "the needle, ünd mehr")]
    _, answer = await search(node, slug, q="needle", limit=1)
    assert answer["next"] == {"file": 1, "line": 2}
    _, answer = await search(node, slug, q="needle", **answer["next"])
    assert [(match["file"], match["line"]) for match in answer["matches"]] == [(3, 2)]
    _, answer = await search(node, slug, q="needle", file=2, line=99)
    assert [match["file"] for match in answer["matches"]] == [3]
    assert (await search(node, slug, q="needle", file=9))[1] == {"matches": [], "next": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"q": ""}, "q"),
        ({}, "q"),
        ({"q": "(", "regex": True}, "q"),
        ({"q": "x", "limit": 0}, "limit"),
        ({"q": "x", "y": 1}, "y"),
    ],
)
async def test_searches_that_are_refused(node: Node, log: dict[str, Any], query: dict[str, Any], field: str) -> None:
    status, answer = await search(node, log["slug"], **query)
    assert (status, answer["errors"][0]["field"]) == (422, field)


async def test_protected_pastes_are_not_searched(node: Node) -> None:
    burn = await node.paste("needle\n", burn=True)
    status, answer = await search(node, burn["slug"], q="needle")
    assert (status, answer["type"]) == (403, "/problems/reveal-required")


async def test_searching_on_the_page(node: Node, log: dict[str, Any]) -> None:
    answer = await ask(node, f"/{log['slug']}/lines?q={quote('<b>a')}&line=79900")
    assert answer.is_secret
    found = re.findall(rb'<a href="([^"]+)"><span[^>]*>[^<]*</span>79,900</a>', answer.body)
    assert found == [f"/{log['slug']}/lines?line=79890#L79900".encode()]
    assert answer.body.count(b"<mark>&lt;b&gt;a</mark>") == 100
    (more,) = re.findall(rb'href="([^"]+)">Search on<', answer.body)
    rest = await ask(node, more.decode().replace("&amp;", "&"))
    assert rest.body.count(b"<mark>") == 1
    assert b"No line matches" in (await ask(node, f"/{log['slug']}/lines?q=nothing+like+it")).body
    wrong = await ask(node, f"/{log['slug']}/lines?q=(&regex=true")
    assert (wrong.status, b'aria-invalid="true"' in wrong.body) == (422, True)


async def test_hostile_text_stays_text(node: Node) -> None:
    hostile = b"<script>alert(1)</script>\x1b[31m\x00ok\xe2\x80\xae" * 20 + b"\n"
    created = await node.paste(b"text\n" + hostile.replace(b"\0", b"") * 3000, name="<img src=x onerror=alert(1)>")
    for path in ("", "/lines?line=end", "/lines?q=script", "/lines?q=%3Cscript%3E"):
        answer = await ask(node, f"/{created['slug']}{path}", headers=HTML)
        assert answer.status == 200
        assert b"<script>alert" not in answer.body
        assert b"<img src=x" not in answer.body
        assert b"\x1b" not in answer.body
        assert b"\xe2\x80\xae" not in answer.body
    _, found = await search(node, created["slug"], q="script")
    assert json.dumps(found)


@pytest.mark.parametrize("syntax", ["python", "html", "yaml", "diff"])
async def test_only_what_is_shown_is_highlighted(node: Node, syntax: str) -> None:
    lines = ["", "\t", "def f(x): '''", "<b class='x'>", "key: - value # 1", "+ '''", "\r", " ", ""]
    content = "\n".join(lines * 40_000).encode() + b"\n\n\n"
    slug = (await node.paste(content, syntax=syntax))["slug"]
    for line in (1, 4, 77_777, 359_000):
        answer = await ask(node, f"/{slug}/lines?line={line}")
        assert numbers(answer.body) == list(range(line, min(line + 500, content.count(b"\n") + 1)))
        assert re.search(rb'<span class="[a-z]+">', answer.body.partition(b"<pre")[2])


async def test_colours_of_a_terminal_are_shown_in_a_window(node: Node) -> None:
    content = b"plain\n" * 200_000 + b"\x1b[31mred <b>\x1b[0m\n" * 1000
    slug = (await node.paste(content, name="build.log"))["slug"]
    first = await ask(node, f"/{slug}", headers=HTML)
    assert b" screen" not in first.body
    last = await ask(node, f"/{slug}/lines?line=end", headers=HTML)
    assert b'<span class="f1">red &lt;b&gt;</span>' in last.body
    assert re.search(rb'<pre [^>]*class="code d6 screen"', last.body)
    assert re.search(rb'<link rel="stylesheet" href="/static/terminal\.[^"]+" data-screen>', last.body)
    plain = await ask(node, f"/{slug}/lines?line=end&syntax=text", headers=HTML)
    assert "\u241b[31mred &lt;b&gt;".encode() in plain.body
    assert b" screen" not in plain.body


async def test_a_window_is_read_as_the_syntax_that_was_asked_for(node: Node) -> None:
    slug = (await node.paste(b"x = 1\n" * 200_000, name="a.txt"))["slug"]
    answer = await ask(node, f"/{slug}.py", headers=HTML)
    assert b'x = <span class="m">1</span>' in answer.body
    ways = links(answer.body)
    assert ways["Next"] == f"/{slug}/lines?line=501&amp;syntax=python"
    assert answer.body.count(b'<input type="hidden" name="syntax" value="python">') == 2
    following = await ask(node, ways["Next"].replace("&amp;", "&"), headers=HTML)
    assert b'x = <span class="m">1</span>' in following.body
    assert b"<span>Python</span>" in following.body
    found = await ask(node, f"/{slug}/lines?q=x&syntax=python", headers=HTML)
    assert f'href="/{slug}/lines?syntax=python#L1"'.encode() in found.body
    usual = await ask(node, f"/{slug}/lines?syntax=no-such-one", headers=HTML)
    assert b'<span class="m">' not in usual.body
