"""What is read of a batch, whatever stands in it: everything that can be kept, and words about the rest."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.analytics.checking import Checked, Window, check, unpack
from pastebin.errors import UnreadableRequest
from pastebin.visits import BATCH_BYTES, Batch
from tests.analytics.oracle import MIDNIGHT, change, milliseconds, visit

NOW = MIDNIGHT + timedelta(hours=12)
WINDOW = Window(milliseconds(NOW - timedelta(days=2)), milliseconds(NOW), milliseconds(NOW + timedelta(minutes=5)))
TODAY = WINDOW.now_ms // 86_400_000
GOOD = visit(1, NOW - timedelta(minutes=1), visitor=7, visitor_before=8)


def row(**changed: Any) -> list[Any]:
    """A visit as JSON has it; `changed` may be anything at all."""
    values = msgspec.structs.asdict(GOOD) | {"number": 2}
    return list((values | changed).values())


def checked(*visits: Any, changes: tuple[Any, ...] = (), **more: Any) -> Checked:
    text = msgspec.json.encode({"id": "b:1", "node": "n", "visits": visits, "changes": changes, **more})
    return check(text, WINDOW)


def test_a_good_batch_is_read_as_it_was_written() -> None:
    batch = Batch("b:1", "n", [GOOD, visit(2, NOW, referrer="é.example", file='a"b\\c')], [change(1, NOW)])
    assert check(msgspec.json.encode(batch), WINDOW) == Checked(batch, Counter(), Counter())


def test_who_is_nobody_needs_no_period() -> None:
    nobody = visit(1, NOW, period=0, visitor=0)
    assert checked(nobody) == Checked(Batch("b:1", "n", [nobody]), Counter(), Counter())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"at_ms": WINDOW.since_ms - 1}, "late"),
        ({"at_ms": WINDOW.until_ms + 1}, "future"),
        ({"kind": "telepathy"}, "kind"),
        ({"cache": "HIT"}, "cache"),
        ({"slug": ""}, "slug"),
        ({"slug": "s" * 65}, "slug"),
        ({"slug": "a\0b"}, "slug"),
        ({"number": -1}, "number"),
        ({"number": 2**63}, "number"),
        ({"status": 99}, "status"),
        ({"is_bot": "yes"}, "is_bot"),
        ({"bytes": "many"}, "bytes"),
        ({"bytes": None}, "bytes"),
        ({"at_ms": 1.5}, "at_ms"),
        ({"visitor": [1]}, "visitor"),
        ({"unknown": 1}, "shape"),
    ],
)
def test_what_cannot_be_is_left_out_and_the_rest_is_kept(wrong: dict[str, Any], reason: str) -> None:
    found = checked(GOOD, row(**wrong), changes=(change(1, NOW),))
    assert (found.batch.visits, len(found.batch.changes)) == ([GOOD], 1)
    assert (found.rejected, found.clamped) == (Counter({reason: 1}), Counter())


@pytest.mark.parametrize(
    ("odd", "reason", "kept"),
    [
        ({"referrer": "x" * 1_000_000}, "referrer", {"referrer": ""}),
        ({"country": "ISR"}, "country", {"country": ""}),
        ({"agent": "A" * 100}, "agent", {"agent": "A" * 64}),
        ({"referrer": "a\x00b\x1b[31m\x7f\x9fc\u2028"}, "referrer", {"referrer": "ab[31mc"}),
        ({"bytes": 2**70}, "bytes", {"bytes": 2**40}),
        ({"bytes": -5}, "bytes", {"bytes": 0}),
        ({"weight": 0}, "weight", {"weight": 1}),
        ({"at_ms": WINDOW.until_ms}, "future", {"at_ms": WINDOW.now_ms}),
        (
            {"period": 3, "visitor": 5},
            "period",
            {"visitor": 0, "visitor_before": 0, "period": WINDOW.now_ms // 86_400_000},
        ),
    ],
)
def test_what_can_be_put_right_is(odd: dict[str, Any], reason: str, kept: dict[str, Any]) -> None:
    found = checked(GOOD, row(**odd))
    assert found.batch.visits == [GOOD, msgspec.structs.replace(GOOD, number=2, **kept)]
    assert (found.rejected, found.clamped) == (Counter(), Counter({reason: 1}))


def test_what_is_no_event_is_left_out() -> None:
    found = checked(GOOD, None, [], {}, "visit", 7, changes=([1, 2], [1, 0, "eaten", "abc", 1, ""], change(1, NOW)))
    assert (found.batch.visits, len(found.batch.changes)) == ([GOOD], 1)
    assert found.rejected == Counter({"shape": 6, "kind": 1})


def test_unknown_members_of_a_batch_do_no_harm() -> None:
    assert checked(GOOD, flavour="new").batch.visits == [GOOD]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"id":"b","node":"n","visits":[',
        b'{"id":"b","node":"","visits":[]}',
        b'{"id":"","node":"n"}',
        b'{"id":"b b","node":"n"}',
        b'{"id":"b","node":"n\\u0000"}',
        b'{"id":"b","node":"n","visits":7}',
        b'{"id":"b","node":"n","visits":["\xff"]}',
        b"[" * 100_000,
        b'{"id":"b","node":"n","visits":' + b"[" * 100_000,
    ],
)
def test_what_is_no_batch_is_refused_for_good(text: bytes) -> None:
    with pytest.raises(UnreadableRequest):
        check(text, WINDOW)


def test_packing_is_undone_within_bounds() -> None:
    text = msgspec.json.encode(Batch("b", "n"))
    packed = gzip.compress(text)
    assert unpack(packed) == text
    for broken in (b"", text, packed[:-1], packed[:9], packed + b"x", packed + packed, b"\x1f\x8b" + b"\0" * 50):
        with pytest.raises(UnreadableRequest):
            unpack(broken)
    with pytest.raises(UnreadableRequest, match="more than"):
        unpack(gzip.compress(bytes(BATCH_BYTES + 1)))


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=9) | st.just([[{}]])


@given(st.lists(st.dictionaries(st.sampled_from([*GOOD.__struct_fields__]), ANYTHING, max_size=3), max_size=4))
def test_whatever_it_is_the_rest_is_kept(changed: list[dict[str, Any]]) -> None:
    """And what is kept has the form that it says it has."""
    found = checked(*(row(**one) for one in changed), GOOD)
    assert found.batch.visits[-1] == GOOD
    assert len(found.batch.visits) + found.rejected.total() == len(changed) + 1
    for kept in found.batch.visits:
        assert msgspec.json.decode(msgspec.json.encode(kept), type=type(GOOD)) == kept
        assert WINDOW.since_ms <= kept.at_ms <= WINDOW.now_ms
