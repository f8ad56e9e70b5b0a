"""What a target refuses: kept, tried again, and decided by somebody at last."""

from __future__ import annotations

import pytest

from pastebin.store.cursors import Cursors
from pastebin.store.dead_letters import DeadLetters, Letter
from tests.stored import Stored


@pytest.fixture
async def letters(stored: Stored) -> DeadLetters:
    cursors = Cursors(stored.database)
    await cursors.register({"a": "", "b": ""})
    await cursors.claim("one", ["a", "b"], (), 600.0)
    return DeadLetters(stored.database)


async def put(letters: DeadLetters, target: str = "a", key: str = "p-x", fence: int = 1) -> bool:
    return await letters.put_aside(target, fence, [key], [], sequence=7, error="no", delay_seconds=0.0)


async def only(letters: DeadLetters, target: str = "a") -> Letter:
    (letter,) = await letters.list(target, waiting=True)
    return letter


async def test_what_is_refused_too_often_dies_and_can_be_revived(letters: DeadLetters) -> None:
    assert await put(letters)
    (letter,) = await letters.due("a")
    assert (letter.keys, letter.sequence, letter.state, letter.attempts) == (("p-x",), 7, "waiting", 1)
    assert not await letters.again(letter, ["p-x"], [], "still not", 0.0, 3)
    assert await letters.again(await only(letters), ["p-x"], [], "never", 0.0, 3)
    dead = await only(letters)
    assert (dead.state, dead.attempts, dead.error) == ("dead", 3, "never")
    assert await letters.due("a") == []
    assert await letters.count() == {"a": 1}
    assert await letters.requeue([dead.id]) == 1
    assert ((await only(letters)).state, (await only(letters)).attempts) == ("waiting", 0)
    await letters.done(await only(letters))
    assert await letters.list(waiting=True) == []


async def test_nothing_is_due_before_its_time(letters: DeadLetters) -> None:
    await put(letters)
    await letters.delay([await only(letters)], 60.0)
    assert await letters.due("a") == []
    assert (await only(letters)).attempts == 1


async def test_who_was_away_puts_nothing_aside(letters: DeadLetters) -> None:
    assert not await put(letters, fence=0)
    assert await letters.list(waiting=True) == []


async def test_decisions_are_about_the_dead_of_one_target(letters: DeadLetters) -> None:
    for target in ("a", "a", "b"):
        await put(letters, target)
    for letter in await letters.list(waiting=True):
        await letters.again(letter, letter.keys, [], "no", 0.0, 1)
    await put(letters, "a", "p-waiting")
    assert [letter.target for letter in await letters.list()] == ["a", "a", "b"]
    assert await letters.discard(None, "b") == 1
    first = (await letters.list("a"))[0]
    assert await letters.discard([first.id], "b") == 0
    assert await letters.discard([first.id]) == 1
    assert await letters.requeue() == 1
    assert await letters.count() == {}
    assert len(await letters.list(waiting=True)) == 2


async def test_what_nobody_decides_about_goes_in_the_end(stored: Stored, letters: DeadLetters) -> None:
    for _ in range(3):
        await put(letters)
    for letter in await letters.list(waiting=True):
        await letters.again(letter, letter.keys, [], "no", 0.0, 1)
    await stored.sql("update dead_letters set created_at = now() - interval '31 days' where id = 1")
    assert sum((await letters.forget()).values()) == 1
    assert len(await letters.list()) == 2


async def test_of_each_target_and_state_the_oldest_are_dropped_and_counted(stored: Stored) -> None:
    letters = DeadLetters(stored.database)
    await stored.sql(
        "insert into dead_letters (target, state, keys, sequence, error)"
        " select target, state, '{p-x}', n, 'no' from generate_series(1, 4) n,"
        " (values ('a', 'waiting'), ('a', 'dead'), ('b', 'waiting')) as t (target, state)"
    )
    await stored.sql("delete from dead_letters where target = 'b' and sequence < 3")
    assert await letters.forget(3) == {"a": 2}
    left = await letters.list(waiting=True)
    assert sorted((letter.target, letter.state, letter.sequence) for letter in left) == [
        *(("a", state, sequence) for state in ("dead", "waiting") for sequence in (2, 3, 4)),
        ("b", "waiting", 3),
        ("b", "waiting", 4),
    ]
    assert await letters.forget(3) == {}
