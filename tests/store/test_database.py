"""One door to several servers: who is asked, who is spared, and what happens when one of them falls silent."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from pastebin.errors import DatabaseUnavailable, Overloaded, ResourceUnavailable
from pastebin.metrics import Metrics
from pastebin.positions import Position
from pastebin.sections import DatabaseSection, Secret
from pastebin.store.connections import Connection
from pastebin.store.database import LSN, Database, position_at, shown_by
from pastebin.store.members import Member
from tests.cluster import Servers, Site, until
from tests.ports import free_port
from tests.store.readers import everybody, served, state, who, write


class TestAlone:
    async def test_everything_goes_to_the_only_server_and_nobody_checks_it(self, database_dsn: str) -> None:
        async with Database.opened(DatabaseSection(), database_dsn) as database:
            at = await write(database)
            async with database.reader(at=at) as connection:
                assert await connection.fetchval("select count(*) from notes") == 1
                checks = "select count(*) from pg_stat_activity where application_name = 'pastebin check'"
                assert await connection.fetchval(f"{checks} and datname = current_database()") == 0
            assert (await database.read(who), await database.answers(), await database.can_read()) == (
                await database.read(who, from_primary=True),
                True,
                True,
            )
            (report,) = database.topology()
            assert (report.role, report.leads, report.trouble) == ("primary", True, None)

    async def test_reads_are_not_capped(self, database_dsn: str) -> None:
        section = DatabaseSection(spill_reads_per_second=1, spill_pool_share=0.001)
        async with Database.opened(section, database_dsn) as database:
            assert sum((await served(database, 40, from_primary=True)).values()) == 40

    async def test_a_server_that_was_away_serves_again(self, servers: Servers) -> None:
        site = servers.primary
        async with Database.opened(DatabaseSection(), site.dsn) as database:
            assert await database.answers()
            site.proxy.refuse()
            with pytest.raises(DatabaseUnavailable):
                await write(database)
            assert not await database.answers()
            await site.proxy.restore()
            await write(database)
            assert await database.answers()

    async def test_a_lone_replica_can_be_read(self, servers: Servers) -> None:
        async with Database.opened(DatabaseSection(), servers.replicas[0].dsn) as database:
            assert await database.read(who) == servers.replicas[0].server.name
            with pytest.raises(DatabaseUnavailable):
                await write(database)
            assert await database.read(who) == servers.replicas[0].server.name


class TestReplicas:
    async def test_reads_are_spread_and_writes_are_not(self, servers: Servers) -> None:
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            await everybody(database, *servers.replicas)
            async with database.primary() as connection:
                assert await who(connection) == servers.primary.server.name
            assert [report.role for report in database.topology()] == ["primary", "replica", "replica", "replica"]
            assert database.notices() == []

    async def test_one_who_has_written_sees_it_on_a_replica_or_on_the_primary(self, servers: Servers) -> None:
        async with Database.opened(servers.section(wait_for_replay_seconds=10.0), servers.primary.dsn) as database:
            for expected in range(1, 6):
                at = await write(database)
                async with database.reader(at=at) as connection:
                    assert await connection.fetchval("select count(*) from notes") == expected
                    assert connection.get_settings().in_hot_standby == "on"
                    seen = position_at(connection, await connection.fetchval(f"select {LSN}"))
                    shown = shown_by(connection)
                assert seen.covers(at)
                assert shown is not None
                assert shown.covers(at)
                assert seen.covers(shown)

    async def test_only_those_who_have_replayed_it_are_asked(self, servers: Servers) -> None:
        first, *behind = servers.replicas
        async with Database.opened(servers.section(wait_for_replay_seconds=10.0), servers.primary.dsn) as database:
            for site in behind:
                await site.pause()
            at = await write(database)
            assert await served(database, 20, at=at) == {first.server.name: 20}
            await everybody(database, *servers.replicas)

    async def test_a_read_waits_a_moment_for_a_replica(self, servers: Servers) -> None:
        async with Database.opened(servers.section(wait_for_replay_seconds=10.0), servers.primary.dsn) as database:
            for site in servers.replicas:
                await site.pause()
            at = await write(database)
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(database.read(who, at=at))
                await asyncio.wait([reading], timeout=0.1)
                assert not reading.done()
                await servers.replicas[1].resume()
            assert reading.result() == servers.replicas[1].server.name

    async def test_when_no_replica_gets_there_the_primary_serves(self, servers: Servers) -> None:
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            for site in servers.replicas:
                await site.pause()
            assert await database.read(who, at=await write(database)) == servers.primary.server.name
            assert await database.read(who, from_primary=True) == servers.primary.server.name

    @pytest.mark.parametrize("change", [{"timeline": 9}, {"timeline": 0}, {"system_id": 1}, {"lsn": 2**63 - 1}])
    async def test_a_position_of_nowhere_asks_the_primary(self, servers: Servers, change: dict[str, int]) -> None:
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            at = await write(database)
            names = {"system_id": at.system_id, "timeline": at.timeline, "lsn": at.lsn, **change}
            assert await database.read(who, at=Position(**names)) == servers.primary.server.name

    async def test_a_slow_replica_gets_less(self, servers: Servers) -> None:
        slow = servers.replicas[0]
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            slow.proxy.delay_seconds = 0.02
            await served(database, 20)
            names = await served(database, 100)
            assert names[slow.server.name] < 20

    async def test_figures_are_exposed(self, servers: Servers) -> None:
        metrics = Metrics()
        async with Database.opened(servers.section(), servers.primary.dsn, metrics) as database:
            await served(database, 8)
            no_lag = f'pastebin_database_replica_lag_bytes{{member="{servers.replicas[0].name}"}} 0.0'
            # the server writes something by itself now and then
            await until(lambda: no_lag in metrics.expose().decode())
            text = metrics.expose().decode()
        for site in servers.sites:
            assert f'pastebin_database_member_state{{member="{site.name}",state="up"}} 1.0' in text
        assert f'pastebin_database_member_leads{{member="{servers.primary.name}"}} 1.0' in text
        assert 'pastebin_database_reads_total{by="replica"} 8.0' in text


class TestLag:
    OPTIONS: dict[str, Any] = {"max_lag_seconds": 0.0, "max_lag_bytes": 0}  # noqa: RUF012

    async def test_who_lags_is_spared_until_it_has_caught_up(self, servers: Servers) -> None:
        late = servers.replicas[0]
        async with Database.opened(servers.section(**self.OPTIONS), servers.primary.dsn) as database:
            await late.pause()
            await write(database)
            await until(lambda: _lag(database, late) != 0)
            names = await served(database, 40)
            assert late.server.name not in names
            await late.resume()
            await until(lambda: _lag(database, late) == 0)

    async def test_what_all_replicas_are_too_old_for_is_capped_on_the_primary(self, servers: Servers) -> None:
        section = servers.section(**self.OPTIONS, spill_reads_per_second=5)
        async with Database.opened(section, servers.primary.dsn) as database:
            for site in servers.replicas:
                await site.pause()
            await write(database)
            await until(lambda: all(_lag(database, site) != 0 for site in servers.replicas))
            outcomes = await asyncio.gather(*(database.read(who) for _ in range(40)), return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
            assert {outcome for outcome in outcomes if isinstance(outcome, str)} == {servers.primary.server.name}
            assert len(refused) >= 30
            assert refused[0].retry_after_seconds >= 1
            await write(database)  # which the reads leave room for

    async def test_without_a_primary_old_replicas_are_better_than_none(self, servers: Servers) -> None:
        async with Database.opened(servers.section(**self.OPTIONS), servers.primary.dsn) as database:
            for site in servers.replicas:
                await site.pause()
            await write(database)
            await until(lambda: all(_lag(database, site) != 0 for site in servers.replicas))
            servers.primary.proxy.refuse()
            await until(lambda: state(database, servers.primary) == "down")
            await everybody(database, *servers.replicas)


def _lag(database: Database, site: Site) -> int | None:
    (report,) = [report for report in database.topology() if report.name == site.name]
    return report.lag_bytes


class TestFailures:
    @pytest.mark.parametrize("failure", ["black_hole", "refuse"])
    async def test_no_read_fails_when_a_replica_does(self, servers: Servers, failure: str) -> None:
        broken = servers.replicas[0]
        section = servers.section(replica_timeout_seconds=2.0, check_interval_seconds=0.2)
        async with Database.opened(section, servers.primary.dsn) as database:
            await everybody(database, *servers.replicas)
            getattr(broken.proxy, failure)()
            await served(database, 200)
            await until(lambda: state(database, broken) == "down")
            assert broken.server.name not in await served(database, 40)
            assert any(broken.name in notice for notice in database.notices())
            await broken.proxy.restore()
            await until(lambda: state(database, broken) == "up")
            await everybody(database, *servers.replicas)
            await until(lambda: database.notices() == [])

    async def test_with_all_replicas_away_the_primary_is_read(self, servers: Servers) -> None:
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            for site in servers.replicas:
                site.proxy.refuse()
            assert await served(database, 40) == {servers.primary.server.name: 40}
            assert await database.answers()

    async def test_reads_go_on_without_a_primary(self, servers: Servers) -> None:
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            at = await write(database)
            await servers.caught_up()
            servers.primary.proxy.refuse()
            assert sum((await served(database, 40)).values()) == 40
            assert sum((await served(database, 8, at=at)).values()) == 8
            assert await database.can_read()
            assert not await database.answers()
            with pytest.raises(DatabaseUnavailable):
                await write(database)
            await servers.primary.proxy.restore()
            await until(lambda: state(database, servers.primary) == "up")
            await write(database)

    async def test_a_primary_that_swallows_everything_makes_nobody_wait_long(self, servers: Servers) -> None:
        section = servers.section(command_timeout_seconds=1.0, acquire_timeout_seconds=1.0)
        async with Database.opened(section, servers.primary.dsn) as database:
            await write(database)
            servers.primary.proxy.black_hole()
            async with asyncio.timeout(30):
                for _ in range(3):
                    with pytest.raises((DatabaseUnavailable, Overloaded)):
                        await write(database)

    async def test_a_statement_under_way_on_a_replica_that_falls_silent_is_asked_of_another(
        self, servers: Servers
    ) -> None:
        asked: list[str] = []

        async def question(connection: Connection) -> str:
            name = await who(connection)
            asked.append(name)
            if len(asked) == 1:
                next(site for site in servers.replicas if site.server.name == name).proxy.black_hole()
            return await who(connection)

        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            assert await database.read(question) == asked[1] != asked[0]

    async def test_a_replica_that_gives_a_read_up_in_favour_of_replaying_is_not_asked_again(
        self, servers: Servers
    ) -> None:
        asked: list[str] = []

        async def question(connection: Connection) -> str:
            asked.append(await who(connection))
            if len(asked) == 1:
                await connection.execute("do $$ begin raise exception 'conflict' using errcode = '40001'; end $$")
            return asked[-1]

        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            assert await database.read(question) == asked[1] != asked[0]

    async def test_bad_values_are_nobody_elses_trouble(self, servers: Servers) -> None:
        """Otherwise a client could have replicas left out by sending nonsense."""
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            for _ in range(4):
                with pytest.raises(asyncpg.CharacterNotInRepertoireError):
                    async with database.reader() as connection:
                        await connection.fetchval("select $1::text", "\0")
            assert {report.state for report in database.topology()} == {"up"}

    async def test_a_change_is_never_repeated(self, servers: Servers) -> None:
        """Nobody can tell whether a commit without an answer was made."""
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            await write(database)
            attempts = 0
            with pytest.raises(DatabaseUnavailable):
                async with database.primary() as connection:
                    attempts += 1
                    await connection.execute("insert into notes values ('once')")
                    await connection.execute("select pg_terminate_backend(pg_backend_pid())")
            assert attempts == 1
            async with database.primary() as connection:
                assert await connection.fetchval("select count(*) from notes where text = 'once'") == 1

    async def test_a_loop_that_dies_is_not_gone_unnoticed(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with Database.opened(servers.section(), servers.primary.dsn):

                async def broken(_member: Member) -> None:
                    raise ZeroDivisionError

                monkeypatch.setattr(Member, "check", broken)
                await asyncio.sleep(60)
        assert caught.group_contains(ZeroDivisionError)

    async def test_errors_of_the_block_come_out_as_they_are(self, servers: Servers) -> None:
        with pytest.raises(ZeroDivisionError):
            async with Database.opened(servers.section(), servers.primary.dsn):
                raise ZeroDivisionError


class TestStart:
    async def test_nobody_there(self) -> None:
        dsns = [f"postgresql://pastebin@127.0.0.1:{free_port()}/pastebin" for _ in range(2)]
        with pytest.raises(ResourceUnavailable, match="database.primary cannot be reached") as caught:
            async with Database.opened(DatabaseSection(replicas=[Secret(dsns[1])]), dsns[0]):
                pass
        assert all(dsn.rpartition("@")[2].partition("/")[0] in caught.value.detail for dsn in dsns)

    async def test_what_is_wrong_with_a_replica_is_named_and_is_no_reason_to_stop(
        self, servers: Servers, database_dsn: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        good = servers.replicas[0]
        away = f"127.0.0.1:{free_port()}"
        dsns = {
            "away": f"postgresql://pastebin@{away}/{good.database}",
            "nobody": f"postgresql://nobody@{servers.replicas[1].name}/{good.database}",
            "foreign": database_dsn,
        }
        section = servers.section(replicas=[Secret(dsn) for dsn in [*dsns.values(), good.dsn]])
        async with Database.opened(section, servers.primary.dsn) as database:
            notices = "\n".join(database.notices())
            assert f"{away}: " in notices
            assert f"{servers.replicas[1].name}: " in notices
            assert 'user "nobody"' in notices
            assert "is not a replica of this primary" in notices
            assert notices.splitlines()[0] in caplog.text
            assert await served(database, 20) == {good.server.name: 20}
            await write(database)
            assert [report.trouble is None for report in database.topology()].count(True) == 2

    async def test_a_start_while_the_primary_is_away_can_read(self, servers: Servers) -> None:
        servers.primary.proxy.refuse()
        async with Database.opened(servers.section(), servers.primary.dsn) as database:
            assert sum((await served(database, 20)).values()) == 20
            with pytest.raises(DatabaseUnavailable):
                await write(database)
            await servers.primary.proxy.restore()
            await until(database.answers)
            await write(database)

    async def test_a_port_that_is_none(self, database_dsn: str) -> None:
        with pytest.raises(ResourceUnavailable, match="'99999' is not a port"):
            async with Database.opened(DatabaseSection(replicas=[Secret("postgresql://u@a:99999/x")]), database_dsn):
                pass

    async def test_several_hosts_of_one_connection_string_are_members(self, servers: Servers) -> None:
        hosts = ",".join(site.name for site in reversed(servers.sites))
        dsn = f"postgresql://pastebin@{hosts}/{servers.primary.database}?target_session_attrs=primary"
        async with Database.opened(DatabaseSection(), dsn) as database:
            assert database.topology()[0].name == servers.primary.name
            assert len(database.topology()) == 4
            await write(database)
            assert servers.primary.server.name not in await served(database, 20)
