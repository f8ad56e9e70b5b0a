"""Reports over HTTP, behind an edge: who gets them, what is in them, and that nobody keeps them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from pastebin.analytics.engines import Filter, Span
from tests.analytics.traffic import AUTHORIZED, TOKEN, Site, visited
from tests.postgres import Server

REPORTS = ["overview", "timeseries", "top", "countries", "referrers", "clients", "cache", "regions", "storage"]
ROLES = ["web", "read", "write", "cdn-worker", "edge", "analytics"]
NOTHING: dict[str, str] = {}


@pytest.fixture(scope="module")
async def site(postgres: Server, session_database_dsn: str) -> AsyncIterator[Site]:
    async with visited(postgres, session_database_dsn, node__roles=ROLES, doors__edge="127.0.0.1:0") as one:
        yield one


async def get(
    site: Site, path: str, headers: dict[str, str] = AUTHORIZED, **query: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    address = path if path.startswith("http") else f"{site.node.url}{path}"
    async with site.node.http.get(address, params=query, headers=headers, allow_redirects=False) as response:
        return response, await response.read()


async def told(site: Site, report: str, **query: str) -> dict[str, Any]:
    response, body = await get(site, f"/api/v1/analytics/{report}", **query)
    assert response.status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def is_kept_by_nobody(response: aiohttp.ClientResponse) -> bool:
    return "no-store" in response.headers["Cache-Control"] and response.headers.get("Age") is None


@pytest.mark.parametrize("report", [*REPORTS, "live"])
async def test_only_the_administrator_is_told(site: Site, report: str) -> None:
    """In any order: what one is told is given to nobody else by the cache in front."""
    path = f"/api/v1/analytics/{report}"
    for _ in range(2):
        if report != "live":
            response, _body = await get(site, path)
            assert response.status == 200
            assert is_kept_by_nobody(response)
        for headers, status, slug in (
            (NOTHING, 401, "admin-required"),
            ({"Cookie": "admin=9999999999.forged"}, 401, "admin-required"),
        ):
            response, body = await get(site, path, headers)
            assert response.status == status
            assert json.loads(body)["type"] == f"/problems/{slug}"
            assert is_kept_by_nobody(response)
            assert TOKEN not in body.decode()


async def test_many_at_once_get_their_own_answers(site: Site) -> None:
    path = "/api/v1/analytics/overview"
    answers = await asyncio.gather(*(get(site, path, AUTHORIZED if n % 2 else NOTHING) for n in range(20)))
    assert [response.status for response, _ in answers] == [401, 200] * 10


async def test_totals_are_those_of_the_engine_and_of_every_report(site: Site) -> None:
    overview = await told(site, "overview", since="7d")
    span = Span(*(datetime.fromisoformat(overview[name]) for name in ("since", "until")))
    visits = (await site.engine.totals(span, Filter())).visits
    assert visits > 1000
    assert overview["totals"]["visits"] == visits
    for report in ("timeseries", "top", "countries", "referrers", "clients", "cache", "regions"):
        rows = (await told(site, report, since="7d", granularity="day"))["rows"]
        assert sum(row["visits"] for row in rows) == visits, report
    everybody = await told(site, "overview", since="7d", audience="all")
    bots = await told(site, "overview", since="7d", audience="bots")
    assert everybody["totals"]["visits"] == visits + bots["totals"]["visits"]
    stored = (await told(site, "storage", since="7d"))["rows"]
    assert sum(row["created"] for row in stored) == overview["stored"]["created"] > 0


async def test_one_paste_by_itself(site: Site) -> None:
    slug = site.paste["slug"]
    (row,) = [row for row in (await told(site, "top", since="7d"))["rows"] if row["value"] == slug]
    (only,) = (await told(site, "top", since="7d", slug=slug))["rows"]
    assert only == row


async def test_lists_are_read_page_by_page(site: Site) -> None:
    whole = [row["value"] for row in (await told(site, "countries", since="7d", limit="1000"))["rows"]]
    address = f"{site.node.url}/api/v1/analytics/countries?since=7d&limit=5&format=json"
    found: list[str] = []
    pages = 0
    while address:
        response, body = await get(site, address)
        assert response.status == 200, body
        report = json.loads(body)
        found += [row["value"] for row in report["rows"]]
        pages += 1
        address = report["next"] or ""
        assert str(response.links.get("next", {}).get("url", "")) == address
    assert found == whole
    assert pages == -(-len(whole) // 5)


@pytest.mark.parametrize("report", REPORTS)
async def test_every_report_is_a_table_as_well(site: Site, report: str) -> None:
    asked, body = await get(site, f"/api/v1/analytics/{report}", {**AUTHORIZED, "Accept": "text/csv"}, since="7d")
    named, again = await get(site, f"/api/v1/analytics/{report}", since="7d", format="csv")
    assert asked.content_type == named.content_type == "text/csv"
    assert body.splitlines()[0] == again.splitlines()[0]
    assert f'filename="{report}.csv"' in named.headers["Content-Disposition"]
    header, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


async def test_time_is_cut_where_days_begin(site: Site) -> None:
    report = await told(site, "timeseries", since="3d", granularity="day", zone="Asia/Kathmandu")
    moments = [datetime.fromisoformat(row["at"]) for row in report["rows"]]
    assert {at.utcoffset() for at in moments} == {timedelta(hours=5, minutes=45)}
    assert {(at.hour, at.minute) for at in moments} == {(0, 0)}


async def test_what_is_wrong_is_told_all_at_once(site: Site) -> None:
    response, body = await get(site, "/api/v1/analytics/top", since="x", zone="y", by="z", limit="0", colour="red")
    assert response.status == 422
    problem = json.loads(body)
    assert problem["type"] == "/problems/invalid-question"
    assert {one["field"] for one in problem["errors"]} == {"since", "zone", "by", "limit", "colour"}


async def test_a_browser_signs_in_and_out(site: Site) -> None:
    url = site.node.url
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{url}/admin/analytics", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/admin")
        async with browser.post(f"{url}/admin", data={"token": "wrong"}) as response:
            assert response.status == 403
        foreign = {"Origin": "https://evil.example"}
        async with browser.post(f"{url}/admin", data={"token": TOKEN}, headers=foreign) as response:
            assert response.status == 403
            assert "Set-Cookie" not in response.headers
        async with browser.post(f"{url}/admin", data={"token": TOKEN}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/admin/analytics")
            cookies = response.headers.getall("Set-Cookie")
        assert [cookie.split("Path=")[1].split(";")[0] for cookie in cookies] == ["/admin", "/api/v1/analytics"]
        for cookie in cookies:
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert "Max-Age=" in cookie
            assert TOKEN not in cookie
        async with browser.get(f"{url}/admin/analytics?since=7d", allow_redirects=False) as response:
            assert response.status == 200
            assert is_kept_by_nobody(response)
            assert "script-src 'self'" in response.headers["Content-Security-Policy"]
            assert "'unsafe" not in response.headers["Content-Security-Policy"]
            page = await response.text()
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        async with browser.get(f"{url}/api/v1/analytics/overview") as response:
            assert response.status == 200
        async with browser.post(f"{url}/admin", data={"action": "leave"}) as response:
            assert response.status == 200
        async with browser.get(f"{url}/api/v1/analytics/overview") as response:
            assert response.status == 401


async def test_what_happens_is_told_every_second(site: Site) -> None:
    headers = {**AUTHORIZED, "Accept": "text/event-stream"}
    async with (
        asyncio.timeout(90),
        site.node.http.get(f"{site.node.url}/api/v1/analytics/live", headers=headers) as live,
    ):
        assert live.content_type == "text/event-stream"
        assert is_kept_by_nobody(live)
        lines = [line async for line in _first(live, 5)]
    messages = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert messages
    assert set(messages[0]) == {"at", "people", "bots", "hits", "changes"}


async def _first(live: aiohttp.ClientResponse, count: int) -> AsyncIterator[str]:
    async for line in live.content:
        yield line.decode().strip()
        count -= 1
        if not count:
            return


async def test_owners_see_their_paste_only(site: Site) -> None:
    slug, owner = site.paste["slug"], {"Authorization": f"Bearer {site.paste['token']}"}
    path = f"/api/v1/pastes/{slug}/stats"
    response, body = await get(site, path, owner, since="7d")
    assert response.status == 200, body
    assert is_kept_by_nobody(response)
    stats = json.loads(body)
    assert stats["totals"]["visits"] == sum(row["visits"] for row in stats["series"]) > 0
    assert sum(sum(row) for row in stats["heat"]) == stats["totals"]["visits"]
    assert stats["pastes"] == stats["regions"] == stats["stored"] == []
    (row,) = [row for row in (await told(site, "top", since="7d"))["rows"] if row["value"] == slug]
    assert stats["totals"]["visits"] == row["visits"]
    for headers, status in (
        (NOTHING, 401),
        ({"Authorization": f"Bearer {site.other['token']}"}, 403),
        (AUTHORIZED, 403),
    ):
        response, _ = await get(site, path, headers)
        assert response.status == status
        assert is_kept_by_nobody(response)
    response, body = await get(site, path, owner, since="7d", format="csv", table="countries")
    assert response.content_type == "text/csv"
    assert body.startswith(b"visits,")
    response, body = await get(site, path, owner, since="soon", zone="Mars")
    assert response.status == 422
    assert {one["field"] for one in json.loads(body)["errors"]} == {"since", "zone"}
    response, _ = await get(site, "/api/v1/pastes/no-such-paste/stats", owner)
    assert response.status == 404


async def test_the_page_of_an_owner_asks_for_the_token(site: Site) -> None:
    slug, url = site.paste["slug"], site.node.url
    html = {"Accept": "text/html"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers=html) as browser:
        async with browser.get(f"{url}/{slug}/stats") as response:
            assert response.status == 401
            assert "Owner token" in await response.text()
        async with browser.post(f"{url}/{slug}/stats", data={"token": site.other["token"]}) as response:
            assert response.status == 403
        async with browser.post(f"{url}/{slug}/stats", data={"token": site.paste["token"]}) as response:
            assert response.status == 200
            assert is_kept_by_nobody(response)
            assert "Daily visitors" in await response.text()
        async with browser.get(f"{url}/{slug}/stats?since=7d&format=csv") as response:
            assert response.content_type == "text/csv"
    async with site.node.http.get(f"{url}/{slug}/stats", headers=html) as response:
        assert response.status == 401


async def test_guesses_are_bounded(site: Site) -> None:
    """Whoever guesses is slowed down, and the administrator behind the same proxy is not."""
    path, guess = "/api/v1/analytics/overview", {"Authorization": "Bearer guess"}
    answers = [await get(site, path, guess) for _ in range(12)]
    assert json.loads(answers[0][1])["type"] == "/problems/admin-refused"
    assert answers[-1][0].status == 429
    assert int(answers[-1][0].headers["Retry-After"]) >= 1
    assert (await get(site, path))[0].status == 200
