"""RFC 9111 clause by clause: what is stored, what is fresh, and what requests and responses can ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.cdn.clauses import Client, Turn, clause, hit, miss, play, unchanged
from tests.cdn.edges import edge_before
from tests.cdn.origins import Fields, Origin, answer

FRESH = {"Cache-Control": "max-age=600"}
STALE = {"Cache-Control": "max-age=10", "Age": "60", "ETag": '"a"'}
WHO = {"Authorization": "Basic dTpw"}


def kept(gives: Fields, *, status: int = 200, **more: Any) -> list[Turn]:
    return [miss(gives, gives_status=status, status=status, **more), hit(status=status)]


def not_kept(gives: Fields, *, status: int = 200, **more: Any) -> list[Turn]:
    turn = miss(gives, gives_status=status, status=status, **more)
    return [turn, turn]


STORING = [
    clause("3", "a response with max-age is stored", *kept(FRESH)),
    clause("3", "a response with s-maxage is stored", *kept({"Cache-Control": "s-maxage=600"})),
    clause("3", "a response with Expires is stored", *kept({"Expires": "{+600}"})),
    clause(
        "3",
        "a query is part of the address",
        miss(FRESH, target="?a"),
        miss(FRESH, target="?b"),
        hit(target="?a", like=0),
    ),
    clause("3", "a response to POST is not stored", miss(FRESH, method="POST", data=b"x"), miss(FRESH)),
    clause("3", "a response to HEAD is not one to GET", miss(FRESH, method="HEAD"), miss(FRESH)),
    clause("3", "no-store is not stored", *not_kept({"Cache-Control": "no-store, max-age=600"})),
    clause("3", "no-store in any case", *not_kept({"Cache-Control": "No-StOrE", "Expires": "{+600}"})),
    clause("3", "private is not stored", *not_kept({"Cache-Control": "private, max-age=600"})),
    clause("3", "without freshness nothing is stored (no heuristics)", *not_kept({"Last-Modified": "{-90000}"})),
    *[
        clause("3", f"a fresh {status} is stored", *kept(FRESH, status=status))
        for status in (203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499)
    ],
    *[
        clause("3", f"a {status} is not stored", *not_kept({"Cache-Control": "public, max-age=600"}, status=status))
        for status in (412, 416, 428, 429, 431, 511)
    ],
    clause(
        "5.2.2.3",
        "must-understand overrides no-store",
        *kept({"Cache-Control": "max-age=600, no-store, must-understand"}),
    ),
    clause(
        "5.2.2.3",
        "must-understand keeps out what is not understood",
        *not_kept({"Cache-Control": "max-age=600, must-understand"}, status=599),
    ),
    clause("3.1", "unknown fields are stored", miss({**FRESH, "X-Foo": "bar"}), hit(shows={"X-Foo": "bar"})),
    clause(
        "3.1",
        "Connection and what it lists are not passed on nor stored",
        miss({**FRESH, "Connection": "a, B", "A": "1", "b": "2", "C": "3"}, shows={"A": None, "B": None, "C": "3"}),
        hit(shows={"A": None, "B": None, "C": "3"}),
    ),
    *[
        clause(
            "3.1",
            f"{name} is not passed on nor stored",
            miss({**FRESH, name: "x"}, shows={name: None}),
            hit(shows={name: None}),
        )
        for name in (
            "Keep-Alive",
            "Proxy-Authenticate",
            "Proxy-Authentication-Info",
            "Proxy-Connection",
            "TE",
            "Upgrade",
        )
    ],
    clause(
        "3.1",
        "all lines of a field are stored",
        miss([("Link", "<a>"), *FRESH.items(), ("Link", "<b>")]),
        hit(shows={"Link": "<a>, <b>"}),
    ),
    clause("3.5", "an authorised answer is not stored", *[miss(FRESH, headers=WHO)] * 2, miss(FRESH), hit()),
    clause("3.5", "unless public", *kept({"Cache-Control": "public, max-age=600"}, headers=WHO), hit(headers=WHO)),
    clause("3.5", "unless s-maxage", *kept({"Cache-Control": "s-maxage=600"}, headers=WHO), hit(headers=WHO)),
    clause(
        "3.5",
        "unless must-revalidate",
        *kept({"Cache-Control": "max-age=600, must-revalidate"}, headers=WHO),
        hit(headers=WHO),
    ),
    clause("3.5", "others' answers are not for the authorised", miss(FRESH), miss(FRESH, headers=WHO)),
    clause("7.3", "Set-Cookie is not stored", *not_kept({**FRESH, "Set-Cookie": "a=b"})),
    clause(
        "7.3",
        "unless the response is public",
        *kept({"Cache-Control": "public, max-age=600", "Set-Cookie": "a=b"}),
        hit(shows={"Set-Cookie": "a=b"}),
    ),
    clause(
        "5.2.2.4",
        "no-cache with fields keeps the rest",
        miss({"Cache-Control": 'max-age=600, no-cache="Set-Cookie, a"', "Set-Cookie": "x=1", "A": "1", "B": "2"}),
        hit(shows={"Set-Cookie": None, "A": None, "B": "2"}),
    ),
    clause(
        "5.2.2.7",
        "private with fields keeps the rest",
        miss({"Cache-Control": 'max-age=600, private="set-cookie"', "Set-Cookie": "x=1"}, shows={"Set-Cookie": "x=1"}),
        hit(shows={"Set-Cookie": None}),
    ),
    clause("5.2.1.5", "no-store of a request", *[miss(FRESH, headers={"Cache-Control": "no-store"})] * 2, miss(FRESH)),
    clause(
        "5.2.1.5",
        "no-store of a request does not touch what is stored",
        *kept(FRESH),
        hit(headers={"Cache-Control": "no-store"}),
    ),
]


@pytest.mark.parametrize("turns", STORING)
async def test_storing(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_3_failures_are_stored_for_a_moment(client: Client, origin: Origin, status: int) -> None:
    target = f"/failing/{status}"
    origin.script(target, answer(status, FRESH, b"x"))
    asked = [await client.ask(target) for _ in range(20)]
    assert {seen.status for seen in asked} == {status}
    assert any("; hit" in seen.headers["Cache-Status"] for seen in asked)


FRESHNESS = [
    clause("4", "a hit has an Age", miss({**FRESH, "Age": "30"}), hit(shows={"Age": "30"})),
    clause(
        "4", "Age replaces what is there", miss([*FRESH.items(), ("Age", "30"), ("Age", "5")]), hit(shows={"Age": "30"})
    ),
    clause("5.1", "an Age that is none is 0", miss({**FRESH, "Age": "abc"}), hit(shows={"Age": "0"})),
    clause("5.1", "only the first Age counts", miss({**FRESH, "Age": "0, 7200"}), hit(shows={"Age": "0"})),
    clause("4.2.3", "Date counts for the age", miss({**FRESH, "Date": "{-700}", "ETag": '"a"'}), unchanged(FRESH)),
    clause("4.2.3", "Age counts", miss({**FRESH, "Age": "700", "ETag": '"a"'}), unchanged(FRESH)),
    clause(
        "4",
        "the Date stays what it was",
        miss({**FRESH, "Date": "{-50}"}, shows={"Date": "{-50}"}),
        hit(shows={"Date": "{-50}"}),
    ),
    clause("4.2.1", "s-maxage before max-age", *kept({"Cache-Control": "max-age=0, s-maxage=600"})),
    clause("4.2.1", "a short s-maxage too", *not_kept({"Cache-Control": "s-maxage=0, max-age=600"})),
    clause("4.2.1", "on two lines", *not_kept([("Cache-Control", "max-age=600"), ("Cache-Control", "s-maxage=0")])),
    clause("4.2.1", "max-age before Expires", *kept({**FRESH, "Expires": "{-600}"})),
    clause("4.2.1", "max-age before an Expires that is none", *kept({**FRESH, "Expires": "0"})),
    clause("4.2.1", "max-age=0 before Expires", *not_kept({"Cache-Control": "max-age=0", "Expires": "{+600}"})),
    clause("4.2.1", "Expires counts from Date", *not_kept({"Expires": "{+300}", "Date": "{+400}"})),
    clause("4.2.1", "no number is over", *not_kept({"Cache-Control": "max-age=a600"})),
    clause("4.2.1", "different numbers are over", *not_kept({"Cache-Control": "max-age=600, max-age=60"})),
    clause("5.2", "quoted numbers count", *kept({"Cache-Control": 'max-age="600"'})),
    clause("5.2", "names in any case", *kept({"Cache-Control": "MaX-aGe=600"})),
    clause(
        "5.2.3",
        "unknown directives are ignored",
        *kept({"Cache-Control": 'foo, bar="max-age=0, no-store", max-age=600'}),
    ),
    clause("5.2.3", "also those that look like known ones", *not_kept({"Cache-Control": 'x="max-age=600"'})),
    clause("1.2.2", "as long as can be", *kept({"Cache-Control": "max-age=99999999999999999999"})),
    *[
        clause("5.3", f"Expires {value!r} is over", *not_kept({"Expires": value}))
        for value in ("0", "", "Thu, 18 Aug 2050 02:01:18 UTC", "Thu, 18 Aug 50 02:01:18 GMT", "2050-08-18T02:01:18Z")
    ],
    clause("4.2", "dates in any case", *kept({"Expires": "thu, 18 aug 2050 02:01:18 gmt"})),
    clause(
        "5.2.2.4",
        "no-cache is asked for every time",
        miss({"Cache-Control": "no-cache", "ETag": '"a"'}),
        *[unchanged()] * 2,
    ),
    clause("5.2.2.4", "however fresh", miss({"Cache-Control": "No-Cache, max-age=600", "ETag": '"a"'}), unchanged()),
    clause(
        "5.2.2.4", "and is not stored if nobody could be asked", *not_kept({"Cache-Control": "no-cache, max-age=600"})
    ),
    clause(
        "5.2.2.2", "must-revalidate may be served while fresh", *kept({"Cache-Control": "max-age=600, must-revalidate"})
    ),
    clause(
        "5.2",
        "directives are passed on",
        miss({"Cache-Control": "foo=bar, max-age=600"}, shows={"Cache-Control": "foo=bar, max-age=600"}),
    ),
    clause("5.4", "Pragma in a response means nothing", *kept({**FRESH, "Pragma": "no-cache"})),
    clause(
        "4.1",
        "Vary: equal requests match",
        miss({**FRESH, "Vary": "Foo"}, headers={"Foo": "1"}),
        hit(headers={"Foo": "1", "Bar": "2"}),
    ),
    clause(
        "4.1",
        "Vary: others do not",
        miss({**FRESH, "Vary": "Foo"}, headers={"Foo": "1"}),
        miss(FRESH, headers={"Foo": "2"}),
    ),
    clause("4.1", "Vary: absent is not present", miss({**FRESH, "Vary": "Foo"}), miss(FRESH, headers={"Foo": ""})),
    clause(
        "4.1",
        "Vary: absent matches absent",
        miss({**FRESH, "Vary": "Foo, Bar"}, headers={"Foo": "1"}),
        hit(headers={"Foo": "1"}),
    ),
    clause(
        "4.1",
        "Vary: two variants are kept",
        miss({**FRESH, "Vary": "Foo"}, headers={"Foo": "1"}),
        miss({**FRESH, "Vary": "Foo"}, headers={"Foo": "2"}),
        hit(headers={"Foo": "2"}),
        miss(FRESH | {"Vary": "Foo"}, headers={"Foo": "3"}),
        hit(headers={"Foo": "1"}, like=0),
    ),
    clause(
        "4.1",
        "Vary: space does not count",
        miss({**FRESH, "Vary": "Foo"}, headers={"Foo": "1,2"}),
        hit(headers={"Foo": " 1, 2 "}),
    ),
    clause(
        "4.1",
        "Vary: lines are combined",
        miss({**FRESH, "Vary": "Foo"}, headers={"Foo": "1, 2"}),
        hit(headers=[("Foo", "1"), ("Foo", "2")]),
    ),
    clause(
        "4.1",
        "Vary: order and case of languages do not count",
        miss({**FRESH, "Vary": "Accept-Language"}, headers={"Accept-Language": "en, de;q=0.5"}),
        hit(headers={"Accept-Language": "De;q=0.5,EN"}),
    ),
    *[
        clause("4.1", f"Vary: {value} matches nobody", *not_kept({**FRESH, "Vary": value}))
        for value in ("*", "Foo, *", ", *")
    ],
]


@pytest.mark.parametrize("turns", FRESHNESS)
async def test_freshness(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


async def test_4_2_2_heuristics_have_to_be_asked_for(origin: Origin) -> None:
    async with edge_before(origin.url, edge__heuristics=True) as client:
        await play(client, origin, [miss({"Last-Modified": "{-1000}"}), hit()])
        await play(client, origin, [miss({"Last-Modified": "{-1000}", "Age": "101"}), unchanged()])
        await play(client, origin, not_kept({"Last-Modified": "{-1000}"}, status=403))
