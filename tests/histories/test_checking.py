"""The checker finds each kind of history that cannot have been, and nothing in those that can."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.histories.checking import EXPIRY_SECONDS, counted, created_once, share, violations
from tests.histories.operations import (
    DAMAGED,
    GONE,
    SEALED,
    SMALLEST_BYTES,
    History,
    Kind,
    Operation,
    Paste,
    body,
    version_in,
    version_on,
)


def did(kind: Kind, invoked: float, ended: float, value: int | None = None, **more: Any) -> Operation:
    options = {"client": "a", "region": "us", "key": "k", "outcome": "ok", "slug": "s", **more}
    return Operation(kind=kind, invoked=invoked, ended=ended, value=value, **options)


CREATED = did("create", 0, 1, 0)


def rules(*operations: Operation, **paste: Any) -> list[str]:
    return [one.rule for one in violations(History({"k": Paste("k", **paste)}, list(operations)))]


FINE: dict[str, tuple[list[Operation], dict[str, Any]]] = {
    "a read while it is made": ([CREATED, did("read", 0.5, 0.6, 0)], {}),
    "either text while it is changed": (
        [CREATED, did("revise", 2, 4, 1), did("read", 2.5, 2.6, 1), did("read", 2.7, 2.8, 0), did("read", 5, 6, 1)],
        {},
    ),
    "a change that may have happened": (
        [CREATED, did("revise", 2, 4, 1, outcome="info"), did("read", 9, 10, 0), did("read", 11, 12, 1)],
        {},
    ),
    "a cache that was not told, within its lease": (
        [CREATED, did("delete", 2, 3, holds_at=18), did("read", 17, 17.5, 0), did("read", 18.5, 19, GONE)],
        {},
    ),
    "a deletion that may have happened": (
        [CREATED, did("delete", 2, 4, outcome="info"), did("read", 9, 10, GONE), did("read", 11, 12, 0)],
        {},
    ),
    "sealed, then read once": (
        [
            CREATED,
            did("read", 2, 3, SEALED),
            did("reveal", 4, 5, 0),
            did("reveal", 4, 5, GONE),
            did("read", 6, 7, GONE),
        ],
        {"max_reads": 1},
    ),
    "an answer that was lost has used it up": (
        [CREATED, did("reveal", 2, 4, outcome="info"), did("reveal", 5, 6, GONE)],
        {"max_reads": 1},
    ),
    "expired": ([CREATED, did("read", 4, 5, 0), did("read", 30, 31, GONE)], {"expires_at": 20.0}),
    "two sessions, one of them behind": (
        [CREATED, did("revise", 2, 9, 1), did("read", 3, 4, 1, session="a"), did("read", 5, 6, 0, session="b")],
        {},
    ),
}

BROKEN: dict[str, tuple[list[Operation], dict[str, Any], str]] = {
    "an acknowledged paste is lost": ([CREATED, did("read", 2, 3, GONE)], {}, "kept"),
    "lost to a reveal": ([CREATED, did("reveal", 2, 3, GONE)], {"max_reads": 1}, "kept"),
    "gone after fewer reads": ([CREATED, did("reveal", 2, 3, 0), did("read", 4, 5, GONE)], {"max_reads": 2}, "kept"),
    "gone before it expires": ([CREATED, did("read", 5, 6, GONE)], {"expires_at": 20.0}, "kept"),
    "everybody is asked for a reveal": ([CREATED, did("read", 2, 3, SEALED)], {}, "kept"),
    "an old text": ([CREATED, did("revise", 2, 3, 1), did("read", 4, 5, 0)], {}, "latest"),
    "an old text in spite of a later info": (
        [CREATED, did("revise", 2, 3, 1), did("revise", 4, 5, 2, outcome="info"), did("read", 6, 7, 0)],
        {},
        "latest",
    ),
    "the body after the deletion": ([CREATED, did("delete", 2, 3), did("read", 4, 5, 0)], {}, "ended"),
    "the body after the lease": ([CREATED, did("delete", 2, 3, holds_at=18), did("read", 19, 20, 0)], {}, "ended"),
    "a reveal after the deletion": (
        [CREATED, did("delete", 2, 3), did("reveal", 4, 5, 0)],
        {"has_password": True},
        "ended",
    ),
    "the body after expiry": ([CREATED, did("read", 21 + EXPIRY_SECONDS, 30, 0)], {"expires_at": 20.0}, "ended"),
    "two burn at once": ([CREATED, did("reveal", 2, 4, 0), did("reveal", 3, 5, 0)], {"max_reads": 1}, "read-limit"),
    "one read too many": (
        [CREATED, did("reveal", 2, 8, 0), did("reveal", 3, 8, 0), did("reveal", 4, 8, 0)],
        {"max_reads": 2},
        "read-limit",
    ),
    "a GET gives what is sealed": ([CREATED, did("read", 2, 3, 0)], {"has_password": True}, "sealed"),
    "a session does not see its own change": (
        [CREATED, did("revise", 2, 3, 1, session="a", holds_at=18), did("read", 4, 5, 0, session="a")],
        {},
        "session",
    ),
    "a session goes back": (
        [CREATED, did("revise", 2, 9, 1), did("read", 3, 4, 1, session="a"), did("read", 5, 6, 0, session="a")],
        {},
        "session",
    ),
    "what is gone comes back to a session": (
        [CREATED, did("delete", 2, 9), did("read", 3, 4, GONE, session="a"), did("read", 5, 6, 0, session="a")],
        {},
        "session",
    ),
    "half a body": ([CREATED, did("read", 2, 3, DAMAGED)], {}, "whole-bodies"),
    "a text that nobody wrote": ([CREATED, did("read", 2, 3, 7)], {}, "whole-bodies"),
    "a text from the future": ([CREATED, did("read", 2, 3, 1), did("revise", 4, 5, 1)], {}, "whole-bodies"),
    "two pastes for one key": ([CREATED, did("create", 2, 3, 0, slug="t")], {}, "created-once"),
}


@pytest.mark.parametrize("name", FINE)
def test_what_can_have_been(name: str) -> None:
    operations, paste = FINE[name]
    assert rules(*operations, **paste) == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_have_been(name: str) -> None:
    operations, paste, rule = BROKEN[name]
    assert rules(*operations, **paste) == [rule]


def test_a_name_has_an_address() -> None:
    fine = did("resolve", 0, 1, key="")
    wrong = did("resolve", 1, 2, key="", outcome="fail", how="SERVFAIL")
    assert [one.operations for one in violations(History({}, [fine, wrong]))] == [(wrong,)]


def test_a_key_makes_one_row() -> None:
    history = History({"k": Paste("k")}, [CREATED])
    assert created_once(history, {"k": 1, "others": 2}) == []
    assert [one.rule for one in created_once(history, {"k": 2})] == ["created-once"]


@pytest.mark.parametrize(("views", "is_right"), [(0, False), (1, True), (2, True), (3, False)])
def test_counters_lie_between_what_was_answered_and_what_was_asked(views: int, is_right: bool) -> None:
    lost = did("read", 4, 5, 0, how="killed")
    history = History({"k": Paste("k")}, [CREATED, did("read", 2, 3, 0), lost, did("read", 4, 5, outcome="info")])
    found = counted(history, {"k": views}, lambda one: one.how != "killed", {"k": 2})
    assert [one.rule for one in found] == [] if is_right else ["counters"]


def test_the_share_of_what_was_answered() -> None:
    assert share([CREATED, did("read", 0, 1, outcome="fail")]) == 0.5
    assert share([]) == 0


@st.composite
def lives(draw: st.DrawFn) -> History:
    """A paste on one honest server: everything takes effect at one moment while somebody waits for it."""
    chance = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311  (no secret)
    most = draw(st.sampled_from([None, None, 1, 3]))
    paste = Paste("k", max_reads=most)
    effects: list[tuple[float, Operation]] = []
    now = 0.0
    for version in range(draw(st.integers(1, 5))):
        begun, done, now = now, now + chance.random(), now + 1
        unclear = version > 0 and chance.random() < 0.3
        write = did("create" if version == 0 else "revise", begun, now, version, outcome="info" if unclear else "ok")
        effects.append((done, write))
    if draw(st.booleans()):
        effects.append((now + 0.5, did("delete", now, now + 1)))
    looks = []
    for number in range(draw(st.integers(0, 30))):
        begun = 1 + chance.random() * (now + 1)
        ended = begun + chance.random() * 2
        looks.append((chance.uniform(begun, ended), begun, ended, f"client-{number}"))
    history = History({"k": paste}, [write for _, write in effects])
    given = 0
    for moment, begun, ended, client in sorted(looks):
        known = [write for at, write in effects if at <= moment and not (write.outcome == "info" and hash(at) % 2)]
        is_over = known[-1].kind == "delete" or (most is not None and given >= most)
        kind: Kind = "read" if most is None else "reveal"
        given += kind == "reveal" and not is_over
        value = GONE if is_over else known[-1].value
        history.operations.append(did(kind, begun, ended, value, client=client, session=client))
    return history


@given(lives())
def test_an_honest_server_is_never_accused(history: History) -> None:
    assert violations(history) == []


@st.composite
def anything(draw: st.DrawFn) -> History:
    """Operations that have nothing to do with each other."""
    operations = [dataclasses.replace(CREATED)]
    for _ in range(draw(st.integers(0, 12))):
        begun = draw(st.integers(0, 20))
        ended = begun + draw(st.integers(1, 6))
        kind: Kind = draw(st.sampled_from(["read", "read", "revise", "delete"]))
        outcome = draw(st.sampled_from(["ok", "ok", "info", "fail"]))
        value = draw(st.sampled_from([0, 1, 2, GONE])) if kind == "read" else draw(st.integers(1, 2))
        operations.append(did(kind, begun, ended, None if kind == "delete" else value, outcome=outcome))
    return History({"k": Paste("k")}, operations)


def _rank(operation: Operation) -> float:
    return math.inf if operation.kind == "delete" or operation.value == GONE else float(operation.value or 0)


def _is_wrong(read: Operation, history: History) -> bool:
    """The rules once more, by looking at every pair."""
    writes = [one for one in history.operations if one.kind != "read" and one.outcome != "fail"]
    known = [_rank(one) for one in writes if one.outcome == "ok" and one.ended < read.invoked]
    begun = [_rank(one) for one in writes if one.invoked < read.ended]
    return not max(known, default=0) <= _rank(read) <= max(begun, default=-1)


@given(anything())
def test_the_checker_agrees_with_one_that_is_slow_and_simple(history: History) -> None:
    reads = [one for one in history.operations if one.kind == "read" and one.outcome == "ok"]
    accused = {one.operations[-1] for one in violations(history)}
    assert accused == {read for read in reads if _is_wrong(read, history)}


@given(st.integers(0, 3), st.integers(SMALLEST_BYTES, 5000), st.integers(0, 5000), st.booleans())
def test_a_body_says_what_it_is_and_half_of_it_says_nothing(version: int, size: int, at: int, is_cut: bool) -> None:
    whole = body("k-1", version, size)
    at %= len(whole)
    assert len(whole) == size
    assert version_in("k-1", whole) == version
    assert version_in("k-2", whole) == DAMAGED
    harmed = whole[:at] if is_cut else whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    assert version_in("k-1", harmed) == DAMAGED


def test_a_page_shows_a_version_from_its_first_line_to_its_last() -> None:
    page = f"<html><pre>{body('k', 3, 500).decode()}</pre></html>"
    assert version_on("k", page) == 3
    assert version_on("k", page.replace("end k 3", "end k 2")) == DAMAGED
    assert version_on("k", page.removesuffix("</html>")) == DAMAGED
    assert version_on("other", page) == DAMAGED


def test_a_history_can_be_kept(tmp_path: Path) -> None:
    history = History({"k": Paste("k", max_reads=2)}, [CREATED, did("read", 2, 3, 0, session="a")])
    history.save(tmp_path / "history.jsonl")
    assert History.load(tmp_path / "history.jsonl") == history
