"""A replica is promoted while clients write: nothing is lost, nothing is made twice, nobody is restarted."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from tests.cluster import Servers, Site, cluster, until
from tests.nodes import SECRET
from tests.scenarios.load import Written, reading, writing
from tests.scenarios.processes import NodeProcess
from tests.scenarios.test_replicas import node_on, pastes

pytestmark = pytest.mark.scenario


async def replicate_synchronously(servers: Servers, name: str) -> None:
    """No commit is acknowledged before this replica has it."""
    await servers.primary.ask(f"alter system set synchronous_standby_names = '\"{name}\"'")
    await servers.primary.ask("select pg_reload_conf()")
    waits = "select bool_or(sync_state = 'sync') from pg_stat_replication where application_name = $1"
    await until(lambda: servers.primary.ask(waits, name))


async def assert_all_written(written: Written, new: Site) -> None:
    kept = {
        row["slug"]: row["body"].decode()
        for row in await _rows(new, "select p.slug, f.body from pastes p join files f on f.paste_id = p.id")
    }
    for key, slug in written.slugs.items():
        assert kept[slug] == f"content of {key}\n"
    keys = "select count(*) from pastes where idempotency_hash is not null"
    assert await new.ask(keys) == len(written.slugs)


async def _rows(site: Site, query: str) -> list[dict[str, object]]:
    async with site.server.connected(site.database) as connection:
        return [dict(row) for row in await connection.fetch(query)]


@pytest.mark.parametrize("old_primary", ["stopped", "unaware"])
async def test_promotion_under_writes(old_primary: str) -> None:
    async with cluster() as servers, node_on(servers) as node:
        new = servers.replicas[0]
        pid = node.pid
        if old_primary == "unaware":
            await replicate_synchronously(servers, "replica-1")
        async with reading(await pastes(node, servers), clients=4) as reads, writing(node.url) as written:
            await until(lambda: len(written.slugs) > 50)
            began = time.monotonic()
            if old_primary == "stopped":
                await servers.primary.server.stop()
                await asyncio.sleep(0.5)
            await new.server.promote()
            promoted = time.monotonic()
            await until(lambda: written.replies.statuses(since=promoted)[201] > 50)
            resumed = min(reply.at for reply in written.replies.made if reply.at > promoted and reply.status == 201)
            assert resumed - promoted < 5.0
            await until(lambda: is_leader(node, new))
            await asyncio.sleep(1.0)  # whatever may come after it
        # for so long nobody took writes: how long PostgreSQL needs for that is its own affair
        patience = max(6.0, promoted - began + 5.5)
        assert written.replies.longest_pause(201) < patience
        assert set(reads.statuses()) == {200}
        refused = [reply for reply in written.replies.made if reply.status == 503]
        assert refused
        assert all(reply.retry_after for reply in refused)
        assert max(reply.seconds for reply in written.replies.made) < patience
        await assert_all_written(written, new)
        assert node.pid == pid
        assert await leader(node) == new.name
        # whatever the old primary says now, nothing is written there any more
        await servers.primary.server.start()
        await asyncio.sleep(2.0)
        assert await leader(node) == new.name
        async with writing(node.url) as more:
            await asyncio.sleep(0.5)
        more.slugs.update(written.slugs)
        assert len(more.replies.statuses()) == 1


async def is_leader(node: NodeProcess, site: Site) -> bool:
    return await leader(node) == site.name


async def leader(node: NodeProcess) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal}/metrics") as response:
        for line in (await response.text()).splitlines():
            if line.startswith("pastebin_database_member_leads") and line.endswith(" 1.0"):
                return line.partition('"')[2].partition('"')[0]
    return ""


async def test_a_node_starts_although_its_configuration_names_the_old_primary() -> None:
    async with cluster(replicas=1) as servers:
        await servers.primary.server.stop()
        await servers.replicas[0].server.promote()
        async with node_on(servers) as node, writing(node.url) as written:
            await asyncio.sleep(0.5)
        assert written.slugs
        await assert_all_written(written, servers.replicas[0])
        assert SECRET not in node.log_text
