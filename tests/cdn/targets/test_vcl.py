"""Real Varnish with pastebin.vcl: what is kept, for whom, what is passed, and when something stale is given."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pastebin.cdn.targets import Equipment
from pastebin.cdn.targets.varnish import Varnish as VarnishTarget
from tests.cdn.targets.pair import KEPT, Pair, origin, pair, slug, varnish
from tests.cdn.targets.provider import Provider, Reply, batch, equipment
from tests.varnish import varnish_before

__all__ = ["equipment", "origin", "pair", "slug", "varnish"]


@pytest.mark.parametrize(
    ("is_kept", "headers"),
    [
        (True, {"CDN-Cache-Control": "max-age=60", "Cache-Control": "no-store"}),
        (True, {"CDN-Cache-Control": 'x="a, no-store";y=?0;z, max-age=60 , b=1.5'}),
        (True, {"CDN-Cache-Control": "max-age=1, s-maxage=60"}),
        (False, {"CDN-Cache-Control": "no-store", "Cache-Control": "max-age=60"}),
        (False, {"CDN-Cache-Control": "private, max-age=60", "Cache-Control": "max-age=60"}),
        (False, {"CDN-Cache-Control": "max-age=0", "Cache-Control": "max-age=60"}),
        (False, {"CDN-Cache-Control": "s-maxage=0, max-age=60"}),
        (False, {"CDN-Cache-Control": 'max-age="60"'}),
        (False, {"CDN-Cache-Control": "max-age=-5", "Cache-Control": "max-age=60"}),
        (False, {"CDN-Cache-Control": "must-revalidate", "Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}),
        (True, {"CDN-Cache-Control": "no-store,", "Cache-Control": "max-age=60"}),
        (True, {"CDN-Cache-Control": "No-Store", "Cache-Control": "max-age=60"}),
        (False, {"CDN-Cache-Control": "max-age=60 60", "Cache-Control": "no-store"}),
        (True, {"Cache-Control": "Max-Age=60"}),
        (True, {"Cache-Control": "max-age=0, s-maxage=60"}),
        (False, {"Cache-Control": "s-maxage=0, max-age=60"}),
        (False, {"Cache-Control": "max-age=60, no-cache"}),
        (False, {"Cache-Control": "max-age=60, Private"}),
        (False, {"Cache-Control": "max-age=60", "Age": "100"}),
        (True, {"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}),
        (False, {}),
        (False, {"Cache-Control": "public"}),
        (False, {"Cache-Control": "max-age=60", "Set-Cookie": "a=b"}),
        (False, {"CDN-Cache-Control": "max-age=60", "Set-Cookie": "a=b"}),
        (False, {"CDN-Cache-Control": "max-age=60", "Vary": "Accept, *"}),
    ],
)
async def test_the_origin_says_what_is_kept(is_kept: bool, headers: dict[str, str], pair: Pair, slug: str) -> None:
    pair.origin.usual = Reply(200, b"x", headers)
    first, second = await pair.get(f"/{slug}"), await pair.get(f"/{slug}")
    assert (first.how, first.body, second.body) == ("fwd=miss", b"x", b"x")
    assert (second.how, len(pair.origin.asked)) == (("hit", 1) if is_kept else ("fwd=miss", 2))


@pytest.mark.parametrize("status", [404, 410, 301])
async def test_answers_that_are_no_200_are_kept_as_they_say(status: int, pair: Pair, slug: str) -> None:
    pair.origin.usual = Reply(status, b"gone", {**KEPT, "Location": "/x"})
    for _ in range(2):
        async with pair.http.get(f"{pair.varnish.url}/{slug}", allow_redirects=False) as response:
            assert response.status == status
    assert len(pair.origin.asked) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Pastebin_Consistency": "x"},
        {"Cookie": "a=b; owner=x"},
        {"Cookie": "consistency=x"},
        {"Cookie": "look=theme-dark"},
    ],
)
async def test_what_is_the_origins_to_answer(headers: dict[str, str], pair: Pair, slug: str) -> None:
    """It is neither answered from the cache nor kept for others."""
    pair.origin.usual = Reply(200, b"personal", KEPT)
    assert (await pair.get(f"/{slug}", **headers)).how == "fwd=bypass"
    pair.origin.usual = Reply(200, b"for all", KEPT)
    assert (await pair.get(f"/{slug}")).body == b"for all"
    pair.origin.usual = Reply(200, b"personal", KEPT)
    assert (await pair.get(f"/{slug}", **headers)).body == b"personal"
    name, value = next(iter(headers.items()))
    assert pair.origin.asked[-1].headers[name.replace("_", "-")] == value
    got = await pair.get(f"/{slug}", Cookie="theme=dark")
    assert (got.how, got.body) == ("hit", b"for all")


async def test_a_range_far_into_a_file_is_the_origins_to_answer(pair: Pair, slug: str) -> None:
    pair.origin.usual = Reply(206, b"x", {**KEPT, "Content-Range": "bytes 10000000-10000000/10000001"})
    got = await pair.get(f"/{slug}", Range="bytes=10000000-")
    assert (got.status, got.how, pair.origin.asked[0].headers["Range"]) == (206, "fwd=bypass", "bytes=10000000-")


async def test_an_escaped_slug_is_not_kept(pair: Pair) -> None:
    pair.origin.usual = Reply(200, b"x", KEPT)
    for path in ("/%61bc", "/raw/a%62c", "/api/v1/pastes/%61bc", "/diff/%61bc/def", "/diff/abc/%64ef"):
        assert [(await pair.get(path)).how for _ in range(2)] == ["fwd=bypass"] * 2
    assert [(await pair.get("/abc/raw/a%20b")).how for _ in range(2)] == ["fwd=miss", "hit"]


async def test_what_is_between_us_does_not_reach_clients(pair: Pair, slug: str) -> None:
    hidden = {"Surrogate-Key": f"p-{slug} all", "X-Request-Id": "1", "Pastebin-Consistency": "2", **KEPT}
    pair.origin.usual = Reply(200, b"x", {**hidden, "ETag": '"1"', "Cache-Status": "inner; hit"})
    for _ in range(2):
        got = await pair.get(f"/{slug}")
        assert not {*hidden, "xkey", "pb-swr", "X-Varnish", "Via"} - {"Cache-Control"} & {*got.headers}
        assert got.headers["ETag"] == '"1"'
        assert got.headers["Cache-Control"] == "no-cache"
    assert got.headers["Cache-Status"] == "inner; hit, varnish; hit"


async def test_head_conditions_and_ranges_are_answered_from_what_is_kept(pair: Pair, slug: str) -> None:
    pair.origin.usual = Reply(200, b"0123456789", {**KEPT, "ETag": '"1"'})
    await pair.get(f"/{slug}")
    head = await pair.get(f"/{slug}", "HEAD")
    assert (head.how, head.headers["Content-Length"]) == ("hit", "10")
    assert (await pair.get(f"/{slug}", If_None_Match='"1"')).status == 304
    part = await pair.get(f"/{slug}", Range="bytes=2-4")
    assert (part.status, part.body) == (206, b"234")
    assert len(pair.origin.asked) == 1


async def test_methods_that_nobody_needs(pair: Pair) -> None:
    assert (await pair.get("/x", "BREW")).status == 405
    assert pair.origin.asked == []


class TestStale:
    """RFC 5861: stale while it is fetched again, and instead of an error. A soft purge makes stale."""

    async def kept(self, pair: Pair, slug: str, control: str) -> str:
        path = f"/{slug}/raw"
        pair.origin.replies.append(pair.answers(slug, b"old", **{"CDN-Cache-Control": control}))
        assert (await pair.get(path)).body == b"old"
        await pair.target.purge(batch(f"p-{slug}", soft=True))
        await asyncio.sleep(0.005)  # the precision of what remembers the purge
        return path

    async def test_while_it_is_fetched_again(self, pair: Pair, slug: str) -> None:
        path = await self.kept(pair, slug, "max-age=60, stale-while-revalidate=30")
        pair.origin.replies.append(Reply(500, b"no"))
        got = await pair.get(path)
        assert (got.body, got.how) == (b"old", "hit; detail=stale")
        await pair.origin.heard(2)
        pair.origin.usual = pair.answers(slug, b"new")
        assert (await pair.get(path)).body == b"old", "an error in the background replaces nothing"
        async with asyncio.timeout(60):
            while (got := await pair.get(path)).body != b"new":
                assert (got.status, got.body) == (200, b"old")
        assert len(pair.origin.asked) == 3

    @pytest.mark.parametrize("status", [500, 503])
    async def test_instead_of_an_error(self, status: int, pair: Pair, slug: str) -> None:
        path = await self.kept(pair, slug, "max-age=60, stale-if-error=30")
        pair.origin.usual = Reply(status, b"no", {"Cache-Control": "no-store"})
        got = await pair.get(path)
        assert (got.status, got.body) == (200, b"old")
        pair.origin.usual = pair.answers(slug, b"new")
        assert (await pair.get(path)).body == b"new", "it is asked for every time"

    @pytest.mark.parametrize("control", ["", ", must-revalidate, stale-if-error=30", ", stale-while-revalidate=0"])
    async def test_only_where_it_is_allowed(self, control: str, pair: Pair, slug: str) -> None:
        path = await self.kept(pair, slug, f"max-age=60{control}")
        pair.origin.usual = Reply(500, b"no", {"Cache-Control": "no-store"})
        assert (await pair.get(path)).status == 500

    async def test_a_hard_purge_leaves_nothing_stale(self, pair: Pair, slug: str) -> None:
        path = await self.kept(pair, slug, "max-age=60, stale-while-revalidate=30, stale-if-error=30")
        await pair.target.purge(batch(f"p-{slug}"))
        pair.origin.usual = Reply(500, b"no", {"Cache-Control": "no-store"})
        assert (await pair.get(path)).status == 500


async def test_an_origin_that_is_away(equipment: Equipment) -> None:
    control = {"CDN-Cache-Control": "max-age=60, stale-if-error=30", "Surrogate-Key": "p-abc"}
    async with Provider.opened(Reply(200, b"old", control)) as origin, varnish_before(origin.port) as varnish:
        async with equipment.client.get(f"{varnish.url}/abc") as response:
            assert await response.read() == b"old"
        await origin.close()
        await VarnishTarget(varnish.section(), equipment).purge(batch("p-abc", soft=True))
        async with equipment.client.get(f"{varnish.url}/abc") as response:
            assert (response.status, await response.read()) == (200, b"old")
        async with equipment.client.get(f"{varnish.url}/def") as response:
            assert (response.status, response.headers["Cache-Control"]) == (503, "no-store")
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_large_ones_stream_through_and_are_not_kept(pair: Pair, slug: str) -> None:
    """The first byte does not wait for the last, and the next reader's range goes to the origin."""
    rest = asyncio.Event()
    body = bytes(66 * 1024**2)
    length = {"Content-Length": str(len(body))}
    pair.origin.replies.append(replace(pair.answers(slug, body, **length), rest=rest))
    async with pair.http.get(f"{pair.varnish.url}/{slug}") as response:
        assert await response.content.read(1000)
        rest.set()
        read = 0
        async for chunk in response.content.iter_any():
            read += len(chunk)
        assert read > 60 * 1024**2
    await pair.get(f"/{slug}", Range="bytes=5-9")
    assert pair.origin.asked[1].headers["Range"] == "bytes=5-9"


async def test_what_is_still_arriving_is_given_at_once(pair: Pair, slug: str) -> None:
    rest = asyncio.Event()
    pair.origin.replies.append(replace(pair.answers(slug, b"a" * 100_000), rest=rest))
    async with (
        pair.http.get(f"{pair.varnish.url}/{slug}") as first,
        pair.http.get(f"{pair.varnish.url}/{slug}") as second,
    ):
        assert await first.content.read(10) == await second.content.read(10) == b"a" * 10
        rest.set()
        assert len(await first.read()) == len(await second.read()) == 100_000 - 10
    assert len(pair.origin.asked) == 1
