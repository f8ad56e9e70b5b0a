"""RFC 9213 and RFC 5861 and RFC 9211 clause by clause: CDN-Cache-Control, stale answers, Cache-Status."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import http_sf
import pytest

from tests.cdn.clauses import Client, Seen, Turn, clause, hit, miss, play, unchanged
from tests.cdn.origins import Origin, answer

FRESH = {"Cache-Control": "max-age=600"}
STALE = {"Cache-Control": "max-age=10", "Age": "60", "ETag": '"a"'}


def targeted(value: str, control: str = "no-store", **more: str) -> dict[str, str]:
    return {"CDN-Cache-Control": value, "Cache-Control": control, **more}


def kept(gives: dict[str, str]) -> list[Turn]:
    return [miss(gives), hit()]


def not_kept(gives: dict[str, str]) -> list[Turn]:
    return [miss(gives), miss(gives)]


TARGETED = [
    clause("9213 2.2", "before Cache-Control", *kept(targeted("max-age=600"))),
    clause("9213 2.2", "also where it is stricter", *not_kept(targeted("max-age=0", "max-age=600"))),
    clause("9213 2.2", "before Expires", *kept(targeted("max-age=600", "public", Expires="{-600}"))),
    clause("9213 2.2", "no-store", *not_kept(targeted("no-store", "max-age=600", Expires="{+600}"))),
    clause("9213 2.2", "private", *not_kept(targeted("private", "max-age=600"))),
    clause("9213 2.2", "no-cache", miss(targeted("no-cache", "max-age=600", ETag='"a"')), unchanged()),
    clause(
        "9213 2.2", "nothing about freshness is nothing", *not_kept(targeted("none", "max-age=600", Expires="{+600}"))
    ),
    clause("9213 2.1", "empty is absent", *kept(targeted("", "max-age=600"))),
    clause("9213 2.1", "no dictionary is absent", *not_kept(targeted("max-age=600, &&&&"))),
    clause("9213 2.1", "upper case is no dictionary", *kept(targeted("No-Store", "max-age=600"))),
    clause("9213 2.1", "a wrong type is no directive", *not_kept(targeted('max-age="600"'))),
    clause("9213 2.1", "nor is a fraction", *not_kept(targeted("max-age=600.0"))),
    clause("9213 2.1", "parameters mean nothing", *kept(targeted("max-age=600;no-store"))),
    clause("9213 2.2", "extensions mean nothing", *kept(targeted("foo, max-age=600"))),
    clause(
        "9213 2.2",
        "other targets are passed on",
        miss({**FRESH, "X-Cache-Control": "no-store"}),
        hit(shows={"X-Cache-Control": "no-store"}),
    ),
    clause(
        "9213 3",
        "it is passed on to the next CDN",
        miss(targeted("max-age=600"), shows={"CDN-Cache-Control": "max-age=600", "Cache-Control": "no-store"}),
        hit(shows={"CDN-Cache-Control": "max-age=600"}),
    ),
    clause("9213 2.2", "Age counts", miss(targeted("max-age=600", Age="700", ETag='"a"')), unchanged()),
]

WISHES = [
    clause(
        "9111 5.2.1.1",
        "max-age",
        miss({**FRESH, "Age": "30", "ETag": '"a"'}),
        unchanged(headers={"Cache-Control": "max-age=20"}),
    ),
    clause(
        "9111 5.2.1.1",
        "max-age=0 asks again",
        miss({**FRESH, "Age": "1", "ETag": '"a"'}),
        unchanged(headers={"Cache-Control": "max-age=0"}),
    ),
    clause(
        "9111 5.2.1.1",
        "old enough for that",
        miss({**FRESH, "Age": "30"}),
        hit(headers={"Cache-Control": "max-age=60"}),
    ),
    clause("9111 5.2.1.2", "max-stale", miss(STALE), Turn(headers={"Cache-Control": "max-stale=600"}, may_ask=True)),
    clause("9111 5.2.1.2", "not stale enough", miss(STALE), unchanged(headers={"Cache-Control": "max-stale=20"})),
    clause(
        "9111 5.2.1.3",
        "min-fresh",
        miss({**FRESH, "ETag": '"a"'}),
        unchanged(headers={"Cache-Control": "min-fresh=700"}),
    ),
    clause(
        "9111 5.2.1.4",
        "no-cache asks again",
        miss({**FRESH, "ETag": '"a"'}),
        unchanged(headers={"Cache-Control": "no-cache"}, sends={"If-None-Match": '"a"'}),
    ),
    clause("9111 5.4", "Pragma asks again", miss({**FRESH, "ETag": '"a"'}), unchanged(headers={"Pragma": "no-cache"})),
    clause("9111 5.2.1.7", "only-if-cached: it is", miss(FRESH), hit(headers={"Cache-Control": "only-if-cached"})),
    clause("9111 5.2.1.7", "only-if-cached: it is not", hit(headers={"Cache-Control": "only-if-cached"}, status=504)),
    clause(
        "9111 5.2.1.7",
        "only-if-cached: it is stale",
        miss(STALE),
        hit(headers={"Cache-Control": "only-if-cached"}, status=504),
    ),
]


@pytest.mark.parametrize("turns", TARGETED + WISHES)
async def test_clauses(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


async def test_5861_3_stale_while_revalidate(client: Client, origin: Origin) -> None:
    target = f"/swr/{len(origin.requests)}"
    stale = {**STALE, "Cache-Control": "max-age=10, stale-while-revalidate=600"}
    origin.script(target, answer(200, stale, b"old"), answer(200, FRESH, b"new"))
    assert (await client.ask(target)).body == b"old"
    seen = await client.ask(target)
    assert seen.body == b"old"
    assert int(seen.headers["Age"]) >= 60
    assert (await origin.when_asked(target, 2)).headers["If-None-Match"] == '"a"'
    async with asyncio.timeout(60):
        while (await client.ask(target)).body == b"old":
            pass
    assert len(origin.asked(target)) == 2


@pytest.mark.parametrize("rule", ["must-revalidate", "proxy-revalidate", "s-maxage=10"])
async def test_5861_3_what_forbids_it(client: Client, origin: Origin, rule: str) -> None:
    stale = {**STALE, "Cache-Control": f"max-age=10, stale-while-revalidate=600, {rule}"}
    await play(client, origin, [miss(stale), unchanged(FRESH), hit()])


def status_of(seen: Seen) -> tuple[str, dict[str, Any]]:
    """The last member of Cache-Status: that of the cache nearest to the client."""
    members: Any = http_sf.parse(seen.headers["Cache-Status"].encode(), tltype="list")
    cache, parameters = members[-1]
    assert "hit" not in parameters or "fwd" not in parameters
    return str(cache), {name: str(value) for name, value in parameters.items()}


async def test_9211_2_how_an_answer_was_come_by(client: Client, origin: Origin) -> None:
    target = f"/status/{len(origin.requests)}"
    origin.script(target, answer(200, {**STALE, "Cache-Status": "far; hit"}), answer(304, {**FRESH, "Vary": ""}))
    first = await client.ask(target)
    assert status_of(first)[1]["fwd"] == "uri-miss"
    assert first.headers["Cache-Status"].startswith("far; hit, ")
    second = status_of(await client.ask(target))[1]
    assert (second["fwd"], second["fwd-status"]) == ("stale", "304")
    third = status_of(await client.ask(target))[1]
    assert third["hit"] == "True"
    assert 590 < int(third["ttl"]) <= 600


async def test_9211_2_2_why_it_was_forwarded(client: Client, origin: Origin) -> None:
    target = f"/why/{len(origin.requests)}"
    origin.script(target, answer(200, {**FRESH, "Vary": "Foo", "ETag": '"a"'}))
    assert status_of(await client.ask(target, {"Foo": "1"}))[1]["fwd"] == "uri-miss"
    assert status_of(await client.ask(target, {"Foo": "2"}))[1]["fwd"] == "vary-miss"
    assert status_of(await client.ask(target, {"Foo": "1", "Cache-Control": "no-cache"}))[1]["fwd"] == "request"
    assert status_of(await client.ask(target, method="POST", data=b"x"))[1]["fwd"] == "method"
