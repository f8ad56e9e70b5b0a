"""Fixtures for every room."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.nodes import Node, directory, started

_T = TypeVar("_T")
_DAY_SECONDS, _DAY_ENDS_SECONDS = 86_400.0, 120.0
_MOST_WORKERS = 4  # each has servers and a browser of its own: two gigabytes
# Of the nodes below nothing is far away or gone: where they are late the machine is busy, and that is no answer.
_PATIENT = {
    "database__connect_timeout_seconds": 20.0,
    "database__acquire_timeout_seconds": 30.0,
    "cdn__confirm_seconds": 30.0,
    "search__timeout_seconds": 30.0,
}

# Dozens of processes under load, each: two at once would show what a small machine does, and not what we do.
_CROWDS = tuple(
    f"tests/scenarios/test_{name}.py"
    for name in (
        "planet",
        "main_job",
        "lab",
        "lab_command",
        "analytics_replay",
        "regions",
        "replicas",
        "failover",
        "consistency",
        "edge_races",
        "edge_sessions",
    )
)

# How long an example takes says something about the machine, and nothing about the program.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

pytest_plugins = ["tests.postgres", "tests.cluster", "tests.seaweed", "tests.clickhouse"]


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and the programs of the tests would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    planet = parser.getgroup("planet", "the run of faults in tests/scenarios/test_planet.py")
    planet.addoption("--planet-seconds", type=float, default=90.0, metavar="S", help="how long it lasts (90)")
    planet.addoption("--planet-regions", default="us,eu", metavar="NAMES", help="regions of its lab (us,eu)")
    planet.addoption("--planet-all", action="store_true", help="also what wants the machine for itself")
    planet.addoption("--planet-seed", type=int, default=1, metavar="N", help="which faults, in what order (1)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker for each core that this process may use; on a single one there is nothing to gain."""
    cores = len(os.sched_getaffinity(0))
    return min(cores, _MOST_WORKERS) if cores > 1 else 0


class _Turns(LoadFileScheduling):
    """Files as they come, but for crowds: one worker takes them all, first and one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return "crowds" if nodeid.startswith(_CROWDS) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return _Turns(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes much of the machine is spread over the run, so that workers seldom do it at once; see --planet-all."""
    if not config.getoption("planet_all"):
        alone = pytest.mark.skip(reason="wants the machine for itself: -n0 --planet-all")
        for item in items:
            if item.get_closest_marker("alone"):
                item.add_marker(alone)
    if hasattr(config, "workerinput"):
        items[:] = [item for file in _spread(items) for item in file]


def _spread(items: list[pytest.Item]) -> list[list[pytest.Item]]:
    """The files in an order in which what needs much of the machine has light neighbours and is over in time."""
    light: list[list[pytest.Item]] = []
    heavy: list[list[pytest.Item]] = []
    crowds: list[list[pytest.Item]] = []
    for _, found in groupby(items, key=lambda item: item.path):
        file = list(found)
        marks = {mark.name for item in file for mark in item.iter_markers()}
        is_crowd = file[0].nodeid.startswith(_CROWDS)
        (crowds if is_crowd else heavy if marks & {"scenario", "browser"} else light).append(file)
    return [*crowds, *_woven(heavy, light)]


def _woven(few: Sequence[_T], many: Sequence[_T]) -> list[_T]:
    """All of both in their order, the few evenly among the first nine tenths of the many."""
    step = max(1, len(many) * 9 // 10 // max(1, len(few)))
    out: list[_T] = []
    for number, one in enumerate(few):
        out += [one, *many[number * step : (number + 1) * step]]
    return [*out, *many[len(few) * step :]]


@pytest.fixture(scope="session")
async def node(session_database_dsn: str) -> AsyncIterator[Node]:
    """A node with every role and default limits, shared by tests that only use it."""
    async with directory() as path, started(session_database_dsn, path, **_PATIENT) as running:
        yield running


@pytest.fixture(scope="session")
def node_url(node: Node) -> str:
    """Where the shared node is."""
    return node.url


@pytest.fixture
async def whole_day() -> None:
    """What counts by days (UTC) does not begin right before midnight: one reader would be two."""
    left = _DAY_SECONDS - time.time() % _DAY_SECONDS
    if left < _DAY_ENDS_SECONDS:
        await asyncio.sleep(left + 1.0)


@pytest.fixture
async def small_node(database_dsn: str) -> AsyncIterator[Node]:
    """A node of its own with small limits."""
    limits = {
        "limits__max_paste_bytes": 200_000,
        "limits__max_json_bytes": 50_000,
        "limits__max_files": 5,
        "limits__max_lifetime_seconds": 86_400,
    }
    async with directory() as path, started(database_dsn, path, **_PATIENT, **limits) as running:
        yield running
