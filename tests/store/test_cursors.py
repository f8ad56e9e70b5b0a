"""Who sees to which target: evenly, one at a time, and never with the word of somebody who was away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.store.cursors import Claim, Confirmation, Cursors, assign
from pastebin.store.feed import Feed
from tests.stored import Stored

LEASE = 600.0


@given(st.dictionaries(st.sampled_from("vwxyz"), st.sets(st.sampled_from("abcdefgh"))))
def test_everything_is_assigned_to_somebody_who_can(wants: dict[str, set[str]]) -> None:
    chosen = assign(wants)
    assert chosen.keys() == set().union(*wants.values())
    assert all(target in wants[worker] for target, worker in chosen.items())
    assert assign(dict(reversed(wants.items()))) == chosen


@given(workers=st.integers(1, 7), targets=st.integers(0, 30))
def test_the_burden_is_even(workers: int, targets: int) -> None:
    names = [f"target {number}" for number in range(targets)]
    chosen = list(assign({f"worker {number}": names for number in range(workers)}).values())
    counts = [chosen.count(f"worker {number}") for number in range(workers)]
    assert max(counts) - min(counts) <= 1


async def claims(cursors: Cursors, worker: str, *names: str) -> dict[str, Claim]:
    return {claim.name: claim for claim in await cursors.claim(worker, names, (), LEASE)}


@pytest.fixture
async def cursors(stored: Stored) -> Cursors:
    made = Cursors(stored.database)
    await made.register({"a": "", "b": ""})
    await made.register({"b": "", "local:here": "here"})
    return made


async def lapse(stored: Stored, seconds: float = 0.1) -> None:
    await stored.sql("update feed_targets set lease_until = now() - make_interval(secs => $1)", seconds)


async def test_a_target_belongs_to_one_at_a_time(stored: Stored, cursors: Cursors) -> None:
    held = await claims(cursors, "one", "a", "b")
    assert held.keys() == {"a", "b"}
    assert await claims(cursors, "two", "a", "b") == {}
    assert await cursors.renew("one", held.values(), LEASE) == {"a", "b"}
    await lapse(stored)
    assert await cursors.renew("one", [held["a"]], LEASE) == {"a"}  # late, but nobody was faster
    taken = await claims(cursors, "two", "a", "b")
    assert {name: claim.fence for name, claim in taken.items()} == {"b": held["b"].fence + 1}
    assert await cursors.renew("one", held.values(), LEASE) == {"a"}
    await cursors.release("one", held.values())
    assert (await claims(cursors, "two", "a", "b")).keys() == {"a"}


async def test_who_was_away_for_too_long_moves_nothing(stored: Stored, cursors: Cursors) -> None:
    old = (await claims(cursors, "one", "a"))["a"]
    await lapse(stored)
    new = (await claims(cursors, "two", "a"))["a"]
    epoch = (await Feed(stored.database).advance()).epoch
    mine, theirs = Confirmation("a", new.fence, epoch, 5), Confirmation("a", old.fence, epoch, 9)
    assert await cursors.confirm([theirs, mine]) == [False, True]
    assert await cursors.confirm([theirs]) == [False]
    await cursors.fail(old, "says who was away")
    (report,) = [report for report in await cursors.report() if report.name == "a"]
    assert (report.confirmed, report.holder, report.failure) == (5, "two", None)


async def test_a_cursor_goes_on_within_a_feed_only(cursors: Cursors) -> None:
    claim = (await claims(cursors, "one", "a"))["a"]

    async def confirmed(epoch: str, sequence: int) -> int:
        assert await cursors.confirm([Confirmation("a", claim.fence, epoch, sequence)]) == [True]
        return next(report.confirmed for report in await cursors.report() if report.name == "a")

    assert [await confirmed("one", 7), await confirmed("one", 5), await confirmed("two", 3)] == [7, 7, 3]


async def test_what_nobody_wants_is_taken_after_a_while(stored: Stored, cursors: Cursors) -> None:
    await claims(cursors, "one", "a")
    await lapse(stored)
    assert await cursors.claim("two", (), ["a"], LEASE) == []
    await lapse(stored, 2 * LEASE)
    assert [claim.name for claim in await cursors.claim("two", (), ["a"], LEASE)] == ["a"]


async def test_a_process_takes_at_once_what_an_earlier_one_has_left(cursors: Cursors) -> None:
    await claims(cursors, "here:one", "a", "local:here")
    claimed = await cursors.claim("here:two", ["local:here"], ["a"], LEASE, left=["local:here"])
    assert [(claim.name, claim.fence) for claim in claimed] == [("local:here", 2)]
    await cursors.release("here:two", claimed)
    assert (await cursors.progress([], [], 20.0)).confirmed.keys() == {"a", "b"}  # it ended with its process


async def test_workers_come_and_go(stored: Stored, cursors: Cursors) -> None:
    assert await cursors.appear("one", {"a"}, LEASE) == {"one": ["a"]}
    assert await cursors.appear("two", {"b", "a"}, LEASE) == {"one": ["a"], "two": ["a", "b"]}
    await stored.sql("update feed_workers set seen_until = now() - interval '1 second' where name = 'one'")
    assert (await cursors.appear("two", {"a"}, LEASE)).keys() == {"two"}
    await cursors.disappear("two")
    assert (await cursors.appear("three", (), LEASE)).keys() == {"three"}


async def test_a_target_that_is_gone_is_waited_for_no_more(stored: Stored, cursors: Cursors) -> None:
    await claims(cursors, "one", "a", "local:here")
    assert (await cursors.progress([], [], 20.0)).confirmed.keys() == {"a", "b", "local:here"}
    assert not await cursors.forget("a", 20.0)  # a worker has it
    await stored.sql("update feed_targets set lease_until = now() - interval '10 s' where name = 'local:here'")
    assert not await cursors.forget("local:here", 20.0)  # it may serve without asking
    assert await cursors.forget("b", 20.0)
    assert not await cursors.forget("b", 20.0)
    await lapse(stored, 30.0)
    assert (await cursors.progress([], [], 20.0)).confirmed.keys() == {"a"}
    await cursors.forget_gone(20.0)
    assert [report.name for report in await cursors.report()] == ["a"]


async def test_reports_tell_what_is_missing(stored: Stored, cursors: Cursors) -> None:
    named = await stored.paste(is_named=True)
    await stored.paste()
    await stored.pastes.delete(named)
    head = await Feed(stored.database).advance()
    claim = (await claims(cursors, "one", "a"))["a"]
    await cursors.confirm([Confirmation("a", claim.fence, head.epoch, 1)])
    await cursors.fail(claim, "no answer")
    report = (await cursors.report())[0]
    assert (report.is_held, report.is_current, report.depth, report.failure) == (True, True, 1, "no answer")
    assert report.oldest_seconds is not None
    assert report.failing_seconds is not None
    assert not (await cursors.report())[1].is_held
