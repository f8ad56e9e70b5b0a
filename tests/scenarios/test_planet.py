"""The whole diagram while it breaks: what was acknowledged stays, what was ended is gone, and it all comes back.

`--planet-seconds` and `--planet-seed` say how long and how; the same seed makes the same schedule of faults.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster import until
from tests.histories.checking import Violation, share
from tests.histories.faults import Fault, schedule
from tests.lab import clocks
from tests.lab.lab import Lab
from tests.lab.plan import Plan
from tests.nodes import directory
from tests.scenarios import aftermath
from tests.scenarios.planet import READY_SECONDS, Planet, planet

# as long as it is told to: the lab and the faults have limits of their own
pytestmark = [pytest.mark.scenario, pytest.mark.timeout(0)]

_WARM_SECONDS = 12.0
_CALM_SECONDS = 8.0
_BETWEEN_SECONDS = 2.0
_LEASE_SECONDS = 6.0
_PARTITIONS = [
    Fault(1.0, 14.0, "cut", "us", "eu"),
    Fault(17.0, 12.0, "cut one way", "us", "eu"),
    Fault(31.0, 7.0, "cut one way", "eu", "us"),
    Fault(40.0, 6.0, "cut", "eu", "common"),
]


@pytest.fixture(scope="module")
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    regions = tuple(request.config.getoption("planet_regions").split(","))
    settings = {
        "*": {
            "sweeping.interval_seconds": 5.0,
            "sweeping.reconcile_seconds": 20.0,
            "edge.lease_seconds": _LEASE_SECONDS,  # workers beat by it, so all have to know it
        },
    }
    replicas = workers = min(len(regions), 3)
    plan = Plan(regions, replicas, workers, settings=settings, clocks=clocks.library() is not None)
    async with directory() as path, Lab.up(plan, path / "lab") as running:
        yield running


@pytest.fixture
async def world(lab: Lab) -> AsyncIterator[Planet]:
    async with planet(lab) as found:
        yield found


async def test_nothing_in_the_history_of_a_planet_that_breaks_is_impossible(
    world: Planet, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seed, seconds = request.config.getoption("planet_seed"), request.config.getoption("planet_seconds")
    faults = schedule(seed, seconds - _WARM_SECONDS - _CALM_SECONDS, world.ground)
    print(f"\n--planet-seed={seed} --planet-seconds={seconds:g}", *faults, sep="\n")
    play = world.play(seed)
    await play.run(_WARM_SECONDS)
    before = aftermath.Sizes.of(world)
    world.mark("warm")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(play.run(seconds - _WARM_SECONDS - _CALM_SECONDS))
        tasks.create_task(world.suffer(faults))
    found = await world.settle()
    await play.run(_CALM_SECONDS)
    await play.look_everywhere()
    found += await aftermath.queue_drains(world)
    found += await aftermath.counters(world)
    found += await aftermath.rows_of_keys(world)
    found += await aftermath.rows_and_objects(world)
    await play.look_everywhere()
    after = aftermath.Sizes.of(world)
    print(f"before: {before}\nafter: {after}")
    found += before.grown_to(after)
    wrong = world.judge(found, tmp_path, faults)
    assert not wrong, wrong


_READS, _WRITES = ("read",), ("create", "revise", "delete")


@pytest.mark.alone
async def test_each_kind_of_process_may_die_under_load(
    world: Planet, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Answers of reads 99.9 %, of writes 99 % but for those that the primary was lost to; all is back in 30 seconds."""
    chance = random.Random(request.config.getoption("planet_seed"))  # noqa: S311  (no secret)
    play = world.play(1000 + request.config.getoption("planet_seed"))
    found: list[Violation] = []
    lost: list[tuple[float, float]] = []
    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(play.run(600.0))
        for kind in sorted(set(world.ground.kinds.values()) - {"postgres"}):
            found += await _killed(world, chance.choice(world.ground.boxes(kind)))
        found += await _killed(world, "replica-1")
        began = time.monotonic()
        found += await _killed(world, "primary")
        lost.append((began, time.monotonic()))
        play.stop()
        await playing
    operations = world.ledger.history.operations
    beside = [one for one in operations if not any(one.invoked < end and start < one.ended for start, end in lost)]
    reads, writes = (share([one for one in beside if one.kind in kinds]) for kinds in (_READS, _WRITES))
    print(f"reads {reads:.3%}, writes {writes:.3%}")
    wrong = world.judge(found, tmp_path)
    assert not wrong, wrong
    assert reads >= 0.999
    assert writes >= 0.99


async def _killed(world: Planet, name: str) -> list[Violation]:
    """Kill a box, and wait until it can do its work again."""
    starts = world.lab.boxes[name].starts
    world.mark(f"kill {name}")
    await world.lab.kill(name)
    await until(lambda: world.lab.boxes[name].starts > starts)
    found = await world.settle(READY_SECONDS)
    await asyncio.sleep(_BETWEEN_SECONDS)
    return found


@pytest.mark.alone
async def test_a_planet_in_parts_shows_nothing_wrong_and_loses_nothing(world: Planet, tmp_path: Path) -> None:
    """Longer than the lease of an edge: both ways, one way, and the region of the primary from everybody."""
    if not world.lab.network.is_real:
        pytest.skip("needs networks of its own, and these need root")
    play = world.play(2000)
    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(play.run(600.0))
        await asyncio.sleep(_BETWEEN_SECONDS)
        await world.suffer(_PARTITIONS)
        found = await world.settle()
        await asyncio.sleep(_BETWEEN_SECONDS)
        play.stop()
        await playing
    await play.look_everywhere()
    found += await aftermath.rows_of_keys(world)
    wrong = world.judge(found, tmp_path, _PARTITIONS)
    assert not wrong, wrong
