"""What an answer says to one CDN must neither be lost on another nor open what was closed."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pastebin.http import app
from pastebin.http.dialects import translate
from pastebin.http.door import Traffic
from pastebin.metrics import Metrics
from pastebin.sections import Dialect
from tests.http import doors

ALL: tuple[Dialect, ...] = ("fastly", "cloudflare", "cloudfront", "bunny")
PASTE = {
    "Cache-Control": "no-cache",
    "CDN-Cache-Control": "max-age=86400, stale-while-revalidate=60, stale-if-error=3600",
    "Surrogate-Key": "p-abc all",
}


def said(headers: dict[str, str], *dialects: Dialect) -> CIMultiDict[str]:
    found = CIMultiDict(headers)
    translate(found, dialects)
    return found


def test_fastly() -> None:
    assert said(PASTE, "fastly") == {**PASTE, "Surrogate-Control": PASTE["CDN-Cache-Control"]}
    varied = {**PASTE, "Vary": "Accept"}
    assert said(varied, "fastly")["Surrogate-Control"] == PASTE["CDN-Cache-Control"]


def test_cloudflare() -> None:
    assert said(PASTE, "cloudflare") == {**PASTE, "Cache-Tag": "p-abc"}


def test_cloudfront() -> None:
    lifetime = "max-age=0, s-maxage=86400, stale-while-revalidate=60, stale-if-error=3600"
    assert said(PASTE, "cloudfront") == {**PASTE, "Cache-Tag": "p-abc", "Cache-Control": lifetime}


def test_bunny() -> None:
    diff = {**PASTE, "Surrogate-Key": "p-abc p-def all"}
    found = said(diff, "bunny")
    assert found["CDN-Tag"] == "p-abc,p-def"
    assert found["Cache-Control"].startswith("max-age=0, s-maxage=86400")
    assert "Cache-Tag" not in found


def test_what_browsers_may_keep_they_may_still_keep() -> None:
    asset = {"Cache-Control": "public, max-age=31536000, immutable", "CDN-Cache-Control": "max-age=31536000"}
    found = said(asset, "cloudfront")["Cache-Control"]
    assert found == "public, max-age=31536000, immutable, s-maxage=31536000"
    hidden = {"Cache-Control": "public, max-age=60", "CDN-Cache-Control": "no-store"}
    assert said(hidden, "bunny")["Cache-Control"] == "private, max-age=60"


@pytest.mark.parametrize("dialect", ["cloudflare", "cloudfront", "bunny"])
def test_what_they_cannot_tell_apart_is_not_for_them(dialect: Dialect) -> None:
    found = said({**PASTE, "Vary": "Accept-Encoding, Accept"}, dialect)
    assert found["CDN-Cache-Control"] == "no-store"
    assert "s-maxage" not in found["Cache-Control"]
    kept = said({**PASTE, "Vary": "Accept-Encoding"}, dialect)
    assert kept["CDN-Cache-Control"] == PASTE["CDN-Cache-Control"]


@given(
    st.sets(st.sampled_from(ALL)),
    st.sampled_from(["no-store", "private, max-age=60", "max-age=0", "no-cache, max-age=5", "", "x=1"]),
    st.sampled_from(["private, no-store", "no-store", "no-cache", "public, max-age=9"]),
)
def test_nothing_is_opened_that_was_closed(dialects: set[Dialect], shared: str, told: str) -> None:
    found = said({"Cache-Control": told, "CDN-Cache-Control": shared, "Surrogate-Key": "p-abc all"}, *dialects)
    assert "s-maxage" not in found["Cache-Control"]
    assert found["CDN-Cache-Control"] == shared
    assert ("Surrogate-Control" in found) == ("fastly" in dialects)
    assert found.get("Surrogate-Control", "private").startswith("private")
    if {"cloudfront", "bunny"} & dialects:
        assert "private" in found["Cache-Control"] or "no-store" in found["Cache-Control"]


def test_an_answer_that_says_nothing_stays_closed() -> None:
    found = said({}, *ALL)
    assert found["Cache-Control"] == "private, no-cache"
    assert found["Surrogate-Control"].startswith("private")


async def test_at_a_door() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text="x", headers=PASTE)

    application = app.build(
        "origin",
        [web.get("/abc", handler)],
        Traffic(),
        Metrics(),
        doors.page,
        lambda: False,
        doors.LIMITS,
        dialects=["cloudflare"],
    )
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession() as http:
            host, port = runner.addresses[0]
            async with http.get(f"http://{host}:{port}/abc") as response:
                assert response.headers["Cache-Tag"] == "p-abc"
            async with http.get(f"http://{host}:{port}/nothing") as response:
                assert response.status == 404
                assert "Cache-Tag" not in response.headers
    finally:
        await runner.cleanup()
