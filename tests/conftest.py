"""Fixtures for every room."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings

from tests.nodes import Node, directory, started

_MOST_WORKERS = 4  # each has servers and a browser of its own: two gigabytes

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers take what lasts long first, so that in the end none waits for another; see also --planet-all."""
    if not config.getoption("planet_all"):
        alone = pytest.mark.skip(reason="wants the machine for itself: -n0 --planet-all")
        for item in items:
            if item.get_closest_marker("alone"):
                item.add_marker(alone)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("scenario", "browser")))


@pytest.fixture(scope="session")
async def node(session_database_dsn: str) -> AsyncIterator[Node]:
    """A node with every role and default limits, shared by tests that only use it."""
    async with directory() as path, started(session_database_dsn, path) as running:
        yield running


@pytest.fixture(scope="session")
def node_url(node: Node) -> str:
    """Where the shared node is."""
    return node.url


@pytest.fixture
async def small_node(database_dsn: str) -> AsyncIterator[Node]:
    """A node of its own with small limits."""
    limits = {
        "limits__max_paste_bytes": 200_000,
        "limits__max_json_bytes": 50_000,
        "limits__max_files": 5,
        "limits__max_lifetime_seconds": 86_400,
    }
    async with directory() as path, started(database_dsn, path, **limits) as running:
        yield running
