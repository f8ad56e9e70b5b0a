"""What the analytics service shows: reports, the administrator's pages, answers for owners, and what happens now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pastebin.analytics.dashboard import DashboardHandlers
from pastebin.analytics.engines import Engine
from pastebin.analytics.live import Live
from pastebin.analytics.reporting import Reporting
from pastebin.analytics.reports import ReportHandlers, StatsAnswers
from pastebin.http.app import Routes
from pastebin.resources import Resources


@dataclass(frozen=True, slots=True)
class Showing:
    """`routes` are for the origin door; `stats` answers other nodes; `live` wants to hear of every new batch."""

    routes: Routes
    stats: StatsAnswers
    live: Live


@asynccontextmanager
async def showing(resources: Resources, engine: Engine) -> AsyncIterator[Showing]:
    """Show what `engine` knows while the block lasts."""
    config = resources.config
    section = config.analytics
    reporting = Reporting(engine, section.question_timeout_seconds)
    longest = timedelta(days=section.rollup_days + 1)
    administrators, addresses = resources.administrators, resources.addresses
    live = Live(resources.draining)
    reports = ReportHandlers(reporting, live, administrators, addresses, longest, section.max_rows, _now)
    dashboard = DashboardHandlers(
        reporting,
        administrators,
        resources.pages,
        resources.assets,
        addresses,
        longest,
        _now,
    )
    # pages need their style sheets and their door also where no other role has any
    alone = [] if "web" in config.node.roles else [*resources.assets.routes(), *resources.admin_door.routes()]
    async with resources.loops.running(live.run(), name="analytics-live"):
        routes = [*reports.routes(), *dashboard.routes(), *alone]
        yield Showing(routes, StatsAnswers(reporting, longest, _now), live)


def _now() -> datetime:
    return datetime.now(UTC)
