"""RFC 9110 clause by clause, as far as a cache before an origin is concerned: methods, ranges, what is passed on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.cdn.clauses import Client, Turn, clause, hit, miss, play, unchanged
from tests.cdn.origins import Origin, answer, chunked, now, raw

FRESH = {"Cache-Control": "max-age=600"}
TAGGED = {**FRESH, "ETag": '"a"', "Last-Modified": "{-900}"}
TEN = b"0123456789"


def part(range_: str, expected: bytes, content_range: str, **headers: str) -> Turn:
    shown = {"Content-Range": content_range, "Content-Length": str(len(expected)), "ETag": '"a"'}
    return hit(headers={"Range": range_, **headers}, status=206, body=expected, shows=shown)


def whole(**headers: str) -> Turn:
    return hit(headers={"Range": "bytes=0-1", **headers}, body=b"0123456789", shows={"Content-Range": None})


RANGES = [
    clause("14.2", "a part of what is stored", miss(TAGGED, content=TEN), part("bytes=0-1", b"01", "bytes 0-1/10")),
    clause("14.2", "its end", miss(TAGGED, content=TEN), part("bytes=7-", b"789", "bytes 7-9/10")),
    clause("14.2", "its last bytes", miss(TAGGED, content=TEN), part("bytes=-2", b"89", "bytes 8-9/10")),
    clause("14.2", "more than there is", miss(TAGGED, content=TEN), part("bytes=5-500", b"56789", "bytes 5-9/10")),
    clause("14.1.2", "units in any case", miss(TAGGED, content=TEN), part("Bytes=0-0", b"0", "bytes 0-0/10")),
    clause("14.2", "unknown units are ignored", miss(TAGGED, content=TEN), whole(Range="lines=1-2")),
    clause("14.2", "what is no range is ignored", miss(TAGGED, content=TEN), whole(Range="bytes=5-2")),
    clause(
        "14.4",
        "beyond the end",
        miss(TAGGED, content=TEN),
        hit(headers={"Range": "bytes=10-"}, status=416, shows={"Content-Range": "bytes */10"}),
    ),
    clause(
        "14.2",
        "HEAD has no ranges",
        miss(TAGGED, content=TEN),
        hit(method="HEAD", headers={"Range": "bytes=0-1"}, shows={"Content-Length": "10"}),
    ),
    clause(
        "14.3",
        "If-Range: its tag",
        miss(TAGGED, content=TEN),
        part("bytes=0-1", b"01", "bytes 0-1/10", **{"If-Range": '"a"'}),
    ),
    clause(
        "14.3",
        "If-Range: its date",
        miss(TAGGED, content=TEN),
        part("bytes=0-1", b"01", "bytes 0-1/10", **{"If-Range": "{-900}"}),
    ),
    *[
        clause("14.3", f"If-Range: {value}", miss(TAGGED, content=TEN), whole(**{"If-Range": value}))
        for value in ('"b"', 'W/"a"', "{-901}", "{-899}", "x")
    ],
    clause(
        "13.2.2",
        "If-None-Match is before Range",
        miss(TAGGED, content=TEN),
        hit(headers={"Range": "bytes=0-1", "If-None-Match": '"a"'}, status=304),
    ),
    clause(
        "13.2.2",
        "and if it is false there is a part",
        miss(TAGGED, content=TEN),
        part("bytes=0-1", b"01", "bytes 0-1/10", **{"If-None-Match": '"b"'}),
    ),
    clause(
        "14.2",
        "a part of what was not here",
        miss(TAGGED, content=TEN, headers={"Range": "bytes=2-3"}, status=206, body=b"23", sends={"Range": None}),
        hit(body=b"0123456789"),
    ),
    clause(
        "15.3.7",
        "only a 200 has parts",
        miss(FRESH, gives_status=404, status=404),
        hit(headers={"Range": "bytes=0-1"}, status=404, shows={"Content-Range": None}),
    ),
]

HEADS = [
    clause(
        "9.3.2",
        "HEAD out of what is stored for GET",
        miss(TAGGED, content=TEN),
        hit(method="HEAD", shows={"Content-Length": "10", "ETag": '"a"'}),
    ),
    clause(
        "9.3.2",
        "HEAD with a condition",
        miss(TAGGED, content=TEN),
        hit(method="HEAD", headers={"If-None-Match": '"a"'}, status=304),
    ),
    clause(
        "9.2.1",
        "OPTIONS is passed on",
        miss(TAGGED, content=TEN),
        miss({"Allow": "GET"}, method="OPTIONS", shows={"Allow": "GET"}),
        hit(body=b"0123456789"),
    ),
    clause("9.1", "so are methods nobody knows", miss({}, method="M-SEARCH", data=b"x", sends={"Content-Length": "1"})),
    clause("9.3.4", "PUT is passed on", miss({}, method="PUT", data=b"abc", gives_status=201, status=201)),
    clause("9.3.1", "a body makes a GET one of its own", miss(FRESH), miss(FRESH, data=b"x"), hit(like=0)),
]

PASSED_ON = [
    *[
        clause("7.6.1", f"{name} of a request stays here", miss(FRESH, headers={name: value}, sends={name: None}))
        for name, value in {
            "Keep-Alive": "x",
            "Proxy-Connection": "x",
            "TE": "trailers",
            "Proxy-Authorization": "x",
        }.items()
    ],
    clause(
        "7.6.1",
        "so does what Connection lists",
        miss(FRESH, headers={"Connection": "X-A", "X-A": "1", "X-B": "2"}, sends={"X-A": None, "X-B": "2"}),
    ),
    clause(
        "7.6.1",
        "also past the cache",
        miss({}, method="POST", headers={"Connection": "X-A", "X-A": "1"}, sends={"X-A": None}),
    ),
    clause("7.6.3", "Via", miss(FRESH, sends={"Via": "1.1 pastebin"})),
    clause(
        "7.6.3",
        "Via after those who were before",
        miss(FRESH, headers={"Via": "1.0 x"}, sends={"Via": "1.0 x, 1.1 pastebin"}),
    ),
    clause("7.6.3", "Via past the cache", miss({}, method="POST", sends={"Via": "1.1 pastebin"})),
    clause(
        "7.6.2",
        "Max-Forwards counts",
        miss({}, method="OPTIONS", headers={"Max-Forwards": "5"}, sends={"Max-Forwards": "4"}),
    ),
    clause("7.6.2", "and ends here", hit(method="OPTIONS", headers={"Max-Forwards": "0"}, status=204)),
    clause(
        "7.6.2", "other methods do not count", miss(FRESH, headers={"Max-Forwards": "5"}, sends={"Max-Forwards": "5"})
    ),
    clause(
        "7.7",
        "what is encoded stays so",
        miss({**FRESH, "Content-Encoding": "gzip"}, shows={"Content-Encoding": "gzip"}),
        hit(shows={"Content-Encoding": "gzip"}),
    ),
    clause(
        "8.8.3",
        "tags stay as they are",
        miss({**FRESH, "ETag": 'W/"ä"'}, shows={"ETag": 'W/"ä"'}),
        hit(shows={"ETag": 'W/"ä"'}),
    ),
    clause(
        "12.5.5",
        "a variant that no origin named",
        miss({**FRESH, "Content-Encoding": "gzip"}, headers={"Accept-Encoding": "gzip"}),
        miss(FRESH),
        hit(headers={"Accept-Encoding": "gzip, deflate"}, like=0),
    ),
    clause("6.6.1", "a Date is added", miss({**FRESH, "Date": "", "X-Now": "{+0}"}), hit()),
    clause(
        "5.3", "lines of one name keep their order", miss([("A", "1"), ("B", "x"), ("a", "2")], shows={"A": "1, 2"})
    ),
]


@pytest.mark.parametrize("turns", RANGES + HEADS + PASSED_ON)
async def test_clauses(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


BODIES = [
    clause("9112 7.1", "chunks", Turn(answer=lambda: chunked(FRESH, b"01", b"2345", b"6")), hit()),
    clause(
        "9112 6.3", "until the end of the connection", Turn(answer=lambda: answer(200, FRESH, b"abc", has_length=False))
    ),
    clause(
        "6.5",
        "trailers do not become headers",
        Turn(answer=lambda: chunked(FRESH, b"01", trailer=b"X-Late: 1\r\n"), shows={"X-Late": None}),
        hit(shows={"X-Late": None}),
    ),
    clause(
        "15.2",
        "interim answers are not the answer",
        Turn(
            answer=lambda: raw(
                b"HTTP/1.1 103 Early Hints\r\nCache-Control: max-age=5\r\nX-A: 1\r\n\r\n",
                *answer(200, FRESH, TEN).steps,
                closes=False,
            ),
            body=b"0123456789",
            shows={"X-A": None},
        ),
        hit(body=b"0123456789"),
    ),
    clause(
        "9112 9.3",
        "an origin of HTTP/1.0",
        Turn(
            answer=lambda: raw(b"HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nab"),
            body=b"ab",
        ),
        hit(body=b"ab"),
    ),
]


@pytest.mark.parametrize("turns", BODIES)
async def test_bodies(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    await play(client, origin, turns)


async def test_15_3_7_a_part_from_an_origin_is_not_the_whole(client: Client, origin: Origin) -> None:
    target = f"/part/{len(origin.requests)}"
    partial = answer(206, {**TAGGED, "Content-Range": "bytes 0-1/10", "Last-Modified": now(-900)}, b"01")
    origin.script(target, partial, answer(200, FRESH, TEN))
    await client.ask(target, {"Range": "bytes=0-1"})
    assert (await client.ask(target)).body == b"0123456789"


@pytest.mark.parametrize("status", [200, 404])
async def test_9_3_2_a_head_for_what_is_not_here(client: Client, origin: Origin, status: int) -> None:
    target = f"/head/{len(origin.requests)}"
    origin.script(target, answer(status, FRESH, b"0123456789", is_head=True), answer(status, FRESH, b"0123456789"))
    head = await client.ask(target, method="HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (status, b"", "10")
    assert (await client.ask(target)).body == b"0123456789"


async def test_4_3_5_a_head_can_confirm(client: Client, origin: Origin) -> None:
    await play(client, origin, [miss({**TAGGED, "Age": "700"}), unchanged(TAGGED, method="HEAD"), hit(like=0)])


async def test_4_3_5_a_head_past_the_cache_can_end_what_is_stored(client: Client, origin: Origin) -> None:
    past = {"If-Match": "*"}
    head = miss(TAGGED, content=TEN, method="HEAD", headers=past, status=200)
    other = miss({**TAGGED, "ETag": '"b"'}, content=TEN, method="HEAD", headers=past)
    await play(client, origin, [miss(TAGGED, content=TEN), head, hit(body=TEN), other, miss(TAGGED)])
