"""Prepared answers say at every moment what the rules of freshness and variants say."""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn import directives, freshness
from pastebin.cdn.freshness import Policy
from pastebin.cdn.grammar import Said, fields_at, start_at
from pastebin.cdn.objects import Stored
from pastebin.cdn.prepared import Prepared, Written, _hit
from pastebin.cdn.variants import nominated, variant_of
from tests.cdn.caches import Shelf, opened
from tests.cdn.shortcuts import HOST, Leased, head

START = 1_000_000.0
_AGE = re.compile(rb"Age: ([0-9]+)\r\nCache-Status: pastebin; hit; ttl=(-?[0-9]+)\r\nX-Request-Id: \Z")


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with opened(tmp_path / "edge", max_variants=4) as shelf:
        yield shelf


def prepared_on(shelf: Shelf) -> Prepared:
    return Prepared(shelf.cache, Leased(), frozenset())


def asked(prepared: Prepared, target: str, *lines: str, now: float = 0.0) -> Written | None:
    return answer_to(prepared, head(target, *lines), now)


def answer_to(prepared: Prepared, asked: bytes, now: float = 0.0) -> Written | None:
    start = start_at(asked)
    assert start is not None
    fields = fields_at(asked, start.end())
    assert fields is not None
    return prepared.answer(start[1], start[2], cast(Said, fields.groups()), now)


def stored_with(policy: Policy, responded_at: float = START) -> Stored:
    headers = CIMultiDictProxy(CIMultiDict({"ETag": '"e"'}))
    return Stored("k", (), 200, headers, policy, responded_at, frozenset(), 0, 4, b"body")


_SECONDS = st.floats(0, 100, allow_nan=False) | st.integers(0, 100).map(float)


@given(_SECONDS, _SECONDS, st.booleans(), st.booleans(), st.lists(_SECONDS, min_size=1, max_size=4))
def test_it_is_good_for_as_long_as_it_says_and_no_longer(
    lifetime: float, age: float, must_ask: bool, purged: bool, steps: list[float]
) -> None:
    stored = stored_with(Policy(lifetime, age, always_revalidate=must_ask))
    stored.soft_purged = purged
    hit = _hit(stored, frozenset())
    now = 0.0
    for step in steps:
        now += step / 10
        current = freshness.current_age(stored.policy, START, START + now)
        if now < hit.until:
            found = _AGE.search(hit.lines)
            assert found is not None
            assert (int(found[1]), int(found[2])) == (
                pytest.approx(math.floor(current), abs=current % 1 > 1 - 1e-6 or current % 1 < 1e-6),
                pytest.approx(math.floor(lifetime - current), abs=1),
            )
        is_fresh = freshness.serve(stored.policy, START, directives.NONE, START + now, soft_purged=purged) == "fresh"
        assert hit.renew(now, START + now) == is_fresh
        if not is_fresh:
            return
        assert now < hit.until <= now + 1.0
        assert current + hit.until - now <= lifetime + 1e-6


def test_a_clock_that_goes_back_makes_nothing_younger() -> None:
    hit = _hit(stored_with(Policy(60.0, 5.0)), frozenset())
    assert hit.renew(10.0, START - 100.0)
    assert hit.lines.startswith(b"Age: 5\r\n")


_VARY = st.sampled_from(
    ["", "Accept", "Accept-Encoding", "Accept, Accept-Encoding", "Accept-Encoding, X-Other", "Cookie"]
)
_ACCEPTS = st.sampled_from([None, "*/*", "text/html", "text/html, */*;q=0.8", "TEXT/html", ""])
_ENCODINGS = st.sampled_from([None, "gzip", "gzip, br", "br;q=0, gzip", "identity", "*;q=0", ""])


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(_VARY, _ACCEPTS, _ENCODINGS), min_size=1, max_size=6), _ACCEPTS, _ENCODINGS)
async def test_the_variant_is_the_one_that_the_cache_finds(
    shelf: Shelf, stored: list[tuple[str, str | None, str | None]], accept: str | None, encoding: str | None
) -> None:
    shelf.cache.flush()
    prepared = prepared_on(shelf)
    for number, (vary, *said) in enumerate(stored):
        names = nominated(CIMultiDict({"Vary": vary}))
        assert names is not None
        variant = variant_of(names, _headers(*said))
        await shelf.kept(f"{HOST}/a", b"%d" % number, variant=variant, responded_at=time.time() - 10 + number)
    wanted = _headers(accept, encoding)
    lines = [f"{name}: {value}" for name, value in wanted.items()]
    kept = shelf.cache.peek(f"{HOST}/a")
    matching = [one for one in kept if variant_of([name for name, _ in one.variant], wanted) == one.variant]
    for _ in range(2):
        answer = asked(prepared, "/a", *lines)
        if len(matching) == 1:
            assert matching == [shelf.cache.find(f"{HOST}/a", wanted)]
            assert isinstance(answer, bytes)
            assert answer.endswith(b"\r\n\r\n%b" % matching[0].body)
        else:
            assert answer is None, "where several match the full road weighs them"
    shelf.cache.flush()
    assert asked(prepared, "/a", *lines) is None


def _headers(accept: str | None, encoding: str | None) -> CIMultiDict[str]:
    said = {"Accept": accept, "Accept-Encoding": encoding}
    return CIMultiDict({name: value for name, value in said.items() if value is not None})


@pytest.mark.parametrize("vary", ["User-Agent", "Referer", "Accept, Accept-Language"])
async def test_what_varies_on_more_is_left_to_the_full_road(shelf: Shelf, vary: str) -> None:
    names = nominated(CIMultiDict({"Vary": vary}))
    assert names is not None
    await shelf.kept(f"{HOST}/a", b"a", variant=variant_of(names, CIMultiDict()), responded_at=time.time())
    assert asked(prepared_on(shelf), "/a") is None


async def test_bodies_on_disk_are_left_to_the_full_road(shelf: Shelf) -> None:
    await shelf.kept(f"{HOST}/a", bytes(2000), responded_at=time.time())
    assert asked(prepared_on(shelf), "/a") is None


@pytest.mark.parametrize("value", ["caf\u00e9", "a\r\nb", "a\x7f"])
async def test_so_are_odd_headers(shelf: Shelf, value: str) -> None:
    await shelf.kept(f"{HOST}/a", b"a", headers={"X-Odd": value}, responded_at=time.time())
    assert asked(prepared_on(shelf), "/a") is None


async def test_one_answer_serves_every_spelling_of_its_address(shelf: Shelf) -> None:
    prepared = prepared_on(shelf)
    await shelf.kept(f"{HOST}/a", b"a", tags=["t"], responded_at=time.time())
    spellings = [head("/a"), head("/a", host=f"{HOST}:80"), head("/a").replace(b"Host", b"host")]
    for is_there in (True, False):
        for spelling in spellings:
            assert (answer_to(prepared, spelling) is not None) == is_there
        shelf.purge("t")


async def test_uses_count_for_admission_and_looking_in_vain_does_not(shelf: Shelf) -> None:
    prepared = prepared_on(shelf)
    small = await shelf.kept(f"{HOST}/a", b"a", responded_at=time.time())
    large = await shelf.kept(f"{HOST}/b", bytes(2000), responded_at=time.time())
    for expected in (1, 2, 3, 3):
        asked(prepared, "/a")
        asked(prepared, "/b")
        assert (small.frequency, large.frequency) == (expected, 0)


async def test_what_is_prepared_is_counted_and_goes_with_what_it_was_made_of(tmp_path: Path) -> None:
    async with opened(tmp_path / "edge", memory_bytes=400_000) as shelf:
        prepared = prepared_on(shelf)
        for number in range(500):
            await shelf.put(f"{HOST}/{number}", b"x", responded_at=time.time())
            asked(prepared, f"/{number}")
            assert shelf.figure("bytes", tier="memory") <= 400_000
        kept = shelf.figure("objects", tier="memory")
        assert 20 < kept < 250
        assert len(prepared._places) == len(prepared._addresses) <= kept
        shelf.cache.flush()
        assert not prepared._places
        assert not prepared._addresses


async def test_hostile_preferences_are_not_collected(shelf: Shelf) -> None:
    prepared = prepared_on(shelf)
    names = ("accept", "accept-encoding")
    await shelf.kept(f"{HOST}/a", b"a", variant=variant_of(names, CIMultiDict()), responded_at=time.time())
    for number in range(3000):
        asked(prepared, "/a", f"Accept: text/x{number}")
    asked(prepared, "/a", f"Accept: {'x' * 5000}")
    [selector] = prepared._selectors.values()
    assert len(selector._known) <= 1024
    assert max(len(accept or b"") for accept, _, _ in selector._known) < 1000


async def test_a_page_is_found_by_language_however_it_is_asked_for(shelf: Shelf) -> None:
    prepared = prepared_on(shelf)
    names = nominated(CIMultiDict({"Vary": "Accept, Pastebin-Language"}))
    assert names is not None
    for language in ("de", "fr"):
        variant = variant_of(names, CIMultiDict({"Accept": "text/html", "Pastebin-Language": language}))
        headers = {"Vary": "Accept, Pastebin-Language", "Cache-Control": "max-age=60"}
        await shelf.kept(
            f"{HOST}/a", language.encode(), variant=variant, responded_at=time.time(), headers=CIMultiDict(headers)
        )
    for accept, body in (("de-AT, en;q=0.5", b"de"), ("nl, fr;q=0.1", b"fr"), ("fr", b"fr")):
        answer = asked(prepared, "/a", "Accept: text/html", f"Accept-Language: {accept}")
        assert isinstance(answer, bytes)
        assert answer.endswith(b"\r\n\r\n" + body)
        assert b"\r\nVary: Accept, Accept-Language\r\n" in answer
    assert asked(prepared, "/a", "Accept: text/html") is None
