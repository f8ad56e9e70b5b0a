"""Real Varnish with pastebin.vcl: who purges, what a purge finds, and that nothing older comes back after it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from yarl import URL

from pastebin.cdn.targets import Equipment
from pastebin.cdn.targets.varnish import Varnish as VarnishTarget
from pastebin.http.consistency import MIN_LSN_HEADER, Tokens
from tests.cdn.targets.pair import KEPT, Pair, origin, pair, slug, varnish
from tests.cdn.targets.provider import POSITION, SECRET, Provider, Reply, batch, equipment
from tests.varnish import SECRET as PURGE_SECRET
from tests.varnish import varnish_before

__all__ = ["equipment", "origin", "pair", "slug", "varnish"]


@pytest.mark.parametrize("secret", [None, "", "wrong", PURGE_SECRET + "x"])
async def test_only_who_knows_the_secret_purges(secret: str | None, pair: Pair, slug: str) -> None:
    pair.origin.usual = pair.answers(slug, b"x")
    await pair.get(f"/{slug}")
    headers = {} if secret is None else {"Pastebin-Purge-Secret": secret}
    for extra in ({}, {"xkey-purge": f"p-{slug}"}, {"pastebin-flush": "1"}, {"pb-secret": secret or ""}):
        got = await pair.get(f"/{slug}", "PURGE", **headers, **extra)
        assert got.status == 403
        assert "Pastebin-Purged" not in got.headers
    assert (await pair.get(f"/{slug}")).how == "hit"


async def test_only_who_may_purges(origin: Provider, equipment: Equipment) -> None:
    async with varnish_before(origin.port, purgers="192.0.2.1") as varnish:
        said = await VarnishTarget(varnish.section(), equipment).check()
    assert said == "refuses the credentials (HTTP 403)"


async def test_health(pair: Pair) -> None:
    assert await pair.target.check() is None
    assert pair.origin.asked == []


async def test_a_purge_by_key_finds_everything_of_a_paste_and_nothing_else(pair: Pair, slug: str) -> None:
    paths = [f"/{slug}", f"/{slug}/raw", f"/{slug}/raw?lines=1-2", f"/raw/{slug}", f"/api/v1/pastes/{slug}"]
    pair.origin.usual = pair.answers(slug, b"old")
    for path in paths:
        await pair.get(path)
    pair.origin.usual = Reply(200, b"other", {**KEPT, "Surrogate-Key": f"p-{slug}s all"})
    await pair.get(f"/{slug}s")
    pair.origin.usual = pair.answers(slug, b"new")
    await pair.target.purge(batch("p-unknown", f"p-{slug}"))
    for _ in range(2):  # what is asked for within the millisecond of the purge is not kept
        assert [(await pair.get(path)).body for path in paths] == [b"new"] * len(paths)
    assert [(await pair.get(path)).how for path in paths] == ["hit"] * len(paths)
    assert (await pair.get(f"/{slug}s")).how == "hit"


async def test_as_many_keys_as_a_call_takes(pair: Pair, slug: str) -> None:
    keys = [f"p-{slug}-{number:050}x" for number in range(pair.target.limits.keys_per_call)]
    pair.origin.usual = Reply(200, b"x", {**KEPT, "Surrogate-Key": keys[-1]})
    await pair.get(f"/{slug}")
    await pair.target.purge(batch(*keys))
    assert (await pair.get(f"/{slug}")).how == "fwd=miss"


async def test_too_much_for_one_field_goes_in_parts(pair: Pair, slug: str) -> None:
    """Keys may be longer than ours are."""
    keys = [f"p-{slug}-{number:0200}" for number in range(80)]
    for key in (keys[0], keys[-1]):
        pair.origin.usual = Reply(200, b"x", {**KEPT, "Surrogate-Key": key})
        await pair.get(f"/{key[-4:]}{slug}")
    await pair.target.purge(batch(*keys))
    assert [(await pair.get(f"/{key[-4:]}{slug}")).how for key in (keys[0], keys[-1])] == ["fwd=miss"] * 2


async def test_a_purge_of_an_address(pair: Pair, slug: str) -> None:
    """In all its variants; the same path of another host is another address."""
    pair.origin.usual = Reply(200, b"old", {**KEPT, "Vary": "Accept"})
    seen = [{"Accept": "text/html"}, {"Accept": "*/*"}, {"Accept": "*/*", "Host": "other.example"}]
    for headers in seen:
        await pair.get(f"/{slug}?a=b", **headers)
    await pair.target.purge_urls([f"{pair.varnish.url}/{slug}?a=b"])
    assert [(await pair.get(f"/{slug}?a=b", **headers)).how for headers in seen] == ["fwd=miss", "fwd=miss", "hit"]


async def test_a_flush(pair: Pair, slug: str) -> None:
    pair.origin.usual = Reply(200, b"old", KEPT)
    await pair.get(f"/{slug}")
    pair.origin.usual = Reply(200, b"new", KEPT)
    await pair.target.purge(batch(flush=True))
    assert await pair.bodies(f"/{slug}") == {b"new"}
    assert (await pair.get(f"/{slug}")).how == "hit"


async def test_a_push(pair: Pair, slug: str) -> None:
    pair.origin.usual = pair.answers(slug, b"x")
    await pair.target.push([f"{pair.varnish.url}/{slug}/raw?a=b"])
    assert (await pair.get(f"/{slug}/raw?a=b")).how == "hit"


async def test_a_change_through_varnish_is_followed_by_nothing_older(pair: Pair, slug: str) -> None:
    pair.origin.usual = pair.answers(slug, b"old")
    await pair.get(f"/{slug}/raw")
    pair.origin.replies.append(Reply(412))
    assert (await pair.get(f"/api/v1/pastes/{slug}", "PATCH")).status == 412
    assert (await pair.get(f"/{slug}/raw")).how == "hit"
    pair.origin.usual = pair.answers(slug, b"new")
    assert (await pair.get(f"/api/v1/pastes/{slug}", "PATCH")).how == "fwd=bypass"
    assert (await pair.get(f"/{slug}/raw")).body == b"new"


async def test_what_replaces_it_is_not_older_than_the_change(origin: Provider, equipment: Equipment) -> None:
    """The fetches after a purge carry its position; a client's own never gets through."""
    origin.reset(Reply())
    async with varnish_before(origin.port) as varnish:
        target, url = VarnishTarget(varnish.section(), equipment), URL(varnish.url)

        async def token_for(path: str, method: str = "GET") -> str | None:
            async with equipment.client.request(method, url / path, headers={MIN_LSN_HEADER: "forged"}):
                return origin.asked[-1].headers.get(MIN_LSN_HEADER)

        assert [await token_for("abc"), await token_for("abc", "POST")] == [None, None]
        await target.purge(batch("p-abc"))
        for path in ("abc", "raw/abc", "abc.py", "abc/raw/x", "diff/abc/xyz", "diff/xyz/abc", "api/v1/pastes/abc"):
            token = await token_for(path)
            assert token is not None, path
            assert Tokens(SECRET, 60).unseal(token, now=0, purpose="min-lsn") == POSITION
        assert await token_for("abd") is None
        newer = replace(POSITION, lsn=POSITION.lsn + 1)
        await target.purge(replace(batch("p-xbc"), position=newer))
        await target.purge(batch("p-abc"))  # once more, when keys with the same last letter have changed since
        token = await token_for("abc")
        assert token is not None
        assert Tokens(SECRET, 60).unseal(token, now=0, purpose="min-lsn") == newer
        await target.purge(batch(flush=True))
        assert await token_for("abe") is not None


class TestRace:
    """A fetch that began before a purge is for those who wait for it, and for nobody after."""

    @pytest.mark.parametrize("how", ["key", "soft", "address", "flush"])
    async def test_before_the_head(self, how: str, pair: Pair, slug: str) -> None:
        path, head = f"/{slug}/raw", asyncio.Event()
        pair.origin.replies.append(replace(pair.answers(slug, b"old"), head=head))
        pair.origin.usual = pair.answers(slug, b"new")
        before = asyncio.create_task(pair.get(path))
        await pair.origin.heard(1)
        match how:
            case "address":
                await pair.target.purge_urls([pair.varnish.url + path])
            case "flush":
                await pair.target.purge(batch(flush=True))
            case _:
                await pair.target.purge(batch(f"p-{slug}", soft=how == "soft"))
        after = asyncio.create_task(pair.get(path))
        await asyncio.sleep(0.1)  # so that it waits for the fetch too; nothing tells when it does
        head.set()
        assert (await before).body == b"old"
        assert (await after).body == b"new"
        assert await pair.bodies(path, 100) == {b"new"}
        assert (await pair.get(path)).how in ("hit", "fwd=miss")

    async def test_in_mid_body(self, pair: Pair, slug: str) -> None:
        path, rest = f"/{slug}/raw", asyncio.Event()
        pair.origin.replies.append(replace(pair.answers(slug, b"old" * 1000), rest=rest))
        pair.origin.usual = pair.answers(slug, b"new")
        async with pair.http.get(pair.varnish.url + path) as before:
            await before.content.readany()
            await pair.target.purge(batch(f"p-{slug}"))
            assert await pair.bodies(path, 100) == {b"new"}
            rest.set()
            await before.read()
        assert await pair.bodies(path, 100) == {b"new"}

    async def test_a_304_does_not_bring_back_what_was_purged(self, pair: Pair, slug: str) -> None:
        path, head = f"/{slug}/raw", asyncio.Event()
        pair.origin.replies.append(pair.answers(slug, b"old", ETag='"1"'))
        assert (await pair.get(path)).body == b"old"
        await pair.target.purge(batch(f"p-{slug}", soft=True))
        pair.origin.replies.append(replace(pair.answers(slug, b"", ETag='"1"'), status=304, head=head))
        pair.origin.usual = pair.answers(slug, b"new", ETag='"2"')
        before = asyncio.create_task(pair.get(path))
        await pair.origin.heard(2)
        assert pair.origin.asked[1].headers["If-None-Match"] == '"1"'
        await pair.target.purge(batch(f"p-{slug}"))
        head.set()
        assert (await before).body == b"old"
        assert await pair.bodies(path, 100) == {b"new"}

    async def test_a_304_refreshes_what_was_not(self, pair: Pair, slug: str) -> None:
        path = f"/{slug}/raw"
        pair.origin.replies.append(pair.answers(slug, b"body", ETag='"1"'))
        await pair.get(path)
        await pair.target.purge(batch(f"p-{slug}", soft=True))
        await asyncio.sleep(0.005)  # the precision of what remembers the purge
        pair.origin.replies.append(replace(pair.answers(slug, b"", ETag='"1"'), status=304))
        assert [(await pair.get(path)).body for _ in range(3)] == [b"body"] * 3
        assert len(pair.origin.asked) == 2

    async def test_one_fetch_for_many_who_wait(self, pair: Pair, slug: str) -> None:
        path, head = f"/{slug}/raw", asyncio.Event()
        pair.origin.usual = replace(pair.answers(slug, b"x"), head=head)
        readers = [asyncio.create_task(pair.get(path)) for _ in range(15)]
        await pair.origin.heard(1)
        head.set()
        assert {(await reader).body for reader in readers} == {b"x"}
        assert len(pair.origin.asked) == 1


async def test_no_key_of_what_is_gone_is_remembered(pair: Pair, slug: str) -> None:
    """What xkey knows does not grow with what was purged."""
    counted: dict[str, Any] = await pair.varnish.counters()
    keys = next(name for name in counted if name.endswith("g_keys"))
    for number in range(20):
        pair.origin.usual = Reply(200, b"x", {**KEPT, "Surrogate-Key": f"p-{slug}{number}"})
        await pair.get(f"/{slug}{number}")
    await pair.target.purge(batch(*(f"p-{slug}{number}" for number in range(20))))
    async with asyncio.timeout(60):
        while (await pair.varnish.counters())[keys] > counted[keys]:
            pass  # they expire a moment later
