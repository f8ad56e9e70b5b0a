"""Replicas that DNS names: asked of a real server, kept while it is silent, let go in peace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from pastebin.sections import DatabaseSection
from pastebin.store.database import Database
from pastebin.store.discovery import Discovery, Question, question
from tests.cluster import Servers, Site, until
from tests.dns_server import DnsServer
from tests.store.readers import WHO, everybody, served, who, write

SERVICE = "_postgresql._tcp.db.test"


@pytest.fixture
async def names() -> AsyncIterator[DnsServer]:
    async with DnsServer.opened() as server:
        server.records["here.db.test", "A"] = (3600, ["127.0.0.1"])
        yield server


def announce(names: DnsServer, sites: Sequence[Site], ttl: int = 0) -> None:
    records = [f"{number} 5 {site.proxy.port} here.db.test." for number, site in enumerate(sites)]
    names.records[SERVICE, "SRV"] = (ttl, records)


def section(servers: Servers, names: DnsServer, **options: Any) -> DatabaseSection:
    chosen: dict[str, Any] = {
        "replicas": [],
        "discover": f"srv:{SERVICE}",
        "discover_nameserver": names.address,
        "discover_interval_seconds": 0.1,
    }
    return servers.section(**{**chosen, **options})


def members(database: Database) -> set[str]:
    return {report.name for report in database.topology()}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("srv:_postgresql._tcp.db.example", Question("srv", "_postgresql._tcp.db.example")),
        ("a:replicas.db.example:5432", Question("a", "replicas.db.example", 5432)),
    ],
)
def test_what_can_be_asked(text: str, meant: Question) -> None:
    assert question(text) == meant


@pytest.mark.parametrize("text", ["", "srv:", "srv:x:5", "a:x", "a:x:0", "a:x:65536", "a::5", "a:x:²", "mx:x", "x"])
def test_what_cannot_be_asked(text: str) -> None:
    with pytest.raises(ValueError, match="must be srv:NAME"):
        question(text)


class TestAnswers:
    async def test_services_with_the_addresses_of_their_targets(self, names: DnsServer) -> None:
        names.records[SERVICE, "SRV"] = (30, ["0 0 5001 here.db.test.", "1 0 5002 six.db.test."])
        names.records["six.db.test", "AAAA"] = (20, ["::1"])
        discovery = Discovery(f"srv:{SERVICE}", names.address)
        answer = await discovery.ask()
        assert answer is not None
        assert answer.addresses == (("127.0.0.1", 5001), ("::1", 5002))
        assert answer.ttl_seconds == 20

    async def test_addresses_of_a_name(self, names: DnsServer) -> None:
        names.records["replicas.db.test", "A"] = (60, ["127.0.0.2", "127.0.0.1"])
        discovery = Discovery("a:replicas.db.test:5433", names.address)
        answer = await discovery.ask()
        assert answer is not None
        assert answer.addresses == (("127.0.0.1", 5433), ("127.0.0.2", 5433))
        assert answer.ttl_seconds == 60

    async def test_no_answer_is_said_once_and_then_known(
        self, names: DnsServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        discovery = Discovery("a:unknown.db.test:5433", names.address)
        assert await discovery.ask() is None
        assert await discovery.ask() is None
        assert discovery.trouble is not None
        assert "unknown.db.test" in discovery.trouble
        assert caplog.text.count("unknown.db.test") == 1
        names.records["unknown.db.test", "A"] = (60, ["127.0.0.1"])
        assert await discovery.ask() is not None
        assert discovery.trouble is None

    async def test_a_service_that_is_explicitly_not_there_has_no_answer(self, names: DnsServer) -> None:
        names.records[SERVICE, "SRV"] = (30, ["0 0 0 ."])
        discovery = Discovery(f"srv:{SERVICE}", names.address)
        assert await discovery.ask() is None


class TestMembers:
    async def test_they_serve_with_the_credentials_of_the_primary(self, servers: Servers, names: DnsServer) -> None:
        announce(names, servers.sites)  # DNS may name the primary too
        async with Database.opened(section(servers, names), servers.primary.dsn) as database:
            assert members(database) == {site.name for site in servers.sites}
            await everybody(database, *servers.replicas)
            await write(database)

    async def test_before_anybody_is_known_the_primary_is_read(self, servers: Servers, names: DnsServer) -> None:
        names.fails = True
        async with Database.opened(section(servers, names), servers.primary.dsn) as database:
            at = await write(database)
            assert await database.read(who, at=at) == servers.primary.server.name
            assert await database.read(who) == servers.primary.server.name
            assert any(SERVICE in notice for notice in database.notices())
            names.fails = False
            announce(names, servers.replicas)
            await until(lambda: [report.state for report in database.topology()] == ["up"] * 4)
            assert servers.primary.server.name not in await served(database, 20)
            await until(lambda: database.notices() == [])

    async def test_who_is_no_longer_named_finishes_what_it_does(self, servers: Servers, names: DnsServer) -> None:
        announce(names, servers.replicas)
        async with Database.opened(section(servers, names), servers.primary.dsn) as database:
            async with database.reader() as connection:
                name = await who(connection)
                gone = next(site for site in servers.replicas if site.server.name == name)
                announce(names, [site for site in servers.replicas if site is not gone])
                await until(lambda: gone.name not in members(database))
                assert name not in await served(database, 20)
                assert await connection.fetchval(WHO) == name
            left = """select count(*) = 0 from pg_stat_activity where datname = current_database()
                and application_name like 'pastebin%'"""
            await until(lambda: gone.ask(left))

    async def test_a_silent_dns_drops_nobody(self, servers: Servers, names: DnsServer) -> None:
        announce(names, servers.replicas)
        async with Database.opened(section(servers, names), servers.primary.dsn) as database:
            assert len(members(database)) == 4
            names.fails = True
            asked = len(names.asked)
            await until(lambda: len(names.asked) > asked + 3)
            names.fails = False
            announce(names, [])
            asked = len(names.asked)
            await until(lambda: len(names.asked) > asked + 3)
            assert len(members(database)) == 4

    async def test_answers_are_believed_for_their_time_to_live(self, servers: Servers, names: DnsServer) -> None:
        announce(names, servers.replicas, ttl=3600)
        async with Database.opened(section(servers, names), servers.primary.dsn):
            asked = len(names.asked)
            await asyncio.sleep(0.5)  # five times the shortest pause
            assert len(names.asked) == asked
