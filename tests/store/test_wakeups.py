"""Calls between processes: few, heard soon, and heard again after the connection was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from pastebin.embedded.server import Server
from pastebin.store import wakeups
from pastebin.store.bell import Bell
from pastebin.store.database import Database
from pastebin.store.wakeups import Listener, Notifier
from tests.store.stores import connected
from tests.stored import SECTION, Stored
from tests.tcp_proxy import TcpProxy

_KILL = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and (query like 'LISTEN%' or query like 'select pg_notify%' or query = 'select 1')
"""


def test_a_bell_calls_whoever_answers() -> None:
    bell, calls = Bell(), list[str]()
    bell.ring()
    with bell.answered(lambda: calls.append("one")):
        bell.ring()
        with bell.answered(lambda: calls.append("two")):
            bell.ring()
    bell.ring()
    assert calls == ["one", "one", "two"]


class Heard:
    """What a listener heard, and when there is more."""

    def __init__(self) -> None:
        self.count = 0
        self._news = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._news.set()

    async def more_than(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.count <= count:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def running(*loops: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(loop()) for loop in loops]
        yield
        for task in started:
            task.cancel()


async def test_many_calls_become_few(stored: Stored) -> None:
    heard = Heard()
    notifier = Notifier(stored.database)
    listener = Listener(stored.database, ("pastebin_outbox", "pastebin_feed"), heard)
    async with running(notifier.run, listener.run):
        await heard.more_than(0)  # because of what was said before
        began = asyncio.get_running_loop().time()
        for _ in range(100):
            notifier.call("pastebin_outbox")
            await asyncio.sleep(0.001)
        await heard.more_than(1)
        # one at the beginning, and one for each pause, however many of those the machine has taken
        pauses = (asyncio.get_running_loop().time() - began) / wakeups._PAUSE_SECONDS
        assert heard.count <= 2 + pauses
        before = heard.count
        notifier.call("pastebin_feed")
        await heard.more_than(before)


async def test_lost_connections_are_made_again(stored: Stored) -> None:
    heard = Heard()
    notifier = Notifier(stored.database)
    listener = Listener(stored.database, ("pastebin_outbox",), heard)
    async with running(notifier.run, listener.run):
        await heard.more_than(0)
        notifier.call("pastebin_outbox")
        await heard.more_than(1)
        async with connected(stored.dsn) as connection:
            assert await connection.fetchval(_KILL) == 2
        before = heard.count
        await heard.more_than(before)  # it has begun to listen again
        before = heard.count
        while heard.count == before:
            notifier.call("pastebin_outbox")  # what is called while there is no connection is lost
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await heard.more_than(before)


async def test_a_silent_connection_is_noticed(
    stored: Stored, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has vanished says nothing at all, not even that it is gone."""
    monkeypatch.setattr(wakeups, "_HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(wakeups, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(wakeups, "_RECONNECT_SECONDS", 0.1)
    name = urlsplit(stored.dsn).path
    heard = Heard()
    async with (
        TcpProxy.opened(postgres.socket_dir / ".s.PGSQL.5432") as proxy,
        Database.opened(SECTION, f"postgresql://pastebin@127.0.0.1:{proxy.port}{name}") as database,
        running(Listener(database, ("pastebin_outbox",), heard).run),
    ):
        await heard.more_than(0)
        proxy.black_hole()
        accepted = proxy.accepted
        while proxy.accepted == accepted:  # noqa: ASYNC110  (nothing announces it)
            await asyncio.sleep(0.02)
        proxy.disconnect()
        await proxy.restore()
        await heard.more_than(1)
