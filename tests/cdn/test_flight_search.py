"""Looking for a fetch that one may join, where many are under way for the same address."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn import variants
from pastebin.cdn.flights import Flights

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
