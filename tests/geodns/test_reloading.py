"""Another zone is taken up without a query lost; one that is wrong is not."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from pastebin.config import load
from pastebin.errors import ConfigError
from pastebin.geodns.reloading import Source
from pastebin.sections_regions import GeodnsSection, RegionSection
from tests.geodns.dns_client import ZONE, ask, question, serving, subnet, texts
from tests.nodes import Node, plain_client, running


async def until_said(node: Node, expected: str) -> None:
    """Ask until that is the answer; every question on the way is answered."""
    async with asyncio.timeout(60):
        while texts(await ask(node, question("p.example", "TXT"))) != [expected]:
            pass


async def test_a_file_that_changes_is_taken_up(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as node:
        path = Path(node.config.geodns.file)
        await until_said(node, 'TXT "hello"')
        path.write_text(ZONE.replace("hello", "again"))
        await until_said(node, 'TXT "again"')
        path.write_text(ZONE.replace("hello", "wrong") + "\nx 0 IN A 192.0.2.1\n")
        async with asyncio.timeout(60):
            while "the previous zone and regions stay in use" not in caplog.text:
                await ask(node, question("p.example", "TXT"))
        await until_said(node, 'TXT "again"')
        path.unlink()
        await until_said(node, 'TXT "again"')
        path.write_text(ZONE.replace("hello", "third"))
        await until_said(node, 'TXT "third"')


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text(ZONE)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    source = Source(GeodnsSection(zone="p.example", file=str(path), names=["@", "www"]), {})
    source.load()
    assert not source.has_changed()
    path.write_text(ZONE.replace("hello", "again"))
    os.utime(path, ns=times)
    assert source.has_changed()
    source.load()
    assert not source.has_changed()
    path.unlink()
    assert source.has_changed()


def test_regions_that_came_with_a_wrong_zone_are_taken_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text(ZONE)
    before, after = ({name: RegionSection(addresses=["192.0.2.1"])} for name in ("us", "eu"))
    source = Source(GeodnsSection(zone="p.example", file=str(path), names=["@", "www"]), before)
    source.load()
    path.write_text("x 0 IN A 192.0.2.1\n")
    with pytest.raises(ConfigError):
        source.load(after)
    assert source.regions == before
    path.write_text(ZONE)
    source.load(source.wanted)
    assert source.regions == after


async def test_sighup_looks_at_once() -> None:
    async with serving(geodns__reload_seconds=3600) as node:
        Path(node.config.geodns.file).write_text(ZONE.replace("hello", "again"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until_said(node, 'TXT "again"')


CONFIG = """
[node]
roles = ["geodns"]
data_dir = "{0}"
[doors]
dns = "127.0.0.1:0"
internal = "127.0.0.1:0"
[geodns]
zone = "p.example"
file = "{0}/zone"
names = ["@", "www"]
reload_seconds = 3600
responses_per_second = 0
"""
US = '[regions.us]\naddresses = ["198.51.100.10"]\nnetworks = ["10.1.0.0/16"]\n'
EU = '[regions.eu]\naddresses = ["198.51.100.20"]\n'
IL = '[regions.il]\naddresses = ["198.51.100.30"]\nnetworks = ["10.1.0.0/16"]\n'


async def test_sighup_takes_up_other_regions_and_refuses_bad_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "node.toml"
    (tmp_path / "zone").write_text(ZONE)
    path.write_text(CONFIG.format(tmp_path) + US + EU)
    config = load(path)
    async with running(config, lambda: load(path)) as (ready, stopping), plain_client() as http:
        node = Node(ready, config, http, stopping, "")

        async def until_sent_to(address: str) -> None:
            async with asyncio.timeout(60):
                while texts(await ask(node, question("p.example", options=[subnet("10.1.2.0", 24)]))) != [address]:
                    pass

        await until_sent_to("A 198.51.100.10")
        for regions, address in (
            (IL + EU, "A 198.51.100.30"),
            (US + EU, "A 198.51.100.10"),
            (US.replace("100.10", "100.11") + EU + '[regions.jp]\naddresses = ["192.0.2.9"]\n', "A 198.51.100.11"),
        ):
            path.write_text(CONFIG.format(tmp_path) + regions)
            os.kill(os.getpid(), signal.SIGHUP)
            await until_sent_to(address)
        async with http.get(f"{node.internal}/metrics") as response:
            assert set(re.findall(r'pastebin_region_up\{region="(..)"\} 1.0', await response.text())) == {
                "us",
                "eu",
                "jp",
            }
        async with http.get(f"{node.internal}/topology") as response:
            assert set((await response.json())["dns"]["regions"]) == {"us", "eu", "jp"}
        path.write_text(CONFIG.format(tmp_path) + IL + US)
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(60):
            while "stay in use: regions.us.networks: 10.1.0.0/16 " not in caplog.text:
                await ask(node, question("p.example"))
        await until_sent_to("A 198.51.100.11")


async def test_a_zone_that_is_wrong_at_the_start_is_told() -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        async with serving(ZONE + "\nx 0 IN A 192.0.2.1\n"):
            pass
    assert raised.group_contains(ConfigError, match="has a TTL of 0")


async def test_idle_connections_and_too_many_of_them_are_closed() -> None:
    async with serving(geodns__tcp_idle_seconds=0.2, geodns__max_tcp_connections_per_address=2) as node:
        host, port = node.running.doors["dns"]
        opened = [await asyncio.open_connection(host, port) for _ in range(3)]
        try:
            async with asyncio.timeout(60):
                opened[0][1].write(b"\0\x20only half of a question")  # does not keep it open
                for reader, _ in opened:
                    assert await reader.read() == b""
        except ConnectionResetError:
            pass
        finally:
            for _, writer in opened:
                writer.close()


async def test_metrics_know_of_answers_and_regions() -> None:
    async with serving() as node:
        await ask(node, question("p.example"))
        async with aiohttp.ClientSession() as client, client.get(f"{node.internal}/metrics") as response:
            text = await response.text()
        assert 'pastebin_dns_answers_total{outcome="sent"} 1.0' in text
        assert 'pastebin_region_up{region="us"} 1.0' in text
