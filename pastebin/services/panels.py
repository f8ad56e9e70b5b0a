"""What a page of statistics shows: each picture with its table, made of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from markupsafe import Markup

from pastebin.reports import Granularity, StatsReport, Stored, Value
from pastebin.services import charts, charts_maps
from pastebin.services.charts import Axis, Bar, Series
from pastebin.services.countries import NAMES

# The address of a table as CSV, by the name of its report; None where there is none.
Csv = Callable[[str], str | None]

UNKNOWN = "Unknown"
MOST_ROWS = 10
_KINDS = {"page": "Page", "raw": "Raw text", "api": "API", "download": "Download", "embed": "Embedded"}
_CACHES = {
    "hit": "Hit",
    "stale": "Stale copy",
    "miss": "Miss",
    "pass": "Passed on",
    "none": "No cache",
}
_LONGEST_DESCRIPTION = 3


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture as SVG, and the same as a table. `legend` holds class and name of each colour."""

    identity: str
    title: str
    hint: str
    svg: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    csv: str | None = None
    legend: list[tuple[str, str]] = field(default_factory=list)
    is_wide: bool = False
    is_scale: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.rows

    @property
    def picture(self) -> Markup:
        """For a template, which does not escape it again."""
        return Markup(self.svg)  # noqa: S704  (charts escape every text)


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure; `before` is that of the time before, where they can be compared."""

    label: str
    value: float
    unit: Literal["count", "bytes", "share", "ms"]
    before: float | None = None
    hint: str = ""

    @property
    def change(self) -> str:
        """How much more or less than before, in words."""
        if not self.before:
            return ""
        if self.value >= 10 * self.before:
            return f"{self.value / self.before:,.0f} times what it was"
        percent = round(100 * (self.value - self.before) / self.before)
        if percent == 0:
            return "as before"
        return f"{abs(percent):,} % {'more' if percent > 0 else 'less'} than before"


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything on a page."""

    tiles: list[Tile]
    panels: list[Panel]

    @property
    def is_empty(self) -> bool:
        return all(panel.is_empty for panel in self.panels)


def shown(report: StatsReport, shapes: str, csv: Csv, *, of_service: bool) -> Shown:
    """A page of one paste, or `of_service` as a whole; `shapes` is the address of the world's."""
    return Shown(tiles(report, of_service=of_service), panels(report, shapes, csv, of_service=of_service))


def tiles(report: StatsReport, *, of_service: bool) -> list[Tile]:
    """The figures at the top of a page."""
    now, before = report.totals, report.before
    found = [
        Tile("Visits", now.visits, "count", before.visits),
        Tile("Daily visitors", now.daily_visitors, "count", before.daily_visitors, "each counts once a day (UTC)"),
        Tile("Sent", now.bytes, "bytes", before.bytes),
        Tile("From a cache", now.hits / now.visits if now.visits else 0.0, "share"),
    ]
    if of_service:
        found.append(Tile("Mean duration", now.mean_milliseconds, "ms"))
        found.append(Tile("Server errors", now.errors, "count", before.errors))
        found.append(Tile("New pastes", sum(one.created for one in report.stored), "count"))
    return found


def panels(report: StatsReport, shapes: str, csv: Csv, *, of_service: bool) -> list[Panel]:
    """The pictures of a page."""
    found = [_traffic(report, csv), _world(report, shapes, csv), _heat(report)]
    if of_service:
        found.append(_ranking("pastes", "Pastes", report.pastes, csv("top"), "Paste"))
    found.append(_ranking("referrers", "Referrers", report.referrers, csv("referrers"), "Site", UNKNOWN + " or none"))
    found.append(_ranking("clients", "Programs", report.clients, csv("clients"), "Program"))
    found.append(_ranking("kinds", "Ways of reading", report.kinds, csv("kinds"), "Way", names=_KINDS))
    if of_service:
        found.append(_ranking("regions", "Regions", report.regions, csv("regions"), "Region"))
        found.append(_ranking("caches", "Cache", report.caches, csv("cache"), "Answer", names=_CACHES))
        found.append(_stored(report, csv("storage")))
    return found


def axis(times: Sequence[datetime], granularity: Granularity) -> Axis:
    """Buckets in the zone of `times`; where hours of several days stand in a row, the days are marked."""
    names = [_exact(at, granularity) for at in times]
    days = [(index, f"{at.day} {at:%b}") for index, at in enumerate(times) if at.hour == 0 and at.minute == 0]
    if granularity == "month":
        marks = [(index, f"{at:%b %Y}") for index, at in enumerate(times)]
    elif granularity in ("day", "week"):
        marks = [(index, f"{at.day} {at:%b}") for index, at in enumerate(times)]
    elif len(days) > 1:
        marks = days
    else:
        marks = [(index, f"{at:%H:%M}") for index, at in enumerate(times)]
    return Axis(names, marks)


def _exact(at: datetime, granularity: Granularity) -> str:
    return f"{at:%Y-%m-%d}" if granularity in ("day", "week", "month") else f"{at:%Y-%m-%d %H:%M}"


def _traffic(report: StatsReport, csv: Csv) -> Panel:
    rows = report.series
    shown = [
        Series("Visits", [row.visits for row in rows]),
        Series("Daily visitors", [row.daily_visitors for row in rows]),
    ]
    busiest = max(rows, key=lambda row: row.visits, default=None)
    described = f"{report.totals.visits:,} visits in all."
    if busiest is not None and busiest.visits:
        described += f" Most by {report.granularity}: {busiest.visits:,}, {_exact(busiest.at, report.granularity)}."
    is_seen = any(row.visits for row in rows)
    return Panel(
        "traffic",
        "Visits",
        f"by {report.granularity}, {report.zone}",
        charts.lines(
            "traffic", "Visits over time", described, axis([row.at for row in rows], report.granularity), shown
        ),
        ("From", "Visits", "Daily visitors"),
        [(_exact(row.at, report.granularity), f"{row.visits:,}", f"{row.daily_visitors:,}") for row in rows]
        if is_seen
        else [],
        csv("timeseries"),
        charts.legend(shown),
        is_wide=True,
    )


def _world(report: StatsReport, shapes: str, csv: Csv) -> Panel:
    values = {row.value: row.visits for row in report.countries if row.value in NAMES}
    return Panel(
        "world",
        "Countries",
        "by the reader's network; where it is known",
        charts_maps.world("world", "Visits by country", _most(report.countries, NAMES), values, shapes),
        ("Country", "Visits", "Daily visitors", "Share"),
        _lines(report.countries, NAMES),
        csv("countries"),
        charts_maps.steps(max(values.values(), default=0)),
        is_wide=True,
        is_scale=True,
    )


def _heat(report: StatsReport) -> Panel:
    cells = [
        (value, f"{charts_maps.WEEKDAYS[day]}, {hour:02}:00")
        for day, row in enumerate(report.heat)
        for hour, value in enumerate(row)
    ]
    highest, when = max(cells, default=(0, ""))
    described = f"Most: {highest:,}, {when}." if highest else "No visits."
    names = [name[:3] for name in charts_maps.WEEKDAYS]
    return Panel(
        "heat",
        "Hours of the week",
        f"visits since {report.heat_since:%Y-%m-%d}, {report.zone}",
        charts_maps.heat("heat", "Visits by weekday and hour", described, report.heat),
        ("Hour", *names),
        [(f"{hour:02}:00", *(f"{report.heat[day][hour]:,}" for day in range(7))) for hour in range(24)]
        if highest
        else [],
        None,
        charts_maps.steps(highest),
        is_scale=True,
    )


def _ranking(
    identity: str,
    title: str,
    values: Sequence[Value],
    csv: str | None,
    word: str,
    unknown: str = UNKNOWN,
    names: dict[str, str] | None = None,
) -> Panel:
    named = {"": unknown, **(names or {})}
    total = sum(row.visits for row in values) or 1
    rows = [
        Bar(named.get(row.value, row.value), row.visits, f"{row.visits:,} · {100 * row.visits / total:.0f} %")
        for row in values
    ]
    return Panel(
        identity,
        title,
        f"the {MOST_ROWS} with the most visits" if len(values) >= MOST_ROWS else "",
        charts.bars(identity, f"{title} by visits", _most(values, named), rows),
        (word, "Visits", "Daily visitors", "Share"),
        _lines(values, named),
        csv,
    )


def _stored(report: StatsReport, csv: str | None) -> Panel:
    def gone(row: Stored) -> int:
        return row.deleted + row.expired + row.burned + row.taken_down

    rows = report.stored
    shown = [Series("Created", [row.created for row in rows]), Series("Gone", [gone(row) for row in rows])]
    made, lost = (sum(one.values) for one in shown)
    return Panel(
        "stored",
        "Pastes created and gone",
        f"by {report.granularity}; gone: deleted, expired, burned or taken down",
        charts.columns(
            "stored",
            "Pastes created and gone over time",
            f"{made:,} created, {lost:,} gone.",
            axis([row.at for row in rows], report.granularity),
            shown,
        ),
        ("From", "Created", "Revised", "Deleted", "Expired", "Burned", "Reported", "Taken down"),
        [
            (
                _exact(row.at, report.granularity),
                *(
                    f"{number:,}"
                    for number in (
                        row.created,
                        row.revised,
                        row.deleted,
                        row.expired,
                        row.burned,
                        row.reported,
                        row.taken_down,
                    )
                ),
            )
            for row in rows
        ]
        if made or lost
        else [],
        csv,
        charts.legend(shown),
    )


def _lines(values: Sequence[Value], names: dict[str, str]) -> list[tuple[str, ...]]:
    total = sum(row.visits for row in values) or 1
    return [
        (
            names.get(row.value, row.value) or UNKNOWN,
            f"{row.visits:,}",
            f"{row.daily_visitors:,}",
            f"{100 * row.visits / total:.1f} %",
        )
        for row in values
    ]


def _most(values: Sequence[Value], names: dict[str, str]) -> str:
    """The first few in words, for who does not see the picture."""
    first = [f"{names.get(row.value, row.value) or UNKNOWN}: {row.visits:,}" for row in values[:_LONGEST_DESCRIPTION]]
    return f"Most: {'; '.join(first)}." if first else "No visits."
