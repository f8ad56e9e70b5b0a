"""How changes become batches: in order, each key once, never more than a target takes, nothing lost between two."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pastebin import surrogates
from pastebin.cdn.parcels import cut, flush, heartbeat
from pastebin.positions import Position
from pastebin.store.feed import Entry, Head, Stretch

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(lsn: int) -> Position:
    return Position(1, 1, lsn)


def head(sequence: int) -> Head:
    return Head("epoch", sequence, sequence, 1, 7.0, at(900), at(800))


def entry(sequence: int, slug: str, kind: str = "revise", payload: dict[str, object] | None = None) -> Entry:
    return Entry(sequence, kind, slug, payload, at(sequence * 10), NOW)


def stretch(*entries: Entry, until: int) -> Stretch:
    return Stretch("epoch", 1, until, entries)


slug_lists = st.lists(st.sampled_from("abcdefg"), max_size=40)


@given(slugs=slug_lists, keys_per_call=st.integers(1, 5), gap=st.integers(1, 3))
def test_everything_is_told_once_and_in_order(slugs: list[str], keys_per_call: int, gap: int) -> None:
    entries = [entry(number * gap, slug) for number, slug in enumerate(slugs, 1)]
    until = len(slugs) * gap + 2
    parcels = cut(stretch(*entries, until=until), head(until), 0, keys_per_call=keys_per_call, soft=False)
    previous = 0
    for parcel in parcels:
        batch = parcel.batch
        inside = [one for one in entries if previous < one.sequence <= batch.sequence]
        assert batch.previous == previous
        assert set(batch.keys) == {surrogates.of_paste(one.slug) for one in inside}
        assert len(batch.keys) == len(set(batch.keys)) <= keys_per_call
        assert batch.position == max((one.position for one in inside), key=lambda position: position.lsn)
        previous = batch.sequence
    assert not slugs or previous == until
    assert [parcel.batch.as_of for parcel in parcels] == [None] * (len(parcels) - 1) + [7.0] * bool(parcels)


def test_a_batch_that_is_not_the_last_word_says_so() -> None:
    (parcel,) = cut(stretch(entry(1, "a"), until=1), head(5), 0, keys_per_call=10, soft=False)
    assert (parcel.batch.as_of, parcel.batch.complete) == (None, None)
    (parcel,) = cut(stretch(entry(1, "a"), until=5), head(5), 0, keys_per_call=10, soft=False)
    assert (parcel.batch.as_of, parcel.batch.complete) == (7.0, at(800))


def test_what_ended_is_never_served_stale() -> None:
    def is_soft(*kinds: str) -> bool:
        entries = [entry(number, "a", kind) for number, kind in enumerate(kinds, 1)]
        (parcel,) = cut(stretch(*entries, until=9), head(9), 0, keys_per_call=10, soft=True)
        return parcel.batch.soft

    assert is_soft("revise", "create")
    assert not any(is_soft("revise", kind) for kind in ("delete", "burn", "expire", "take-down"))


def test_pushes_and_reports_purge_nothing() -> None:
    entries = [entry(1, "a", "push", {"urls": ["http://x/a", "http://x/a"]}), entry(2, "b", "report"), entry(3, "c")]
    (parcel,) = cut(stretch(*entries, until=3), head(3), 0, keys_per_call=1, soft=False)
    assert (parcel.batch.keys, parcel.pushes) == (("p-c",), ("http://x/a",))
    (parcel,) = cut(stretch(*entries[:2], until=2), head(3), 0, keys_per_call=1, soft=False)
    assert parcel.batch.is_heartbeat
    assert parcel.oldest is None


def test_flush_and_heartbeat_reach_to_the_head() -> None:
    assert (flush(head(7)).batch.flush, flush(head(7)).batch.sequence, flush(head(7)).batch.as_of) == (True, 7, 7.0)
    beat = heartbeat(head(7), 3).batch
    assert beat.is_heartbeat
    assert (beat.previous, beat.sequence) == (3, 7)
