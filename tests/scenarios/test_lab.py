"""The whole diagram as separate processes in networks of their own: who serves whom, and what losses do to clients."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.lab import loading
from tests.lab.lab import Client, Lab
from tests.lab.networks import can_make_namespaces
from tests.lab.plan import Plan
from tests.postgres import reachable_directory
from tests.programs import lack, require

pytestmark = [pytest.mark.scenario, pytest.mark.crowd]

PLAN = Plan(workers=1, ttl_seconds=2, settings={"geodns": {"geodns.probe_interval_seconds": 0.5, "geodns.up": 2}})


@pytest.fixture(scope="module")
async def lab() -> AsyncIterator[Lab]:
    """One for all tests, which leave it as they found it."""
    if not can_make_namespaces():
        lack("regions with networks of their own need root")
    for program in ("ip", "nsenter", "curl", "getent"):
        require(program)
    with reachable_directory() as directory:
        async with Lab.up(PLAN, directory / "lab") as running:
            yield running


async def test_clients_of_four_networks_are_served_by_their_own_regions(lab: Lab) -> None:
    before = {region: await answers(lab, region) for region in PLAN.regions}
    async with asyncio.TaskGroup() as tasks:
        for region in PLAN.regions:
            tasks.create_task(journey(lab, region))
    for region in PLAN.regions:
        after = await answers(lab, region)
        servers = {name for name, count in after.items() if count > before[region].get(name, 0.0)}
        assert servers <= {f"{region}-edge", f"{region}-web", f"{region}-read", "us-write"}
        assert f"{region}-edge" in servers
    await eventually(lambda: counted_by_region(lab))


async def test_the_loss_of_a_region_moves_its_clients_and_loses_none_of_their_requests(lab: Lab) -> None:
    clients = {region: lab.client(region) for region in PLAN.regions}
    async with loading.running(clients, rate=8.0) as load:
        await eventually(lambda: all(sums.reads > 10 for sums in load.sums.values()))
        await lab.kill("eu", stays=True)
        reached = load.sums["eu"].reads
        # clients go on to another region: until the name servers say so, only those do that knew another address
        await eventually(lambda: load.sums["eu"].reads > reached + 20)
        assert (await resolved(clients["eu"])) not in ("", lab.boxes["eu-gateway"].address)
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
        async with loading.running(clients, rate=8.0, creates=0.0, known=made) as load:
            await eventually(lambda: all(sums.reads > 40 for sums in load.sums.values()))
            assert load.failures == []
        assert await resolved(clients["us"]) not in ("", lab.boxes["us-gateway"].address)
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
    async with asyncio.timeout(60):
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


async def goes_home(client: Client, lab: Lab) -> bool:
    return await resolved(client) == lab.boxes[f"{client.region}-gateway"].address


async def run(client: Client, *command: str) -> str:
    """What a command says that is run where clients of that region are."""
    process = await asyncio.create_subprocess_exec(
        *client.argv, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    return output.decode()


async def answers(lab: Lab, region: str) -> dict[str, float]:
    """Node -> how often the gateway of a region passed on its answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{lab.boxes[f'{region}-gateway'].doors['internal']}/metrics") as said,
    ):
        text = await said.text()
    found = re.findall(r'pastebin_gateway_answers_total\{node="([^"]+)",region="[^"]+"\} (\S+)', text)
    return {name: float(count) for name, count in found}


async def counted_by_region(lab: Lab) -> bool:
    """Whether the statistics have readings of every region."""
    url = f"{lab.boxes['analytics'].doors['origin']}/api/v1/analytics/regions?audience=all"
    headers = {"Authorization": f"Bearer {lab.secrets.admin}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as said:
        assert said.status == 200, await said.text()
        report: dict[str, Any] = await said.json()
    return set(PLAN.regions) <= {row["value"] for row in report["rows"]}


async def caught_up(lab: Lab) -> bool:
    return all([await lab.behind_seconds(name) == 0 for name in lab.boxes if name.startswith("replica-")])
