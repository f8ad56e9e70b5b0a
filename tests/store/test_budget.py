"""The memory of uploads: never more than there is, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.store.budget import Budget

MIB = 1024**2


@settings(deadline=None, max_examples=60)
@given(
    total=st.integers(8, 64),
    uploads=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(0, 3)), max_size=30),
)
async def test_all_uploads_end_within_the_budget(total: int, uploads: list[tuple[int, int, int]]) -> None:
    """Each fills its parts step by step, some of them slowly, and gives a part back when it is full."""
    budget = Budget(total * MIB)
    peak = 0

    async def upload(parts: int, size: int, turns: int) -> None:
        nonlocal peak
        for _ in range(parts):
            loan = budget.loan(size * MIB)
            try:
                while loan.held < loan.size:
                    await loan.grow(min(MIB, loan.size - loan.held))
                    peak = max(peak, budget.used)
                    for _ in range(turns):
                        await asyncio.sleep(0)
            finally:
                loan.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(upload(*shape) for shape in uploads))
    assert peak <= budget.total
    assert budget.used == 0


async def test_slow_uploads_hold_only_what_has_arrived() -> None:
    """Sixty clients that have sent a little do not keep others from going on."""
    budget = Budget(64 * MIB)
    slow = [budget.loan(8 * MIB) for _ in range(60)]
    for loan in slow:
        await loan.grow(MIB // 2)
    for _ in range(20):
        fast = budget.loan(8 * MIB)
        async with asyncio.timeout(60):
            for _ in range(32):
                await fast.grow(MIB // 4)
        fast.close()


async def test_when_all_is_lent_the_next_in_line_can_complete_its_part() -> None:
    budget = Budget(32 * MIB)
    stuck = [budget.loan(8 * MIB) for _ in range(4)]
    for loan in stuck:
        await loan.grow(6 * MIB)
    async with asyncio.timeout(60):
        await stuck[2].grow(MIB)
    waiting = asyncio.create_task(stuck[0].grow(MIB))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await stuck[2].grow(MIB)
        stuck[2].close()
        await waiting


async def test_who_gives_up_waiting_gets_nothing_and_holds_up_nobody() -> None:
    budget = Budget(8 * MIB)
    first, second, third = (budget.loan(8 * MIB) for _ in range(3))
    await first.grow(8 * MIB)
    tasks = [asyncio.create_task(loan.grow(MIB)) for loan in (second, third)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    first.close()
    first.close()
    await tasks[1]
    assert (second.held, budget.used) == (0, MIB)


async def test_a_part_does_not_outgrow_its_size() -> None:
    loan = Budget(64 * MIB).loan(1000)
    with pytest.raises(ValueError, match="beyond the size"):
        await loan.grow(1001)


def test_a_part_is_never_larger_than_what_can_be_promised() -> None:
    assert Budget(64 * MIB).loan(1024 * MIB).size == 16 * MIB
    assert Budget(8 * MIB).loan(1024 * MIB).size == 8 * MIB
