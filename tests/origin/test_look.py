"""How a reader wants pages to look: a form without a script, one cookie for two addresses, one style sheet."""

from __future__ import annotations

import re

import pytest

from tests.nodes import Node
from tests.origin.answers import GZIP, HTML, ask

SHEET = "/look/style.css"
FORM = {**HTML, "Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}


async def test_pages_name_the_sheet_and_are_the_same_for_everybody(node: Node) -> None:
    slug = (await node.paste())["slug"]
    for path in ("/", f"/{slug}", "/unknown0000", "/look", "/problems/paste-not-found"):
        bodies = [
            (await ask(node, path, headers={**HTML, **given})).body.count(SHEET.encode())
            for given in ({}, {"Cookie": "look=theme-dark"})
        ]
        assert bodies == [1, 1]
    plain, dark = [
        await ask(node, f"/{slug}", headers={**HTML, **given}) for given in ({}, {"Cookie": "look=theme-dark"})
    ]
    assert plain.body == dark.body
    assert plain.shared == dark.shared is not None
    assert plain.headers["Vary"] == dark.headers["Vary"]


async def test_the_sheet_of_who_has_chosen_nothing_is_for_shared_caches(node: Node) -> None:
    answer = await ask(node, SHEET, headers=GZIP)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.shared is not None
    assert answer.shared["max-age"] == 86_400
    assert answer.headers["Vary"] == "Cookie"
    assert answer.keys == {"all"}
    assert (await ask(node, SHEET, headers={"If-None-Match": answer.headers["ETag"]})).status == 304


async def test_the_sheet_of_who_has_chosen_is_for_nobody_else(node: Node) -> None:
    answer = await ask(node, SHEET, headers={"Cookie": "look=theme-dark.wrap-on"})
    assert "color-scheme: dark" in answer.body.decode()
    assert "--wrap: pre-wrap" in answer.body.decode()
    assert (answer.headers["Cache-Control"], answer.shared) == ("private, no-cache", None)
    assert answer.headers["Vary"] == "Cookie"
    etag = answer.headers["ETag"]
    assert (await ask(node, SHEET, headers={"Cookie": "look=theme-dark.wrap-on", "If-None-Match": etag})).status == 304
    assert (await ask(node, SHEET, headers={"Cookie": "look=wrap-on", "If-None-Match": etag})).status == 200


async def test_a_choice_is_kept_and_the_reader_comes_back(node: Node) -> None:
    answer = await ask(node, "/look", "POST", data="theme=dark&tab=8&back=%2Faslug.py", headers=FORM)
    assert (answer.status, answer.headers["Location"]) == (303, "/aslug.py")
    assert answer.is_secret
    (cookie,) = answer.headers.getall("Set-Cookie")
    assert re.match(r'look="?theme-dark\.tab-8"?; ', cookie)
    for word in ("HttpOnly", "Max-Age=31536000", "Path=/look", "SameSite=Lax"):
        assert f"; {word}" in cookie
    more = await ask(node, "/look", "POST", data="wrap=on", headers={**FORM, "Cookie": "look=theme-dark.tab-8"})
    assert more.headers["Location"] == "/look?done"
    assert "look=theme-dark.wrap-on.tab-8;" in more.headers["Set-Cookie"]
    page = await ask(node, "/look?done", headers={**HTML, "Cookie": "look=theme-dark.wrap-on.tab-8"})
    assert page.is_secret
    assert len(re.findall(r"<input[^>]* checked>", page.body.decode())) == 4
    assert 'value="dark" checked' in page.body.decode()


async def test_what_everybody_has_needs_no_cookie(node: Node) -> None:
    answer = await ask(
        node, "/look", "POST", data="theme=system&wrap=off", headers={**FORM, "Cookie": "look=theme-dark.wrap-on"}
    )
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert "Path=/look" in answer.headers["Set-Cookie"]


async def test_a_script_gets_no_page(node: Node) -> None:
    answer = await ask(node, "/look", "POST", data="wrap=on", headers={**FORM, "Accept": "*/*"})
    assert (answer.status, answer.body) == (204, b"")
    assert "look=wrap-on;" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "back",
    ["//evil.example", "/\\evil.example", "https://evil.example", "\\\\evil.example", "/a\tb", "/a b", "/\r\nX: y", ""],
)
async def test_nobody_is_sent_elsewhere(node: Node, back: str) -> None:
    async with node.http.post(
        f"{node.url}/look", data={"theme": "dark", "back": back}, headers=HTML, allow_redirects=False
    ) as response:
        assert (response.status, response.headers["Location"]) == (303, "/look?done")
    async with node.http.get(f"{node.url}/look", params={"back": back}, headers=HTML) as response:
        text = await response.text()
        links = re.findall('(?:href|action|src)="([^"]*)"', text)
        assert all(re.match(r"[/#](?![/\\])", link) for link in links), links
        assert 'name="back"' not in text


async def test_another_site_cannot_change_it(node: Node) -> None:
    for given in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-site"}):
        answer = await ask(node, "/look", "POST", data="theme=dark", headers={**FORM, **given})
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
    assert (await ask(node, "/look?theme=dark", headers=HTML)).headers.get("Set-Cookie") is None


@pytest.mark.parametrize(
    "body", ["theme=pink&wrap=%00&tab=1000&size=", "", "theme", "&&&=", "theme=dark}body{display:none"]
)
async def test_choices_that_are_none(node: Node, body: str) -> None:
    answer = await ask(node, "/look", "POST", data=body, headers=FORM)
    assert answer.status == 303
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    for cookie in ("look=}body{", "look=" + "theme-dark." * 90, "look=%ff", "look"):
        sheet = await ask(node, SHEET, headers={"Cookie": cookie})
        assert sheet.status == 200
        assert b"body" not in sheet.body
    too_much = await ask(node, "/look", "POST", data="x" * 9000, headers=FORM)
    assert too_much.status == 413


async def test_no_paste_takes_its_name(node: Node) -> None:
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"content": "x", "slug": "look"}) as response:
        assert response.status in (409, 422)
