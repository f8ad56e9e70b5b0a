"""The edge's side of the feed: messages may be repeated, late, lost or overtaken; what the edge believes stays true."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cdn.feed import Feed, Message
from pastebin.cdn.targets import Batch, TargetBehind
from pastebin.cdn.targets.edge import PURGES, PUSHES, EdgeTarget, LocalCarrier
from pastebin.errors import UnreadableRequest
from pastebin.positions import Position
from tests.cdn.receivers import Remembered, feed


class Time:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def message(previous: int, sequence: int, *keys: str, **members: Any) -> Message:
    return Message(epoch="one", previous=previous, sequence=sequence, keys=list(keys), **members)


async def started(remembered: Remembered | None = None, **options: object) -> Feed:
    receiving = feed(remembered, **options)
    await receiving.receive(message(0, 10, flush=True))
    return receiving


async def test_a_new_edge_is_behind_until_it_is_flushed() -> None:
    remembered = Remembered()
    receiving = feed(remembered)
    reply = await receiving.receive(message(3, 4, "p-a"))
    assert (reply["behind"], reply["epoch"], reply["sequence"]) == (True, "", 0)
    assert remembered.purges == ["p-a"]  # which does no harm
    reply = await receiving.receive(message(0, 4, flush=True))
    assert (reply["behind"], reply["epoch"], reply["sequence"], remembered.flushes) == (False, "one", 4, 1)
    assert remembered.noted == ("one", 4)


async def test_a_gap_is_noticed_and_closed() -> None:
    receiving = await started()
    assert (await receiving.receive(message(11, 12, "p-b")))["behind"]
    assert receiving.sequence == 10
    assert not (await receiving.receive(message(10, 11, "p-a")))["behind"]
    assert not (await receiving.receive(message(11, 12, "p-b")))["behind"]
    assert receiving.sequence == 12


async def test_what_is_fetched_after_a_restart_is_as_new_as_what_was_told_before_it() -> None:
    remembered = Remembered()
    receiving = feed(remembered, noted=("one", 10))
    assert remembered.required == ["primary"]
    assert (await receiving.receive(message(12, 13, "p-a", position=(1, 1, 80))))["behind"]
    assert not (await receiving.receive(message(10, 11)))["behind"]
    await receiving.receive(message(7, 9, "p-a", position=(1, 1, 60)))  # it took its time
    assert remembered.required == ["primary"]
    await receiving.receive(message(11, 14, position=(1, 1, 90), complete=(1, 1, 70)))
    await receiving.receive(message(14, 15, "p-b", position=(1, 1, 95)))
    assert remembered.required == ["primary", Position(1, 1, 90)]


async def test_another_feed_means_another_history() -> None:
    remembered = Remembered()
    receiving = await started(remembered)
    await receiving.receive(message(10, 20, "p-a", complete=(1, 1, 50)))
    reply = await receiving.receive(Message(epoch="two", previous=5, sequence=6, keys=["p-b"]))
    assert (reply["behind"], receiving.epoch, receiving.sequence) == (True, "one", 20)
    await receiving.receive(Message(epoch="two", sequence=6, flush=True))
    assert (receiving.epoch, receiving.sequence, receiving.position) == ("two", 6, None)
    assert remembered.flushes == 2


@given(order=st.permutations(range(6)), repeats=st.lists(st.integers(0, 5), max_size=6))
def test_order_and_repetition_change_nothing_in_the_end(order: list[int], repeats: list[int]) -> None:
    """Whoever is behind is told again from where it is, until it is not."""
    messages = [message(10 + number, 11 + number, f"p-{number}", complete=(1, 1, number)) for number in range(6)]

    async def play() -> tuple[Feed, Remembered]:
        remembered = Remembered()
        receiving = await started(remembered)
        for number in (*order, *repeats):
            reply = await receiving.receive(messages[number])
            while reply["behind"]:
                reply = await receiving.receive(messages[reply["sequence"] - 10])
        for one in messages[receiving.sequence - 10 :]:
            await receiving.receive(one)
        return receiving, remembered

    receiving, remembered = asyncio.run(play())
    assert receiving.sequence == 16
    assert set(remembered.purges) == {f"p-{number}" for number in range(6)}
    assert receiving.position == Position(1, 1, 5)


async def test_the_lease_counts_from_what_the_database_said() -> None:
    clock = Time()
    receiving = feed(lease_seconds=15.0, now=clock)
    target = EdgeTarget("here", LocalCarrier(lambda: receiving), "node")
    loop = asyncio.get_running_loop()
    assert not receiving.is_held(clock.now)
    await target.purge(Batch("one", 0, 5, flush=True, as_of=loop.time()))
    assert not receiving.is_held(clock.now)  # it may have been on its way for long
    asked_at = loop.time()
    clock.now += 10
    await target.purge(Batch("one", 5, 5, as_of=asked_at))
    assert receiving.heard_at == 100.0
    assert receiving.is_held(114.9)
    assert not receiving.is_held(115.1)
    await target.purge(Batch("one", 5, 6, ("p-a",)))  # part of a backlog: there is more that it does not know
    assert receiving.heard_at == 100.0
    await target.purge(Batch("one", 6, 6, as_of=loop.time()))
    assert receiving.heard_at == 110.0


async def test_who_lacks_something_has_no_lease() -> None:
    receiving = feed()
    target = EdgeTarget("here", LocalCarrier(lambda: receiving), "node")
    loop = asyncio.get_running_loop()
    for _ in range(3):
        with pytest.raises(TargetBehind) as caught:
            await target.purge(Batch("one", 5, 6, ("p-a",), as_of=loop.time()))
    assert (caught.value.epoch, caught.value.sequence) == ("", 0)
    assert receiving.heard_at == -math.inf


async def test_the_clock_of_another_life_says_nothing() -> None:
    receiving, other = await started(), await started()
    reply = await other.receive(message(10, 10))
    await receiving.receive(message(10, 10, since=reply["clock"]))
    assert receiving.heard_at == -math.inf


@pytest.mark.parametrize("shown", ["", "abc", "nan", "inf", "1:2", "\0"])
async def test_a_clock_that_cannot_be_read_was_not_heard(shown: str) -> None:
    receiving = await started(now=Time())
    reply = await receiving.receive(message(10, 10))
    life, _, _ = reply["clock"].partition(":")
    for since in (f"{life}:{shown}", shown, ":"):
        answer = await receiving.carry(
            PURGES, {"epoch": "one", "previous": 10, "sequence": 11, "keys": ["p-a"], "since": since}
        )
        assert (answer["behind"], answer["sequence"]) == (False, 11)
    assert not receiving.is_held(0.0)


async def test_without_a_lease_it_always_trusts() -> None:
    assert feed(lease_seconds=0.0).is_held(1e9)


async def test_an_edge_goes_on_where_an_earlier_process_was() -> None:
    remembered = Remembered()
    receiving = feed(remembered, noted=("one", 40))
    assert not (await receiving.receive(message(40, 41, "p-a")))["behind"]
    assert (receiving.sequence, remembered.flushes) == (41, 0)


async def test_positions_come_along() -> None:
    remembered = Remembered()
    receiving = await started(remembered)
    await receiving.receive(message(10, 11, "p-a", position=(7, 2, 2**64 - 1), complete=(7, 2, 30)))
    await receiving.receive(message(11, 12, "p-b", complete=(7, 2, 20)))
    assert remembered.positions == {"p-a": Position(7, 2, 2**64 - 1), "p-b": None}
    assert receiving.position == Position(7, 2, 30)
    await receiving.receive(message(12, 13, complete=(7, 3, 20)))
    assert receiving.position == Position(7, 3, 20)


async def test_addresses_are_dropped_and_warmed_beside_the_feed() -> None:
    dropped: list[str] = []
    warmed: list[str] = []
    receiving = await started(drop=dropped.append, warm=warmed.extend)
    target = EdgeTarget("here", LocalCarrier(lambda: receiving), "node")
    await target.purge_urls(["http://x/a"])
    await target.push(["http://x/b"])
    assert (dropped, warmed, receiving.sequence) == (["http://x/a"], ["http://x/b"], 10)
    assert (await receiving.state())["sequence"] == 10


@pytest.mark.parametrize(
    "strange",
    [
        {"keys": "p-a"},
        {"keys": [1]},
        {"sequence": "1"},
        {"sequence": 1.5},
        {"position": [1, 2]},
        {"position": [1, 2, 2**64]},
        {"complete": [-1, 0, 0]},
        {"epoch": None},
        {"epoch": "x" * 65},
    ],
)
async def test_what_is_no_message_is_refused_and_changes_nothing(strange: dict[str, Any]) -> None:
    remembered = Remembered()
    receiving = await started(remembered)
    for path in (PURGES, PUSHES):
        with pytest.raises(UnreadableRequest):
            await receiving.carry(path, {"epoch": "one", "previous": 10, "sequence": 11, "keys": ["p-a"], **strange})
    assert (remembered.purges, receiving.sequence) == ([], 10)
