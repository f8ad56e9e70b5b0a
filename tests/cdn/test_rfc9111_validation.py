"""RFC 9111 clause by clause: asking the origin again, what its answers change, what ends a stored response."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.cdn.clauses import Client, Turn, clause, hit, miss, play, unchanged
from tests.cdn.origins import NOTHING, Origin, answer

FRESH = {"Cache-Control": "max-age=600"}
STALE = {"Cache-Control": "max-age=10", "Age": "60", "ETag": '"a"'}
OLD = {"Cache-Control": "max-age=10", "Age": "60", "Last-Modified": "{-900}"}

ASKING = [
    clause(
        "4.3.1", "the tag is sent", miss(STALE), unchanged(sends={"If-None-Match": '"a"', "If-Modified-Since": None})
    ),
    clause("4.3.1", "a weak one too", miss({**STALE, "ETag": 'W/"a"'}), unchanged(sends={"If-None-Match": 'W/"a"'})),
    clause(
        "4.3.1", "the date is sent", miss(OLD), unchanged(sends={"If-Modified-Since": "{-900}", "If-None-Match": None})
    ),
    clause(
        "4.3.1",
        "both are sent",
        miss(STALE | OLD),
        unchanged(sends={"If-Modified-Since": "{-900}", "If-None-Match": '"a"'}),
    ),
    clause(
        "4.3.1",
        "without a validator nothing can be asked",
        miss({"Cache-Control": "max-age=0"}),
        miss({}, sends={"If-None-Match": None}),
    ),
    clause(
        "4.3.1",
        "what it varies on is sent",
        miss({**STALE, "Vary": "Abc"}, headers={"Abc": "123"}),
        unchanged(headers={"Abc": "123"}, sends={"Abc": "123", "If-None-Match": '"a"'}),
    ),
    clause("4.3.3", "a 304 means what is stored", miss(STALE), unchanged(FRESH), hit()),
    clause("4.3.3", "a full answer replaces it", miss(STALE), miss(FRESH), hit()),
    clause(
        "4.3.3", "a full answer that may not be stored is used too", miss(STALE), miss({"Cache-Control": "no-store"})
    ),
    clause(
        "4.3.3",
        "and ends what was stored before",
        miss({**STALE, "Cache-Control": "max-age=10, stale-if-error=600"}),
        miss({"Cache-Control": "no-store"}),
        miss({}, gives_status=503, status=503, sends={"If-None-Match": None}),
    ),
    clause("4.3.3", "an error is passed on", miss(STALE), miss({}, gives_status=503, status=503), unchanged(like=0)),
    clause(
        "3.2",
        "a 304 changes what it carries",
        miss({**STALE, "A": "1", "B": "2"}),
        unchanged({**FRESH, "A": "3"}, shows={"A": "3", "B": "2"}),
        hit(shows={"A": "3", "B": "2"}),
    ),
    clause(
        "3.2",
        "Content-Type too",
        miss({**STALE, "Content-Type": "text/a"}),
        unchanged({**FRESH, "Content-Type": "text/b"}),
        hit(shows={"Content-Type": "text/b"}),
    ),
    clause(
        "3.2",
        "all lines of it",
        miss([*STALE.items(), ("A", "1"), ("A", "2")]),
        unchanged({**FRESH, "a": "3"}),
        hit(shows={"A": "3"}),
    ),
    clause(
        "3.2",
        "not what the body is",
        miss({**STALE, "Content-Encoding": "x"}),
        unchanged({**FRESH, "Content-Length": "5", "Content-Encoding": "y", "Content-Range": "bytes 0-4/5"}),
        hit(shows={"Content-Encoding": "x", "Content-Range": None}),
    ),
    clause(
        "3.2",
        "not what is about the connection",
        miss(STALE),
        unchanged({**FRESH, "Connection": "A", "A": "1", "Keep-Alive": "x"}),
        hit(shows={"A": None, "Keep-Alive": None}),
    ),
    clause("4.2.3", "a 304 makes young", miss(STALE), unchanged(FRESH), hit(shows={"Age": "0"})),
    clause(
        "4.2.3", "unless it is old itself", miss(STALE), unchanged({**FRESH, "Age": "70"}), hit(shows={"Age": "70"})
    ),
    clause(
        "4.2.3",
        "a 304 without a date is of now",
        miss({**STALE, "Date": "{-900}"}),
        unchanged({**FRESH, "Date": ""}),
        hit(shows={"Age": "0"}),
    ),
    clause(
        "3",
        "a 304 can say that nothing may be stored",
        miss(STALE),
        unchanged({"Cache-Control": "no-store"}),
        miss(FRESH, sends={"If-None-Match": None}),
    ),
    clause(
        "4.3.4", "a weak tag confirms", miss({**STALE, "ETag": 'W/"a"'}), unchanged({**FRESH, "ETag": 'W/"a"'}), hit()
    ),
    clause("4.3.4", "a date confirms", miss(OLD), unchanged({**FRESH, "Last-Modified": "{-900}"}), hit()),
]


@pytest.mark.parametrize("turns", ASKING)
async def test_asking_again(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


@pytest.mark.parametrize("wrong", [{"ETag": '"b"'}, {"ETag": 'W/"b"'}])
async def test_4_3_4_a_304_about_something_else_changes_nothing(
    client: Client, origin: Origin, wrong: dict[str, str]
) -> None:
    target = f"/other-304/{len(origin.requests)}"
    right = answer(200, FRESH, b"new")
    origin.script(target, answer(200, STALE, b"old"), answer(304, {**FRESH, **wrong}), right)
    assert (await client.ask(target)).body == b"old"
    assert (await client.ask(target)).body == b"new"
    _, second, third = origin.asked(target)
    assert second.headers["If-None-Match"] == '"a"'
    assert "If-None-Match" not in third.headers
    assert (await client.ask(target)).body == b"new"
    assert len(origin.asked(target)) == 3


BOTH = {**FRESH, "ETag": '"a"', "Last-Modified": "{-900}"}
NOT_MODIFIED = {"status": 304, "body": b""}

CONDITIONS = [
    *[
        clause(
            "4.3.2", f"If-None-Match: {tags} is true", miss(BOTH), hit(headers={"If-None-Match": tags}, **NOT_MODIFIED)
        )
        for tags in ('"a"', 'W/"a"', '"b", "a"', '"a","c"', "*", '"b",, W/"a" ')
    ],
    *[
        clause("4.3.2", f"If-None-Match: {tags} is not", miss(BOTH), hit(headers={"If-None-Match": tags}))
        for tags in ('"b"', "a", 'w/"a"', '"ab"', "")
    ],
    clause(
        "4.3.2",
        "a weak tag matches",
        miss({**FRESH, "ETag": 'W/"a"'}),
        hit(headers={"If-None-Match": '"a"'}, **NOT_MODIFIED),
    ),
    clause(
        "4.3.2", "If-Modified-Since: its date", miss(BOTH), hit(headers={"If-Modified-Since": "{-900}"}, **NOT_MODIFIED)
    ),
    clause(
        "4.3.2", "If-Modified-Since: later", miss(BOTH), hit(headers={"If-Modified-Since": "{-800}"}, **NOT_MODIFIED)
    ),
    clause("4.3.2", "If-Modified-Since: earlier", miss(BOTH), hit(headers={"If-Modified-Since": "{-901}"})),
    clause("4.3.2", "If-Modified-Since: no date", miss(BOTH), hit(headers={"If-Modified-Since": "yesterday"})),
    clause(
        "4.3.2",
        "If-Modified-Since without Last-Modified: Date counts",
        miss({**FRESH, "Date": "{-5}"}),
        hit(headers={"If-Modified-Since": "{-5}"}, **NOT_MODIFIED),
        hit(headers={"If-Modified-Since": "{-6}"}),
    ),
    clause(
        "4.3.2",
        "If-None-Match is before If-Modified-Since",
        miss(BOTH),
        hit(headers={"If-None-Match": '"b"', "If-Modified-Since": "{-1}"}),
        hit(headers={"If-None-Match": '"a"', "If-Modified-Since": "{-5000}"}, **NOT_MODIFIED),
    ),
    clause(
        "9110 15.4.5",
        "a 304 has what a 200 would have",
        miss({**BOTH, "Vary": "Foo", "Content-Location": "/x", "Expires": "{+5}", "Date": "{-5}"}),
        hit(
            headers={"If-None-Match": '"a"'},
            shows={
                "ETag": '"a"',
                "Vary": "Foo",
                "Content-Location": "/x",
                "Expires": "{+5}",
                "Date": "{-5}",
                "Cache-Control": "max-age=600",
            },
            **NOT_MODIFIED,
        ),
    ),
    clause(
        "4.3.2",
        "If-Match is the origin's to weigh",
        miss(BOTH),
        miss(BOTH, headers={"If-Match": '"b"'}, sends={"If-Match": '"b"'}),
    ),
    clause(
        "4.3.2",
        "so is If-Unmodified-Since",
        miss(BOTH),
        miss({}, gives_status=412, status=412, headers={"If-Unmodified-Since": "{-5000}"}),
    ),
    clause(
        "4.3.2",
        "a client's own tag, confirmed",
        miss(STALE),
        unchanged({**STALE, "ETag": '"a"'}, headers={"If-None-Match": '"a"'}, status=304, body=b""),
    ),
    clause(
        "4.3.2",
        "a tag that is not the client's, confirmed, is a 200",
        miss(STALE),
        unchanged({**STALE, "ETag": '"a"'}, headers={"If-None-Match": '"b"'}),
    ),
    clause(
        "4.3.2",
        "a condition of one does not matter to others",
        miss(BOTH, content=b"whole", headers={"If-None-Match": '"a"'}, **NOT_MODIFIED),
        hit(body=b"whole"),
    ),
]


@pytest.mark.parametrize("turns", CONDITIONS)
async def test_conditions_of_clients(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


STALE_ON_ERROR = {"Cache-Control": "max-age=10, stale-if-error=600", "Age": "60", "ETag": '"a"'}
STRICT = "max-age=10, stale-if-error=600, "

FAILURES = [
    clause("4.2.4", "nothing is served stale without leave", miss(STALE), Turn(answer=NOTHING, status=502)),
    clause("5861 4", "stale-if-error, and no answer", miss(STALE_ON_ERROR), Turn(answer=NOTHING)),
    *[
        clause("5861 4", f"stale-if-error, and a {status}", miss(STALE_ON_ERROR), miss({}, gives_status=status, like=0))
        for status in (500, 502, 503, 504)
    ],
    clause("5861 4", "a 404 is an answer", miss(STALE_ON_ERROR), miss({}, gives_status=404, status=404)),
    clause("5861 4", "not for ever", miss({**STALE_ON_ERROR, "Age": "700"}), miss({}, gives_status=500, status=500)),
    clause(
        "5861 4",
        "a client may ask for it",
        miss(STALE),
        miss({}, gives_status=500, headers={"Cache-Control": "stale-if-error=60"}, like=0),
    ),
    *[
        clause(
            "4.2.4",
            f"never with {rule}",
            miss({**STALE_ON_ERROR, "Cache-Control": STRICT + rule}),
            Turn(answer=NOTHING, status=504),
        )
        for rule in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=10")
    ],
    clause(
        "4.3.3",
        "a server error does not end what is stored",
        miss(STALE),
        miss({}, gives_status=500, status=500),
        unchanged(FRESH, like=0),
        hit(like=0),
    ),
]


@pytest.mark.parametrize("turns", FAILURES)
async def test_origins_that_fail(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


UNSAFE = ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "MKCOL"]

ENDING = [
    *[
        clause("4.4", f"{method} ends what is stored", miss(FRESH), miss({}, method=method, data=b"x"), miss(FRESH))
        for method in UNSAFE
    ],
    *[
        clause(
            "4.4",
            f"a failed {method} does not",
            miss(FRESH),
            miss({}, method=method, data=b"x", gives_status=500, status=500),
            hit(like=0),
        )
        for method in UNSAFE
    ],
    clause(
        "4.4",
        "a refused POST does not",
        miss(FRESH),
        miss({}, method="POST", gives_status=404, status=404),
        hit(like=0),
    ),
    clause(
        "4.4",
        "a redirect does",
        miss(FRESH),
        miss({"Location": "/x"}, method="POST", gives_status=303, status=303),
        miss(FRESH),
    ),
    clause("4.4", "OPTIONS does not", miss(FRESH), miss({}, method="OPTIONS"), hit(like=0)),
    clause(
        "4.4",
        "every variant",
        miss({**FRESH, "Vary": "Foo"}, headers={"Foo": "1"}),
        miss({}, method="POST"),
        miss(FRESH, headers={"Foo": "1"}),
    ),
    *[
        clause(
            "4.4",
            f"{name} is ended too",
            miss(FRESH, target="/x?y"),
            miss({name: reference}, method="POST", gives_status=201, status=201),
            miss(FRESH, target="/x?y"),
        )
        for name in ("Location", "Content-Location")
        for reference in ("{address}/x?y", "{address}/x?y#z", "{address}/./z/../x?y", "{relative}/x?y")
    ],
    *[
        clause(
            "4.4",
            f"{name} elsewhere is not",
            miss(FRESH, target="/x"),
            miss({name: "http://other.example{address}/x"}, method="POST"),
            hit(target="/x", like=0),
        )
        for name in ("Location", "Content-Location")
    ],
]


@pytest.mark.parametrize("turns", ENDING)
async def test_what_ends_a_stored_response(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic dTpw"}])
async def test_4_4_a_change_ends_what_is_being_fetched(client: Client, origin: Origin, headers: dict[str, str]) -> None:
    target = f"/changed/{len(origin.requests)}"
    go_on = asyncio.Event()
    public = {"Cache-Control": "public, max-age=600"}
    origin.script(
        target, answer(200, public, b"old", before=[go_on]), answer(200, {}, b"done"), answer(200, public, b"new")
    )
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(client.ask(target, headers))
        await origin.when_asked(target)
        assert (await client.ask(target, method="POST", data=b"x")).body == b"done"
        go_on.set()
    assert first.result().body == b"old"
    assert (await client.ask(target)).body == b"new"


async def test_4_requests_for_one_thing_are_one(client: Client, origin: Origin) -> None:
    target = f"/collapsed/{len(origin.requests)}"
    go_on = asyncio.Event()
    origin.script(target, answer(200, FRESH, b"one", before=[go_on]))
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(client.ask(target)) for _ in range(5)]
        await origin.when_asked(target)
        go_on.set()
    assert [task.result().body for task in asking] == [b"one"] * 5
    assert len(origin.asked(target)) == 1
