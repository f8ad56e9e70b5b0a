"""Pastes in frames of other sites, and what programs that see a link are told: of what everybody may see only."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urlencode

import pytest

from tests.nodes import Node
from tests.origin.answers import HTML, ask

HOSTILE = '"><script>alert(1)</script>\u2028\u202e'


async def test_a_frame_shows_the_lines_that_are_asked_for(node: Node) -> None:
    slug = (await node.paste("one\n<b>two</b>\nthree\nfour\n", name="a.txt"))["slug"]
    answer = await ask(node, f"/{slug}/embed?lines=2-3&theme=dark")
    text = answer.body.decode()
    assert re.findall(r'data-n="(\d+)"', text) == ["2", "3"]
    assert "&lt;b&gt;two&lt;/b&gt;" in text
    assert re.search('<html lang="en"[^>]* class="dark">', text)
    assert "frame-ancestors *" in answer.headers["Content-Security-Policy"]
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert answer.shared and f"p-{slug}" in answer.keys
    again = await ask(node, f"/{slug}/embed?lines=2-3&theme=dark", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    for query in ("lines=x", "theme=pink", "nonsense=1"):
        assert (await ask(node, f"/{slug}/embed?{query}")).status == 422
    assert (await ask(node, f"/{slug}/embed?name=b.txt")).status == 404


async def test_hostile_names_stay_text(node: Node) -> None:
    slug = (await node.paste(HOSTILE, title=HOSTILE, name=HOSTILE))["slug"]
    frame = (await ask(node, f"/{slug}/embed")).body.decode()
    page = (await ask(node, f"/{slug}", headers=HTML)).body.decode()
    for text in (frame, page):
        assert "<script>alert" not in text
    script = (await ask(node, f"/{slug}/embed.js")).body.decode()
    assert "\u2028" not in script
    told = json.loads(re.search(r"const told = (.*);\n", script)[1])  # type: ignore[index]
    assert told["title"] == HOSTILE
    found = json.loads((await ask(node, "/oembed?" + urlencode({"url": f"{node.url}/{slug}"}))).body)
    assert "<script>" not in found["html"]


async def test_the_script_and_oembed_lead_to_the_frame(node: Node) -> None:
    slug = (await node.paste("x\n" * 10, title="Ten lines"))["slug"]
    script = await ask(node, f"/{slug}/embed.js?lines=1-5")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert script.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    told = json.loads(re.search(rb"const told = (.*);\n", script.body)[1])  # type: ignore[index]
    assert told == {"src": f"{node.url}/{slug}/embed?lines=1-5", "title": "Ten lines", "height": 164}
    page = (await ask(node, f"/{slug}", headers=HTML)).body.decode()
    link = html.unescape(re.search(r'type="application/json\+oembed" href="([^"]*)"', page)[1])  # type: ignore[index]
    found = json.loads((await ask(node, link.removeprefix(node.url))).body)
    assert found["type"] == "rich" and found["version"] == "1.0"
    assert f'src="{node.url}/{slug}/embed"' in found["html"]
    small = json.loads((await ask(node, f"/oembed?url={node.url}/{slug}.py&maxwidth=300&maxheight=100")).body)
    assert (small["width"], small["height"]) == (300, 100)
    for nothing in ("maxwidth=0", "maxheight=-7"):
        assert (await ask(node, f"/oembed?url={node.url}/{slug}&{nothing}")).status == 422
    assert 'property="og:title" content="Ten lines"' in page
    assert 'property="og:description" content="x x x' in page


@pytest.mark.parametrize(
    "url", ["http://elsewhere.example/{}", "{node}/", "{node}/{}/raw", "javascript:{}", "http://[", ""]
)
async def test_oembed_knows_pastes_of_this_site_only(node: Node, url: str) -> None:
    slug = (await node.paste())["slug"]
    asked = url.replace("{node}", node.url).replace("{}", slug)
    assert (await ask(node, "/oembed?" + urlencode({"url": asked}))).status == 404
    assert (await ask(node, "/oembed?" + urlencode({"url": f"{node.url}/{slug}", "format": "xml"}))).status == 501


@pytest.mark.parametrize(
    "options", [{"visibility": "private"}, {"burn": True}, {"password": "x"}, {"encryption": {"v": 2}}]
)
async def test_what_is_not_for_everybody_is_not_shown_elsewhere(node: Node, options: dict[str, object]) -> None:
    created = await node.paste("secret words", title="Secret title", **options)
    slug = created["slug"]
    for path in (f"/{slug}/embed", f"/{slug}/embed.js", f"/oembed?url={node.url}/{slug}"):
        answer = await ask(node, path, headers={"Authorization": f"Bearer {created['token']}"})
        assert answer.status == 404, path
    page = await ask(node, f"/{slug}", headers={**HTML, "Authorization": f"Bearer {created['token']}"})
    assert b"og:" not in page.body and b"oembed" not in page.body
