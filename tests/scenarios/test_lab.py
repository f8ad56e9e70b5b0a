"""The whole diagram as separate processes in networks of their own: who serves whom, and what losses do to clients."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.lab import found, loading
from tests.lab.lab import Client, Lab
from tests.lab.networks import can_make_namespaces
from tests.lab.plan import Plan
from tests.postgres import reachable_directory
from tests.programs import lack, require

pytestmark = pytest.mark.scenario

# Where many processes share few cores all of them are slow at times: that is no loss, which alone is to move anybody.
_PATIENCE_SECONDS = 25.0
_LONG_SECONDS = 180.0
PLAN = Plan(
    workers=1,
    ttl_seconds=2,
    settings={
        "*": {
            "database.connect_timeout_seconds": _PATIENCE_SECONDS,
            "database.acquire_timeout_seconds": _PATIENCE_SECONDS,
        },
        "geodns": {
            "geodns.probe_interval_seconds": 0.5,
            "geodns.probe_timeout_seconds": _PATIENCE_SECONDS,
            "geodns.up": 2,
        },
        "gateway": {
            "gateway.probe_timeout_seconds": _PATIENCE_SECONDS,
            "gateway.try_timeout_seconds": _PATIENCE_SECONDS,
            "gateway.connect_timeout_seconds": _PATIENCE_SECONDS,
        },
    },
)


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Lab]:
    """One for all tests, which leave it as they found it."""
    if not can_make_namespaces():
        lack("regions with networks of their own need root")
    for program in ("ip", "nsenter", "curl", "getent"):
        require(program)
    with reachable_directory() as directory:
        async with Lab.up(PLAN, directory / "lab") as up:
            yield up


@pytest.fixture
async def lab(running: Lab) -> Lab:
    """When everybody knows that all of it is well."""
    await found.settled(running)
    return running


async def test_clients_of_four_networks_are_served_by_their_own_regions(lab: Lab) -> None:
    before = {region: await found.answers(lab, region) for region in PLAN.regions}
    async with asyncio.TaskGroup() as tasks:
        for region in PLAN.regions:
            tasks.create_task(journey(lab, region))
    for region in PLAN.regions:
        after = await found.answers(lab, region)
        servers = {name for name, count in after.items() if count > before[region].get(name, 0.0)}
        gateway = lab.boxes[f"{region}-gateway"]
        assert servers <= {f"{region}-edge", f"{region}-web", f"{region}-read", "us-write"}, gateway.last_words()
        assert f"{region}-edge" in servers, gateway.last_words()
    await eventually(lambda: counted_by_region(lab))


async def test_the_loss_of_a_region_moves_its_clients_and_loses_none_of_their_requests(lab: Lab) -> None:
    clients = {region: lab.client(region) for region in PLAN.regions}
    async with loading.running(clients, rate=8.0, patience=_LONG_SECONDS) as load:
        await eventually(lambda: all(sums.reads > 10 for sums in load.sums.values()))
        await lab.kill("eu", stays=True)
        await eventually(lambda: goes_elsewhere(clients["eu"], lab))
        reached = load.sums["eu"].reads
        await eventually(lambda: load.sums["eu"].reads > reached + 20)
        await lab.start("eu")
        await lab.ready()
        await eventually(lambda: goes_home(clients["eu"], lab))
        assert load.failures == []


async def test_without_the_region_of_the_primary_everything_can_be_read_everywhere(lab: Lab) -> None:
    clients = {region: lab.client(region) for region in PLAN.regions}
    made = [await create(client, f"made in {region}\n") for region, client in clients.items()]
    await eventually(lambda: caught_up(lab))
    await lab.kill("us", stays=True)
    try:
        async with loading.running(clients, rate=8.0, creates=0.0, known=made, patience=_LONG_SECONDS) as load:
            await eventually(lambda: all(sums.reads > 40 for sums in load.sums.values()))
            assert load.failures == []
        assert await goes_elsewhere(clients["us"], lab)
    finally:
        await lab.start("us")
        await lab.ready()


async def test_a_cut_is_silent_and_may_go_one_way(lab: Lab) -> None:
    server = lab.boxes["geodns-1"].address
    client = lab.client("jp")
    await lab.cut("clients-jp", "us", one_way=True)
    try:
        assert "timed out" in await run(client, "dig", "+tries=1", "+time=1", f"@{server}", PLAN.zone)
        assert await run(lab.client("il"), "dig", "+short", f"@{server}", PLAN.zone)
    finally:
        await lab.heal()
    await lab.cut("us", "clients-jp", one_way=True)
    try:
        assert "timed out" in await run(client, "dig", "+tries=1", "+time=1", f"@{server}", PLAN.zone)
    finally:
        await lab.heal("us", "clients-jp")
    assert (await run(client, "dig", "+short", f"@{server}", PLAN.zone)).strip() == lab.boxes["jp-gateway"].address


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return when it holds, which other processes see to."""
    async with asyncio.timeout(_LONG_SECONDS):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.1)


async def journey(lab: Lab, region: str) -> None:
    """With the C library's resolver: find the service, make a paste, read it twice."""
    client = lab.client(region)
    assert await resolved(client) == lab.boxes[f"{region}-gateway"].address
    path, text = await create(client, f"hello from {region}\n")
    for _ in range(2):
        assert await run(client, "curl", "-sS", "--fail", f"{client.url}{path}") == text


async def create(client: Client, text: str) -> tuple[str, str]:
    link = await run(client, "curl", "-sS", "--fail", "--data-binary", text, f"{client.url}/")
    assert link.startswith(f"{client.url}/"), link
    return f"{link.strip().removeprefix(client.url)}/raw", text


async def resolved(client: Client) -> str:
    """The address that getaddrinfo gives a program there."""
    found = re.match(r"\S+", await run(client, "getent", "ahostsv4", PLAN.zone))
    return found[0] if found else ""


async def goes_elsewhere(client: Client, lab: Lab) -> bool:
    return await resolved(client) not in ("", lab.boxes[f"{client.region}-gateway"].address)


async def goes_home(client: Client, lab: Lab) -> bool:
    return await resolved(client) == lab.boxes[f"{client.region}-gateway"].address


async def run(client: Client, *command: str) -> str:
    """What a command says that is run where clients of that region are."""
    process = await asyncio.create_subprocess_exec(
        *client.argv, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(_LONG_SECONDS):
        output, _ = await process.communicate()
    return output.decode()


async def counted_by_region(lab: Lab) -> bool:
    """Whether the statistics have readings of every region."""
    url = f"{lab.boxes['analytics'].doors['origin']}/api/v1/analytics/regions?audience=all"
    headers = {"Authorization": f"Bearer {lab.secrets.admin}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as said:
        if said.status == 503:
            return False
        assert said.status == 200, await said.text()
        report: dict[str, Any] = await said.json()
    return set(PLAN.regions) <= {row["value"] for row in report["rows"]}


async def caught_up(lab: Lab) -> bool:
    return all([await lab.behind_seconds(name) == 0 for name in lab.boxes if name.startswith("replica-")])
