"""Looking for a fetch that one may join, where many are under way for the same address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn import variants
from pastebin.cdn.flights import Flight, Flights

NAMES = ("accept",)


def headers(number: int) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({"Accept": f"text/x-{number};" + ",a" * 3000}))


def test_long_fields_are_read_once_for_each_request_however_many_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    normal = variants._normal

    def counted(name: str, value: str) -> str:
        read.append(name)
        return normal(name, value)

    monkeypatch.setattr(variants, "_normal", counted)
    variants._digested.cache_clear()
    flights = Flights(lambda _key, _tags, _since: None)
    begun = [flights.begin("key", headers(number), 0) for number in range(200)]
    for number in (250, 251, 252):
        assert flights.find("key", headers(number), NAMES) is None
    assert flights.find("key", headers(199), NAMES) is begun[199]
    assert len(read) <= 200 + 4


def plain(**fields: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()}))


def test_whoever_asks_is_compared_with_few_however_many_there_are() -> None:
    compared: list[int] = []

    def overtaken_at(_key: str, _tags: frozenset[str], born: int) -> int | None:
        compared.append(born)
        return None

    flights = Flights(overtaken_at)
    for number in range(500):
        alone = flights.begin("key", plain(Accept="alone/x"), number, is_shared=False)
        settled = flights.begin("key", plain(Accept=f"settled/x-{number}"), number)
        flights.settle(settled, variants.variant_of(NAMES, settled.headers))
        flights.begin("key", plain(Accept=f"open/x-{number}"), number)
    assert flights.find("key", plain(Accept="alone/x"), NAMES) is None
    assert compared == []
    assert flights.find("key", plain(Accept="settled/x-7"), NAMES) is not None
    assert flights.find("key", plain(Accept="open/x-7"), NAMES) is not None
    assert flights.find("key", plain(Accept="alone/x"), ()) is not None, "who knows no Vary hopes"
    assert len(compared) == 3
    flights.settle(alone, variants.variant_of(NAMES, alone.headers))
    assert flights.find("key", plain(Accept="alone/x"), NAMES) is alone


_REQUESTS = [plain(Accept=accept, Cookie=cookie) for accept in ("a/a", "b/b") for cookie in ("a=1", "b=2")]
_VARIES: list[tuple[str, ...]] = [(), ("accept",), ("accept", "cookie"), ("cookie",)]
_STEPS = st.lists(st.tuples(st.sampled_from(["open", "alone", "settle", "end"]), st.integers(0, 7), st.integers(0, 3)))


@given(steps=_STEPS, vary=st.sampled_from(_VARIES), other=st.sampled_from(_VARIES))
def test_what_is_found_is_what_looking_at_each_would_find(
    steps: list[tuple[str, int, int]], vary: tuple[str, ...], other: tuple[str, ...]
) -> None:
    flights = Flights(lambda _key, _tags, _since: None)
    begun: list[Flight] = []
    for what, number, choice in steps:
        if what in ("open", "alone"):
            begun.append(flights.begin("key", _REQUESTS[choice], 0, is_shared=what == "open"))
        elif begun:
            flight = begun[number % len(begun)]
            if what == "settle":
                flights.settle(flight, variants.variant_of(_VARIES[choice], flight.headers))
            else:
                flights.end(flight)
                begun.remove(flight)
        for names in (vary, other):
            for request in _REQUESTS:
                fitting = [flight for flight in begun if flight.is_shared and _suits(flight, request, names)]
                found = flights.find("key", request, names)
                assert found in fitting if fitting else found is None
    assert ("key" in flights) is bool(begun)
    for flight in begun:
        flights.end(flight)
    assert "key" not in flights


def _suits(flight: Flight, request: CIMultiDictProxy[str], names: tuple[str, ...]) -> bool:
    if flight.variant is not None:
        return flight.suits(request)
    return variants.variant_of(names, request) == variants.variant_of(names, flight.headers)
