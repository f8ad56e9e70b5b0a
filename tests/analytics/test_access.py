"""Who may see statistics without an administrator or a service, or where an owner wants it otherwise; and the end."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pastebin.config import load
from pastebin.errors import AdminRefused, AdminRequired
from pastebin.http.administrators import COOKIE_SECONDS, Administrators
from pastebin.loops import Loops
from pastebin.metrics import Metrics
from pastebin.resources import Resources
from tests.analytics.traffic import AUTHORIZED, TOKEN, Site, visited
from tests.nodes import Node
from tests.postgres import Server

HTML = {"Accept": "text/html"}


async def status_of(node: Node, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    async with node.http.get(f"{node.url}{path}", headers=headers or {}) as response:
        return response.status, await response.text()


@pytest.fixture(scope="module")
async def site(postgres: Server, session_database_dsn: str) -> AsyncIterator[Site]:
    async with visited(postgres, session_database_dsn, visits=0) as one:
        yield one


async def test_whoever_the_owner_lets(site: Site) -> None:
    node = site.node
    shown = await node.paste("shown", analytics="public")
    hidden = await node.paste("hidden", analytics="off")
    for path in (f"/api/v1/pastes/{shown['slug']}/stats", f"/{shown['slug']}/stats"):
        status, text = await status_of(node, path, HTML)
        assert status == 200, text
        assert shown["token"] not in text
    assert (await status_of(node, f"/api/v1/pastes/{hidden['slug']}/stats"))[0] == 401
    by_owner = {**HTML, "Authorization": f"Bearer {hidden['token']}"}
    status, text = await status_of(node, f"/{hidden['slug']}/stats", by_owner)
    assert status == 200
    assert "switched off" in text


async def test_what_is_asked_for_is_shown_at_the_first_sight(postgres: Server, session_database_dsn: str) -> None:
    """The edge before the pages takes parameters off that nobody reads, but not these."""
    roles = ["web", "read", "write", "cdn-worker", "edge", "analytics"]
    async with visited(postgres, session_database_dsn, visits=0, node__roles=roles) as site:
        shown = await site.node.paste("shown", analytics="public")
        status, text = await status_of(site.node, f"/{shown['slug']}/stats?format=csv")
        assert (status, text.partition(",")[0]) == (200, "visits")
        other = await site.node.paste("shown", analytics="public")
        status, text = await status_of(site.node, f"/{other['slug']}/stats?since=7d", HTML)
        assert status == 200
        assert '<option value="7d" selected>' in text
        door = site.node.http.post(f"{site.node.url}/admin", data={"token": TOKEN}, allow_redirects=False)
        async with door as entered:
            cookie = entered.headers["Set-Cookie"].partition(";")[0]
        status, text = await status_of(site.node, "/admin/analytics?since=30d", {**HTML, "Cookie": cookie})
        assert status == 200
        assert '<option value="30d" selected>' in text


async def test_private_pastes_are_not_there_for_others(site: Site) -> None:
    private = await site.node.paste("mine", visibility="private")
    for path in (f"/api/v1/pastes/{private['slug']}/stats", f"/{private['slug']}/stats"):
        assert (await status_of(site.node, path))[0] == 404


async def test_without_the_service_nothing_else_is_missing(small_node: Node) -> None:
    paste = await small_node.paste("hello")
    owner = {"Authorization": f"Bearer {paste['token']}"}
    status, text = await status_of(small_node, f"/api/v1/pastes/{paste['slug']}/stats", owner)
    assert status == 503
    assert json.loads(text)["type"] == "/problems/unavailable"
    assert "analytics" in json.loads(text)["detail"]
    assert (await status_of(small_node, f"/{paste['slug']}/raw"))[0] == 200


async def test_without_a_token_there_is_no_administrator(postgres: Server, session_database_dsn: str) -> None:
    async with visited(postgres, session_database_dsn, visits=0, admin__token="") as site:
        status, text = await status_of(site.node, "/api/v1/analytics/overview", AUTHORIZED)
        assert status == 403
        assert "configuration names none" in text
        assert (await status_of(site.node, "/api/v1/analytics/overview", {"Authorization": "Bearer "}))[0] == 401
        async with site.node.http.post(f"{site.node.url}/admin", data={"token": ""}) as response:
            assert response.status == 403


async def test_whoever_listens_is_let_go_when_the_node_ends(postgres: Server, session_database_dsn: str) -> None:
    """Nobody waits for a stream that has no end of its own."""

    async def listen(site: Site, began: asyncio.Event) -> bytes:
        async with site.node.http.get(f"{site.node.url}/api/v1/analytics/live", headers=AUTHORIZED) as live:
            told = await live.content.readline()
            began.set()
            return told + await live.content.read()

    async with asyncio.TaskGroup() as tasks:
        async with visited(postgres, session_database_dsn, visits=0, node__shutdown_seconds=300.0) as site:
            began = asyncio.Event()
            listening = tasks.create_task(listen(site, began))
            async with asyncio.timeout(90):
                await began.wait()
                site.node.stopping.ask()
                assert b"data: " in await listening


async def test_so_many_may_listen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pastebin.analytics.live.MOST_LISTENERS", 1)
    address = f"{site.node.url}/api/v1/analytics/live"
    async with site.node.http.get(address, headers=AUTHORIZED) as first:
        assert first.status == 200
        async with site.node.http.get(address, headers=AUTHORIZED) as second:
            assert second.status == 503
            assert second.headers["Retry-After"]


def test_a_node_of_its_own_makes_its_own_token(tmp_path: Path) -> None:
    config = load(None, {"node.data_dir": str(tmp_path)})
    resources = Resources(config, Metrics(), Loops(_NO_TASKS))
    resources.secret = b"secret"
    assert resources.administrators is not None
    file = tmp_path / "admin-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert len(token) >= 32
    assert token not in repr(resources.administrators)
    again = Resources(config, Metrics(), Loops(_NO_TASKS))
    again.secret = b"secret"
    assert again.administrators is not None
    assert file.read_text().strip() == token


_NO_TASKS: Any = None


class Asked:
    """As much of a request as is looked at."""

    remote = "192.0.2.1"

    def __init__(self, cookie: str = "", authorization: str | None = None) -> None:
        self.cookies = {"admin": cookie} if cookie else {}
        self.headers = {"Authorization": authorization} if authorization else {}


def cookie_of(administrators: Administrators) -> str:
    response = aiohttp.web.Response()
    administrators.remember(response, secure=True)
    (first, _) = response.headers.getall("Set-Cookie")
    assert "Secure" in first
    return first.partition(";")[0].partition("=")[2]


def is_let_in(administrators: Administrators, cookie: str) -> bool:
    try:
        administrators.check(Asked(cookie))  # type: ignore[arg-type]
    except (AdminRequired, AdminRefused):
        return False
    return True


def test_a_cookie_ends_with_time_with_the_token_and_with_the_secret() -> None:
    now = 1_000_000.0
    administrators = Administrators("token", b"secret", lambda: now)
    cookie = cookie_of(administrators)
    assert is_let_in(administrators, cookie)
    expires, _, signature = cookie.partition(".")
    for forged in (f"{int(expires) + 1}.{signature}", f"{expires}.{signature[:-1]}0x", expires, ".", "é.ü", ""):
        assert not is_let_in(administrators, forged)
    assert not is_let_in(Administrators("another", b"secret", lambda: now), cookie)
    assert not is_let_in(Administrators("token", b"another", lambda: now), cookie)
    assert not is_let_in(Administrators("", b"secret", lambda: now), cookie)
    now += COOKIE_SECONDS
    assert not is_let_in(administrators, cookie)
