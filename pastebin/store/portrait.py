"""The servers of the database as a portrait of the node shows them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pastebin.portraits import Server, Servers
from pastebin.sections import DatabaseSection
from pastebin.store.balancing import Lag
from pastebin.store.topology import MemberReport


def servers(reports: Sequence[MemberReport], section: DatabaseSection) -> Servers:
    """Who leads, and all others."""
    leader = next((report for report in reports if report.leads), None)
    return Servers(
        None if leader is None else _server(leader, leader.state),
        [_server(report, _state(report, section)) for report in reports if not report.leads][:64],
    )


def _state(report: MemberReport, section: DatabaseSection) -> str:
    """A replica that answers and is not read all the same lags."""
    behind = Lag(report.lag_seconds, report.lag_bytes)
    is_lagging = report.state == "up" and not behind.within(section.max_lag_seconds, section.max_lag_bytes)
    return "lagging" if is_lagging else report.state


def _server(report: MemberReport, state: str) -> Server:
    # two clocks have their part in it
    seconds = None if report.lag_seconds is None else max(report.lag_seconds, 0.0)
    return Server(report.name[:128], state, report.in_flight, seconds, report.lag_bytes)
