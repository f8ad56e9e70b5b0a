"""Another zone is taken up without a query lost; one that is wrong is not."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from pastebin.errors import ConfigError
from pastebin.geodns.reloading import Source
from pastebin.sections_regions import GeodnsSection
from tests.geodns.dns_client import ZONE, ask, question, serving, texts
from tests.nodes import Node


async def until_said(node: Node, expected: str) -> None:
    """Ask until that is the answer; every question on the way is answered."""
    async with asyncio.timeout(20):
        while texts(await ask(node, question("p.example", "TXT"))) != [expected]:
            pass


async def test_a_file_that_changes_is_taken_up(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as node:
        path = Path(node.config.geodns.file)
        await until_said(node, 'TXT "hello"')
        path.write_text(ZONE.replace("hello", "again"))
        await until_said(node, 'TXT "again"')
        path.write_text(ZONE.replace("hello", "wrong") + "\nx 0 IN A 192.0.2.1\n")
        async with asyncio.timeout(20):
            while "the previous zone stays in use" not in caplog.text:
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


async def test_sighup_looks_at_once() -> None:
    async with serving(geodns__reload_seconds=3600) as node:
        Path(node.config.geodns.file).write_text(ZONE.replace("hello", "again"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until_said(node, 'TXT "again"')


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
            async with asyncio.timeout(20):
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
