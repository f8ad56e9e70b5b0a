"""Probes: regions that fail lose their clients, for as long as they do and not at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiohttp import web

from pastebin.geodns.probes import HEARING_INTERVALS, STATES, Probes
from pastebin.http.signing import Signer
from pastebin.sections_regions import GeodnsSection, RegionSection
from tests.geodns.dns_client import REGIONS, ask, question, serving, subnet, texts
from tests.nodes import SECRET

# Nobody asks by the clock where tests call `look` and `hear`; a machine that is slow at times is no site that fails.
SECTION = GeodnsSection(probe_interval_seconds=60.0, probe_timeout_seconds=20.0)
QUICK = {"geodns__probe_interval_seconds": 0.1, "geodns__probe_timeout_seconds": 20.0, "geodns__down": 1}


class Site:
    """An address to probe that answers what it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.body: dict[str, Any] = {}
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Site]:
        async def handler(_request: web.Request) -> web.Response:
            return web.json_response(self.body, status=self.status)

        application = web.Application()
        application.router.add_get("/readyz", handler)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/readyz"
            yield self
        finally:
            await runner.cleanup()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site().open() as opened:
        yield opened


def opening(
    path: Path,
    changed: Callable[[Any], None] = lambda _health: None,
    section: GeodnsSection = SECTION,
    **regions: RegionSection,
) -> Any:
    return Probes.opened(regions, section, "n", path / "states", Signer(SECRET.encode()), changed)


async def test_a_region_goes_down_and_comes_back(site: Site, tmp_path: Path) -> None:
    heard: list[dict[str, float]] = []
    table = RegionSection(addresses=["192.0.2.1"], probe=[site.url])
    async with opening(tmp_path, heard.append, us=table, eu=RegionSection(addresses=["192.0.2.2"])) as probes:
        assert heard == [{"us": 1.0, "eu": 1.0}]  # before the first probe nobody is down
        site.status = 503
        await probes.look()
        await probes.look()
        assert len(heard) == 1
        await probes.look()
        assert heard[1:] == [{"us": 0.0, "eu": 1.0}]
    async with opening(tmp_path, heard.append, us=table) as probes:
        assert probes.health == {"us": 0.0}  # the last word of the run before
        site.status = 200
        for _ in range(5):
            await probes.look()
        assert probes.health == {"us": 0.0}
        await probes.look()
        assert probes.health == {"us": 1.0}


async def test_one_address_that_answers_is_enough(site: Site, tmp_path: Path) -> None:
    table = RegionSection(addresses=["192.0.2.1"], probe=["http://127.0.0.1:1/x", site.url])
    async with opening(tmp_path, us=table) as probes:
        for _ in range(4):
            await probes.look()
        assert probes.health == {"us": 1.0}


async def test_a_region_with_too_much_to_do_sheds_clients(site: Site, tmp_path: Path) -> None:
    table = RegionSection(addresses=["192.0.2.1"], probe=[site.url], capacity=100)
    async with opening(tmp_path, us=table) as probes:
        site.body = {"requests_per_second": 400}
        await probes.look()
        assert probes.health["us"] == pytest.approx(0.225)
        await probes.look()  # nobody can have followed yet
        assert probes.health["us"] == pytest.approx(0.225)


async def test_a_region_that_is_asked_no_more_takes_all_its_clients_again(site: Site, tmp_path: Path) -> None:
    table = RegionSection(addresses=["192.0.2.1"], probe=[site.url], capacity=100)
    async with opening(tmp_path, us=table) as probes:
        site.body = {"requests_per_second": 400}
        await probes.look()
        assert probes.health["us"] < 1
        probes.take({"us": msgspec.structs.replace(table, probe=[])})
        assert probes.health == {"us": 1.0}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"us": 3, "mars": false}'])
async def test_a_file_that_makes_no_sense_is_no_hindrance(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "states").write_bytes(content)
    async with opening(tmp_path, us=RegionSection(addresses=["192.0.2.1"], probe=["http://127.0.0.1:1/"])) as probes:
        assert probes.health == {"us": 1.0}


async def until(condition: Callable[[], Any]) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(120):
        while not await condition():
            pass


async def test_answers_follow_the_probes_and_all_are_told_when_none_is_well(site: Site) -> None:
    regions = {name: {**table, "probe": [site.url]} for name, table in REGIONS.items() if name == "us"}
    regions["eu"] = {**REGIONS["eu"]}
    quick = {**QUICK, "geodns__up": 1}
    client = question("www.p.example", options=[subnet("10.1.2.0", 24)])

    async with serving(regions=regions, **quick) as node:
        assert texts(await ask(node, client)) == ["A 198.51.100.10"]
        site.status = 500

        async def has_moved() -> bool:
            return texts(await ask(node, client)) == ["A 198.51.100.20"]

        await until(has_moved)
    regions["eu"] = {**REGIONS["eu"], "probe": [site.url]}
    async with serving(regions=regions, **quick) as node:

        async def is_open() -> bool:
            return texts(await ask(node, client)) == ["A 198.51.100.10", "A 198.51.100.20"]

        await until(is_open)


class Other:
    """Another name server, as far as it is asked what it finds."""

    def __init__(self, name: str) -> None:
        self.told: dict[str, Any] = {"node": name, "regions": {"us": True}}
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Other]:
        async def handler(_request: web.Request) -> web.Response:
            if not self.told:
                raise web.HTTPServiceUnavailable
            return web.json_response(self.told)

        application = web.Application()
        application.router.add_get(STATES, handler)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    def says(self, *, is_up: bool) -> None:
        self.told["regions"]["us"] = is_up


async def test_two_of_three_decide(site: Site, tmp_path: Path) -> None:
    table = RegionSection(addresses=["192.0.2.1"], probe=[site.url])
    heard: list[dict[str, float]] = []
    async with Other("n2").open() as second, Other("n3").open() as third:
        section = msgspec.structs.replace(SECTION, peers=[second.url, f"{third.url}/"], down=1, up=1)
        async with opening(tmp_path, heard.append, section, us=table) as probes:
            await probes.hear()
            site.status = 503
            await probes.look()
            assert probes.told().regions == {"us": False}
            assert probes.health == {"us": 1.0}  # one against two
            third.says(is_up=False)
            await probes.hear()
            assert probes.health == {"us": 0.0}
            third.says(is_up=True)
            await probes.hear()
            assert probes.health == {"us": 1.0}
            third.told = {"node": "n3", "regions": "nonsense"}
            second.says(is_up=False)
            await probes.hear()
            assert probes.health == {"us": 0.0}
        async with opening(tmp_path, heard.append, section, us=table) as probes:
            assert probes.health == {"us": 0.0}  # what was agreed on, before anybody is heard
    assert heard == [{"us": 1.0}, {"us": 0.0}, {"us": 1.0}, {"us": 0.0}, {"us": 0.0}]


async def test_it_lives_on_when_everything_else_is_gone(site: Site) -> None:
    """Without a database it has been from the start; peers, regions and its own files go."""
    table = {**REGIONS["us"], "probe": [site.url]}
    quick = {**QUICK, "geodns__peers": ["http://127.0.0.1:1"]}
    client = question("www.p.example", options=[subnet("10.1.2.0", 24)])
    async with serving(regions={**REGIONS, "us": table}, **quick) as node:
        Path(node.config.geodns.file).unlink()
        shutil.rmtree(node.config.data_dir)
        site.status = 500

        async def has_moved() -> bool:
            return texts(await ask(node, client)) == ["A 198.51.100.20"]

        await until(has_moved)
        for name, type_ in (("p.example", "SOA"), ("chain.p.example", "A"), ("no.p.example", "A")):
            assert (await ask(node, question(name, type_))).rcode() in (0, 3)


def test_with_the_defaults_a_region_that_is_silent_is_out_within_20_seconds() -> None:
    section = GeodnsSection()
    found = section.down * section.probe_interval_seconds + section.probe_timeout_seconds
    assert found + section.probe_interval_seconds * HEARING_INTERVALS < 20


async def test_name_servers_compare_what_they_find(site: Site) -> None:
    """One of two that finds a region down is not believed; both are."""
    quick = {**QUICK, "geodns__up": 1}
    client = question("www.p.example", options=[subnet("10.1.2.0", 24)])
    async with (
        Site().open() as other,
        serving(
            regions={**REGIONS, "us": {**REGIONS["us"], "probe": [other.url]}}, node__name="dns-2", **quick
        ) as second,
    ):
        table = {**REGIONS["us"], "probe": [site.url]}
        async with serving(regions={**REGIONS, "us": table}, geodns__peers=[second.internal], **quick) as first:
            signed = Signer(SECRET.encode()).headers("GET", STATES, b"")
            async with first.http.get(first.internal + STATES, headers=signed) as response:
                assert orjson.loads(await response.read())["regions"]["us"]
            async with first.http.get(first.internal + STATES) as response:
                assert response.status == 403
            other.status = site.status = 500

            async def has_moved() -> bool:
                return texts(await ask(first, client)) == ["A 198.51.100.20"]

            await until(has_moved)
            other.status = 200

            async def is_back() -> bool:
                return texts(await ask(first, client)) == ["A 198.51.100.10"]

            await until(is_back)
