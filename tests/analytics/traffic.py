"""A week of visits that looks like one, and a node that has had them, for tests of what is shown."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.sections import AnalyticsSection
from pastebin.visits import Batch, Change, Visit
from tests.analytics.oracle import change, visit
from tests.nodes import Node, directory, started
from tests.postgres import Server, fresh_database

TOKEN = "an admin token of thirty-two characters"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}

COUNTRIES = [
    "",
    *("US", "DE", "US", "IN", "US", "FR") * 3,
    "BR",
    "JP",
    "GB",
    "CA",
    "AU",
    "PL",
    "ZA",
    "MX",
    "IL",
    "SG",
    "MT",
]
REFERRERS = [
    "",
    "",
    "",
    "news.ycombinator.com",
    "github.com",
    "www.reddit.com",
    "an-extremely-long-name." * 3 + "example",
]
AGENTS = [
    "Firefox",
    "Firefox",
    "Chrome",
    "Chrome",
    "Chrome",
    "Safari",
    "curl",
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
]


def week(until: datetime, slugs: list[str], count: int = 3000) -> list[Batch]:
    """Visits of the seven days before `until`, more by day than by night, and changes; the same every time."""
    chance = random.Random(7)  # noqa: S311
    visits: list[Visit] = []
    for number in range(1, count + 1):
        at = until - timedelta(minutes=chance.random() ** 1.2 * 7 * 24 * 60)
        if chance.random() > 0.55 + 0.45 * math.sin((at.hour - 8) / 24 * 2 * math.pi):
            at = min(at.replace(hour=chance.randrange(9, 20)), until - timedelta(minutes=1))
        reader = chance.randrange(1, 400)
        agent = chance.choice(AGENTS)
        visits.append(
            visit(
                number,
                at,
                slug=slugs[min(int(chance.expovariate(0.9)), len(slugs) - 1)],
                kind=chance.choice(["page", "page", "page", "raw", "api", "download"]),
                cache=chance.choice(["hit", "hit", "hit", "miss", "stale", "pass"]),
                region=chance.choice(["eu-central", "us-east", "ap-south"]),
                country=chance.choice(COUNTRIES),
                referrer=chance.choice(REFERRERS),
                agent=agent,
                agent_class="browser" if agent in ("Firefox", "Chrome", "Safari") else "tool",
                is_bot=chance.random() < 0.2,
                status=500 if chance.random() < 0.01 else 200,
                bytes=chance.randrange(200, 90_000),
                duration_us=chance.randrange(100, 40_000),
                visitor=reader * 1000 + at.toordinal() % 1000,
            )
        )
    changes: list[Change] = [
        change(
            number, until - timedelta(minutes=number * 30), chance.choice(["created", "created", "deleted", "expired"])
        )
        for number in range(1, 300)
    ]
    return [Batch("week-visits", "node", visits, []), Batch("week-changes", "history", [], changes)]


@dataclass(frozen=True)
class Site:
    """A node and its engine; `paste` is read by many, `other` by nobody."""

    node: Node
    engine: PostgresEngine
    paste: dict[str, Any]
    other: dict[str, Any]


@asynccontextmanager
async def visited(postgres: Server, dsn: str, *, visits: int = 3000, **settings: Any) -> AsyncIterator[Site]:
    """A node with a week of so many visits, on the database `dsn`, beside a new one for analytics."""
    async with (
        fresh_database(postgres, "template1") as analytics,
        directory() as path,
        PostgresEngine.opened(AnalyticsSection(), analytics) as engine,
        started(
            dsn,
            path,
            **{
                "node__roles": ["web", "read", "write", "analytics"],
                "analytics__database": analytics,
                "admin__token": TOKEN,
                **settings,
            },
        ) as node,
    ):
        paste, other = await node.paste("read by many"), await node.paste("read by nobody")
        now = datetime.now(UTC)
        slugs = [paste["slug"], "aaaaaaa", "bbbbbbb", "ccccccc", "d" * 64]
        for batch in week(now, slugs, visits) if visits else []:
            await engine.take(batch, now)
            await engine.roll(now)
        yield Site(node, engine, paste, other)
