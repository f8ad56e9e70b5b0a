"""Pages in the language of their reader, told from each other by caches."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.cdn.edges import edge_before
from tests.nodes import Node, plain_client

HTML = {"Accept": "text/html"}


async def ask(node: Node, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
    async with node.http.get(f"{node.url}{path}", headers={**HTML, **headers}) as response:
        return response, await response.text()


def said(**headers: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def test_a_page_is_in_the_language_asked_for(node: Node) -> None:
    for accept, language, way, text in (
        ("de-CH, en;q=0.5", "de", "ltr", "Hier ist nichts"),
        ("he", "he", "rtl", "אין כאן כלום"),
        ("nl", "en", "ltr", "There is nothing here"),
    ):
        response, page = await ask(node, "/unknown0000", **said(Accept_Language=accept))
        assert response.status == 404
        assert f'<html lang="{language}" dir="{way}">' in page
        assert text in page
        assert "Accept-Language" in response.headers["Vary"]


async def test_programs_are_answered_in_english(node: Node) -> None:
    async with node.http.get(f"{node.url}/api/v1/pastes/unknown0000", headers={"Accept-Language": "de"}) as response:
        told = await response.json()
        assert told["title"] == "Paste not found"
        assert "Accept-Language" not in response.headers.get("Vary", "")
    async with node.http.get(f"{node.url}/", headers={"Accept-Language": "de"}) as response:
        assert "Accept-Language" not in response.headers["Vary"]


async def test_each_language_has_a_validator_of_its_own(node: Node) -> None:
    slug = (await node.paste("x\n"))["slug"]
    for path in ("/", f"/{slug}", "/problems/paste-not-found"):
        german, _ = await ask(node, path, **said(Accept_Language="de"))
        french, _ = await ask(node, path, **said(Accept_Language="fr"))
        tag = german.headers["ETag"]
        assert french.headers["ETag"] != tag
        again, _ = await ask(node, path, **said(Accept_Language="de-AT", If_None_Match=tag))
        assert (again.status, again.headers["Vary"]) == (304, german.headers["Vary"])
        other, _ = await ask(node, path, **said(Accept_Language="fr", If_None_Match=tag))
        assert other.status == 200


async def test_a_choice_that_no_cache_sees_is_for_nobody_else(node: Node) -> None:
    slug = (await node.paste("x\n"))["slug"]
    for path in ("/", f"/{slug}", "/problems/paste-not-found", "/keys"):
        response, page = await ask(node, path, **said(Accept_Language="fr", Cookie="a=b; language=ja"))
        assert '<html lang="ja"' in page
        assert response.headers.get("CDN-Cache-Control") == "no-store"
        assert "private" in response.headers["Cache-Control"]
        told, page = await ask(node, path, **said(Cookie="language=ja", Pastebin_Language="es"))
        assert '<html lang="es"' in page
        assert "max-age=" in told.headers["CDN-Cache-Control"]
        assert "Pastebin-Language" in told.headers["Vary"]


@pytest.mark.parametrize(
    "cookie", ["language=xx", "language=", "language=DE", "nolanguage=de", 'language="de', "a;b=c"]
)
async def test_what_is_no_choice_is_ignored(node: Node, cookie: str) -> None:
    response, page = await ask(node, "/", **said(Accept_Language="it", Cookie=cookie))
    assert '<html lang="it"' in page
    assert "max-age=" in response.headers["CDN-Cache-Control"]


async def test_a_language_is_chosen_by_a_form(node: Node) -> None:
    response, page = await ask(node, "/language?back=/a%3Fb", **said(Accept_Language="ru"))
    assert 'name="back" value="/a?b"' in page
    assert response.headers["Cache-Control"] == "private, no-store"
    chosen = await choose(node, {"language": "ko", "back": "/a?b"})
    assert (chosen.status, chosen.headers["Location"]) == (303, "/a?b")
    cookie = chosen.headers["Set-Cookie"]
    assert cookie.startswith("language=ko; ")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    forgotten = await choose(node, {"language": ""})
    assert (forgotten.headers["Location"], "Max-Age=0" in forgotten.headers["Set-Cookie"]) == ("/", True)


@pytest.mark.parametrize(
    "back", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nX: y", "evil", "", "/é", "/ a"]
)
async def test_a_choice_leads_nowhere_else(node: Node, back: str) -> None:
    assert (await choose(node, {"language": "de", "back": back})).headers["Location"] == "/"


async def test_no_other_site_chooses(node: Node) -> None:
    refused = await choose(node, {"language": "de"}, Origin="https://evil.example")
    assert (refused.status, "Set-Cookie" in refused.headers) == (403, False)


async def choose(node: Node, fields: dict[str, str], **headers: str) -> aiohttp.ClientResponse:
    async with node.http.post(
        f"{node.url}/language", data=fields, headers={**HTML, **headers}, allow_redirects=False
    ) as response:
        return response


async def test_an_edge_keeps_one_copy_for_a_language(node: Node) -> None:
    """However it is asked for: by a preference, by one of a region, or by the cookie."""
    slug = (await node.paste("x\n"))["slug"]
    async with edge_before(node.url) as edge, plain_client() as http:

        async def asked(**headers: Any) -> tuple[str, str, str]:
            async with http.get(f"{edge.url}/{slug}", headers={**HTML, **headers}) as response:
                page = await response.text()
                language = page.partition('<html lang="')[2][:2]
                status = response.headers["Cache-Status"].partition("; ")[2].partition(";")[0]
                return language, status, response.headers["Vary"]

        vary = "Accept, Accept-Encoding, Accept-Language"
        assert await asked(**said(Accept_Language="de-AT,de;q=0.9,en;q=0.8")) == ("de", "fwd=uri-miss", vary)
        for headers in (
            said(Accept_Language="de"),
            said(Accept_Language="nl, de-CH;q=0.2"),
            said(Accept_Language="fr", Cookie="language=de"),
            said(Cookie="language=de", Pastebin_Language="ja"),
        ):
            assert (await asked(**headers))[:2] == ("de", "hit")
        assert await asked(**said(Accept_Language="fr, de;q=0.3")) == ("fr", "fwd=vary-miss", vary)
        assert (await asked(**said(Accept_Language="fr")))[:2] == ("fr", "hit")
        assert (await asked())[:2] == ("en", "fwd=vary-miss")
        assert (await asked(**said(Accept_Language="sv")))[:2] == ("en", "hit")
