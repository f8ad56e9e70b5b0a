"""A node with every role, and everything that can happen to pastes: what owner and administrator are told of it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pastebin.analytics.keeping import beside
from tests.nodes import directory
from tests.scenarios.processes import CALM, NodeProcess, node_process
from tests.scenarios.traces import ADDRESS_6, BOT, READER, assert_no_trace, dumped

pytestmark = pytest.mark.scenario

PAGE = {"Accept": "text/html"}
NOTHING: Mapping[str, str] = {}
# scripts/bench visible holds this against the five seconds that a machine without other work has
_PATIENCE_SECONDS = 90.0


class Site:
    """A node, somebody who writes, and readers behind a proxy."""

    def __init__(self, node: NodeProcess, http: aiohttp.ClientSession, admin: str) -> None:
        self.node = node
        self._http = http
        self._admin = admin
        self.cache_status = ""  # of the last answer

    async def ask(self, path: str, method: str = "GET", *, internal: bool = False, **options: Any) -> tuple[int, Any]:
        """Status, and the content: decoded where it is JSON."""
        headers = {**READER, **options.pop("headers", {})}
        base = self.node.internal if internal else self.node.url
        async with self._http.request(method, base + path, headers=headers, **options) as response:
            self.cache_status = response.headers.get("Cache-Status", "")
            if response.content_type == "application/json":
                return response.status, await response.json()
            return response.status, await response.text()

    async def read(
        self, path: str, status: int = 200, method: str = "GET", headers: Mapping[str, str] = NOTHING
    ) -> None:
        found, content = await self.ask(path, method, headers=dict(headers))
        assert found == status, content

    async def paste(self, content: str, **options: Any) -> dict[str, Any]:
        status, created = await self.ask("/api/v1/pastes", "POST", json={"content": content, **options})
        assert status == 201, created
        assert isinstance(created, dict)
        return created

    async def report(self, name: str, **query: str) -> Any:
        headers = {"Authorization": f"Bearer {self._admin}"}
        status, told = await self.ask(f"/api/v1/analytics/{name}", params={"since": "2h", **query}, headers=headers)
        assert status == 200, told
        return told

    async def stats(self, paste: dict[str, Any], **query: str) -> Any:
        headers = {"Authorization": f"Bearer {paste['token']}"}
        path = f"/api/v1/pastes/{paste['slug']}/stats"
        status, told = await self.ask(path, params={"since": "2h", **query}, headers=headers)
        assert status == 200, told
        return told

    async def visits(self, audience: str = "all") -> dict[str, int]:
        """By slug."""
        rows = (await self.report("top", audience=audience, limit="1000"))["rows"]
        return {row["value"]: row["visits"] for row in rows}


async def until(expected: object, ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := await ask()) != expected:
        assert time.monotonic() < deadline, f"{found} is not {expected}"
        await asyncio.sleep(0.1)  # nobody tells when a report changes


@asynccontextmanager
async def site(place: Path) -> AsyncIterator[Site]:
    options = ("doors.trusted_proxies=['127.0.0.1']", "sweeping.interval_seconds=0.5", "blobs.min_free_bytes=0")
    async with node_process(place / "data", CALM, *(f"--set={option}" for option in options)) as node:
        admin = (place / "data" / "admin-token").read_text(encoding="ascii").strip()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)) as http:
            yield Site(node, http, admin)


@pytest.mark.usefixtures("whole_day")
async def test_reports_say_what_happened_and_nothing_says_to_whom() -> None:
    async with directory() as place:
        async with site(place) as running:
            counted = await _readings(running)
            counted |= await _changes(running)
            await until(counted, running.visits)
            await _nothing_else(running)
            last = next(iter(counted))  # what is read later is visible later
            await running.read(f"/{last}/raw")
            counted[last] += 1
            await until(counted, running.visits)
            overview = await running.report("overview", audience="all")
            assert overview["totals"]["visits"] == sum(counted.values())
            _, metrics = await running.ask("/metrics", internal=True)
            assert f"pastebin_visits_noted_total {float(sum(counted.values()))}" in metrics
            assert "pastebin_visits_dropped_total{" not in metrics
            assert_no_trace("metrics", metrics.encode())
            for dsn in (running.node.dsn, beside(running.node.dsn)):
                async for table, dump in dumped(dsn):
                    assert_no_trace(table, dump)
            log = running.node.log_text
        assert_no_trace("log", log.encode())
        files = [path for path in place.rglob("*") if path.is_file()]
        assert any("pg_wal" in path.parts for path in files)
        for path in files:
            assert_no_trace(str(path), path.read_bytes())


async def _readings(site: Site) -> dict[str, int]:
    """Every way of reading one paste."""
    paste = await site.paste("line\n" * 100, name="a.txt")
    slug = paste["slug"]
    await site.read(f"/{slug}", headers=PAGE)
    missed = await _until_hit(site, f"/{slug}/raw")
    for _ in range(20):  # answered before aiohttp
        await site.read(f"/{slug}/raw")
    await site.read(f"/raw/{slug}")
    await site.read(f"/api/v1/pastes/{slug}")
    await site.read(f"/{slug}/raw?download=1")
    await site.read(f"/{slug}/raw", headers={"X-Forwarded-For": ADDRESS_6, "DNT": "1"})
    await site.read(f"/{slug}/raw", headers={"X-Forwarded-For": ADDRESS_6, "Referer": "https://news.example/x"})
    await site.read(f"/{slug}/raw", headers={"User-Agent": BOT})
    await site.read(f"/{slug}/raw", method="HEAD")
    await site.read(f"/{slug}/raw/nothing", 404)
    kinds = {"page": 1, "raw": missed + 24, "api": 1, "download": 1}

    async def told() -> object:
        stats = await site.stats(paste)
        return {row["value"]: row["visits"] for row in stats["kinds"]}

    await until(kinds, told)
    stats = await site.stats(paste)
    # who does not want to be known is no visitor, but has read
    assert (stats["totals"]["visits"], stats["totals"]["daily_visitors"]) == (missed + 27, 2)
    assert {row["value"]: row["visits"] for row in stats["clients"]} == {"Firefox": missed + 26, "": 1}
    assert {row["value"]: row["visits"] for row in stats["referrers"]} == {"news.example": 1, "": missed + 26}
    assert (await site.stats(paste, audience="bots"))["totals"]["visits"] == 1
    caches = {row["value"]: row["visits"] for row in (await site.report("cache", slug=slug, audience="all"))["rows"]}
    assert caches.keys() <= {"hit", "miss"}
    assert caches["hit"] >= 21
    return {slug: missed + 28}


async def _until_hit(site: Site, path: str) -> int:
    """How many readings were no hits before one was: an edge may not keep anything until it knows of all changes."""
    missed = 0
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            await site.read(path)
            if "; hit" in site.cache_status:
                return missed
            missed += 1
            await asyncio.sleep(0.1)


async def _changes(site: Site) -> dict[str, int]:
    """Everything that can happen to pastes, each to one of its own; what was read of them."""
    names = ("revised", "deleted", "expired", "burned", "reported", "taken_down", "off")
    options: dict[str, dict[str, Any]] = {
        "expired": {"expires_in": "1s"},
        "burned": {"max_reads": 2},
        "off": {"analytics": "off"},
    }
    pastes = {name: await site.paste(f"{name}\n", **options.get(name, {})) for name in names}
    slugs = {name: pastes[name]["slug"] for name in names}
    owner = {name: {"Authorization": f"Bearer {pastes[name]['token']}"} for name in names}
    status, _ = await site.ask(
        f"/api/v1/pastes/{slugs['revised']}", "PATCH", json={"content": "again\n"}, headers=owner["revised"]
    )
    assert status == 200
    await site.read(f"/{slugs['revised']}/raw")
    await site.read(f"/{slugs['deleted']}/raw")
    status, _ = await site.ask(f"/api/v1/pastes/{slugs['deleted']}", "DELETE", headers=owner["deleted"])
    assert status in (200, 204)
    await site.read(f"/{slugs['deleted']}/raw", 404)
    await site.read(f"/{slugs['burned']}", headers=PAGE)  # which only asks whether to show it
    for path in (f"/api/v1/pastes/{slugs['burned']}/reveal", f"/{slugs['burned']}/reveal"):
        status, text = await site.ask(path, "POST", headers={"Accept": "application/json"})
        assert status == 200, text
    for name in ("reported", "taken_down"):
        status, _ = await site.ask(f"/api/v1/pastes/{slugs[name]}/report", "POST", json={"reason": "spam"})
        assert status == 204
    await _take_down(site.node, slugs["taken_down"])
    await _uncounted(site, pastes["off"])
    hidden = await _hidden(site)
    await _told_of_changes(site)
    off = await site.stats(pastes["off"], audience="all")
    assert off["totals"]["visits"] == 0
    return {slugs["revised"]: 1, slugs["deleted"]: 1, slugs["burned"]: 2, hidden: 2}


async def _told_of_changes(site: Site) -> None:
    happened = {
        "created": 10,
        "revised": 1,
        "deleted": 1,
        "burned": 2,
        "reported": 2,
        "taken_down": 1,
    }

    async def told() -> object:
        stored = (await site.report("overview"))["stored"]
        return {name: stored[name] for name in happened}

    await until(happened, told)

    async def expired() -> object:
        return (await site.report("overview"))["stored"]["expired"]

    await until(1, expired)
    rows = (await site.report("storage"))["rows"]
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update({name: row[name] for name in (*happened, "expired")})
    assert sums == {**happened, "expired": 1}


async def _uncounted(site: Site, off: dict[str, Any]) -> None:
    """Readings of pastes that are not to be counted: misses, hits, and the only one of a paste that burns."""
    slug = off["slug"]
    for path in ("", "/raw?download"):
        await site.read(f"/{slug}{path}", headers=PAGE)
    await site.read(f"/api/v1/pastes/{slug}")
    await _until_hit(site, f"/{slug}/raw")
    for _ in range(3):
        await site.read(f"/{slug}/raw")
    burning = (await site.paste("off, too\n", analytics="off", max_reads=1))["slug"]
    await site.read(f"/api/v1/pastes/{burning}/reveal", method="POST")


async def _hidden(site: Site) -> str:
    """A paste that is counted, until its owner wants it otherwise."""
    paste = await site.paste("hidden\n")
    slug, headers = paste["slug"], {"Authorization": f"Bearer {paste['token']}"}
    await site.read(f"/{slug}/raw")
    await site.read(f"/{slug}/raw")
    status, _ = await site.ask(f"/api/v1/pastes/{slug}", "PATCH", json={"analytics": "off"}, headers=headers)
    assert status == 200
    await _until_hit(site, f"/{slug}/raw")
    await site.read(f"/{slug}/raw")
    return str(slug)


async def _nothing_else(site: Site) -> None:
    for path, method, status in (
        ("/", "GET", 200),
        ("/nothing-like-this", "GET", 404),
        ("/nothing-like-this/raw", "GET", 404),
        ("/api/v1/pastes/nothinglikethis", "GET", 404),
        ("/nothing-like-this", "HEAD", 404),
        ("/static/none.css", "GET", 404),
        ("/api/v1/limits", "GET", 200),
    ):
        await site.read(path, status, method, headers=PAGE)


async def _take_down(node: NodeProcess, slug: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pastebin", "admin", "take-down", slug, "--reason=spam"),
        *(f"--data-dir={node.data_dir}",),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), _PATIENCE_SECONDS)
    assert process.returncode == 0, out.decode()
