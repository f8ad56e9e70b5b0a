"""What a page of statistics shows: each picture with its table, made of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from markupsafe import Markup

from pastebin import calendars
from pastebin.languages import gettext, ngettext, number, pgettext, say
from pastebin.phrases import N_
from pastebin.reports import Granularity, StatsReport, Stored, Value
from pastebin.services import charts, charts_maps
from pastebin.services.charts import Axis, Bar, Series
from pastebin.services.countries import NAMES

# The address of a table as CSV, by the name of its report; None where there is none.
Csv = Callable[[str], str | None]

UNKNOWN = N_("Unknown")
MOST_ROWS = 10
_KINDS = {
    "page": N_("Page"),
    "raw": N_("Raw text"),
    "api": "API",
    "download": N_("Download"),
    "embed": N_("Embedded"),
}
_CACHES = {
    "hit": N_("Hit"),
    "stale": N_("Stale copy"),
    "miss": N_("Miss"),
    "pass": N_("Passed on"),
    "none": N_("No cache"),
}
_LONGEST_DESCRIPTION = 3
# By whose steps a picture is drawn.
_BY = {
    "minute": N_("by minute, %(zone)s"),
    "hour": N_("by hour, %(zone)s"),
    "day": N_("by day, %(zone)s"),
    "week": N_("by week, %(zone)s"),
    "month": N_("by month, %(zone)s"),
}


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
            return gettext("%(num)s times what it was") % {"num": number(round(self.value / self.before))}
        percent = round(100 * (self.value - self.before) / self.before)
        if percent == 0:
            return gettext("as before")
        pattern = gettext("%(num)s %% more than before") if percent > 0 else gettext("%(num)s %% less than before")
        return pattern % {"num": number(abs(percent))}


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
        Tile(gettext("Visits"), now.visits, "count", before.visits),
        Tile(
            gettext("Daily visitors"),
            now.daily_visitors,
            "count",
            before.daily_visitors,
            gettext("each counts once a day (UTC)"),
        ),
        Tile(gettext("Sent"), now.bytes, "bytes", before.bytes),
        Tile(gettext("From a cache"), now.hits / now.visits if now.visits else 0.0, "share"),
    ]
    if of_service:
        found.append(Tile(gettext("Mean duration"), now.mean_milliseconds, "ms"))
        found.append(Tile(gettext("Server errors"), now.errors, "count", before.errors))
        found.append(Tile(gettext("New pastes"), sum(one.created for one in report.stored), "count"))
    return found


def panels(report: StatsReport, shapes: str, csv: Csv, *, of_service: bool) -> list[Panel]:
    """The pictures of a page."""
    found = [_traffic(report, csv), _world(report, shapes, csv), _heat(report)]
    if of_service:
        found.append(_ranking("pastes", gettext("Pastes"), report.pastes, csv("top"), gettext("Paste")))
    found.append(
        _ranking(
            "referrers",
            gettext("Referrers"),
            report.referrers,
            csv("referrers"),
            gettext("Site"),
            gettext("Unknown or none"),
        )
    )
    found.append(_ranking("clients", gettext("Programs"), report.clients, csv("clients"), gettext("Program")))
    kinds = {key: say(name) for key, name in _KINDS.items()}
    found.append(_ranking("kinds", gettext("Ways of reading"), report.kinds, csv("kinds"), gettext("Way"), names=kinds))
    if of_service:
        found.append(_ranking("regions", gettext("Regions"), report.regions, csv("regions"), gettext("Region")))
        caches = {key: say(name) for key, name in _CACHES.items()}
        found.append(_ranking("caches", gettext("Cache"), report.caches, csv("cache"), gettext("Answer"), names=caches))
        found.append(_stored(report, csv("storage")))
    return found


def axis(times: Sequence[datetime], granularity: Granularity) -> Axis:
    """Buckets in the zone of `times`; where hours of several days stand in a row, the days are marked."""
    names = [_exact(at, granularity) for at in times]
    days = [(index, calendars.day(at)) for index, at in enumerate(times) if at.hour == 0 and at.minute == 0]
    if granularity == "month":
        marks = [(index, calendars.month(at)) for index, at in enumerate(times)]
    elif granularity in ("day", "week"):
        marks = [(index, calendars.day(at)) for index, at in enumerate(times)]
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
        Series(gettext("Visits"), [row.visits for row in rows]),
        Series(gettext("Daily visitors"), [row.daily_visitors for row in rows]),
    ]
    busiest = max(rows, key=lambda row: row.visits, default=None)
    described = _visits(report.totals.visits)
    if busiest is not None and busiest.visits:
        described += " " + gettext("Most: %(things)s.") % {
            "things": f"{number(busiest.visits)}, {_exact(busiest.at, report.granularity)}"
        }
    is_seen = any(row.visits for row in rows)
    return Panel(
        "traffic",
        gettext("Visits"),
        say(_BY[report.granularity]) % {"zone": report.zone},
        charts.lines(
            "traffic", gettext("Visits over time"), described, axis([row.at for row in rows], report.granularity), shown
        ),
        (gettext("From"), gettext("Visits"), gettext("Daily visitors")),
        [(_exact(row.at, report.granularity), number(row.visits), number(row.daily_visitors)) for row in rows]
        if is_seen
        else [],
        csv("timeseries"),
        charts.legend(shown),
        is_wide=True,
    )


def _world(report: StatsReport, shapes: str, csv: Csv) -> Panel:
    values = {row.value: row.visits for row in report.countries if row.value in NAMES}
    names = {code: calendars.country(code, name) for code, name in NAMES.items() if code in values}
    return Panel(
        "world",
        gettext("Countries"),
        gettext("by the reader's network; where it is known"),
        charts_maps.world("world", gettext("Visits by country"), _most(report.countries, names), values, shapes, names),
        (gettext("Country"), gettext("Visits"), gettext("Daily visitors"), gettext("Share")),
        _lines(report.countries, names),
        csv("countries"),
        charts_maps.steps(max(values.values(), default=0)),
        is_wide=True,
        is_scale=True,
    )


def _heat(report: StatsReport) -> Panel:
    weekdays = calendars.weekdays()
    cells = [
        (value, f"{weekdays[day]}, {hour:02}:00")
        for day, row in enumerate(report.heat)
        for hour, value in enumerate(row)
    ]
    highest, when = max(cells, default=(0, ""))
    described = gettext("Most: %(things)s.") % {"things": f"{number(highest)}, {when}"} if highest else _visits(0)
    short = calendars.weekdays(is_short=True)
    return Panel(
        "heat",
        gettext("Hours of the week"),
        gettext("visits since %(day)s, %(zone)s") % {"day": f"{report.heat_since:%Y-%m-%d}", "zone": report.zone},
        charts_maps.heat("heat", gettext("Visits by weekday and hour"), described, report.heat, weekdays, short),
        (gettext("Hour"), *short),
        [(f"{hour:02}:00", *(number(report.heat[day][hour]) for day in range(7))) for hour in range(24)]
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
    unknown: str = "",
    names: dict[str, str] | None = None,
) -> Panel:
    named = {"": unknown or say(UNKNOWN), **(names or {})}
    total = sum(row.visits for row in values) or 1
    rows = [
        Bar(named.get(row.value, row.value), row.visits, f"{number(row.visits)} · {100 * row.visits / total:.0f} %")
        for row in values
    ]
    return Panel(
        identity,
        title,
        gettext("the %(num)s with the most visits") % {"num": MOST_ROWS} if len(values) >= MOST_ROWS else "",
        charts.bars(identity, gettext("%(title)s by visits") % {"title": title}, _most(values, named), rows),
        (word, gettext("Visits"), gettext("Daily visitors"), gettext("Share")),
        _lines(values, named),
        csv,
    )


def _stored(report: StatsReport, csv: str | None) -> Panel:
    def gone(row: Stored) -> int:
        return row.deleted + row.expired + row.burned + row.taken_down

    rows = report.stored
    shown = [
        Series(gettext("Created"), [row.created for row in rows]),
        Series(gettext("Gone"), [gone(row) for row in rows]),
    ]
    made, lost = (sum(one.values) for one in shown)
    return Panel(
        "stored",
        gettext("Pastes created and gone"),
        say(_BY[report.granularity]) % {"zone": report.zone}
        + "; "
        + gettext("gone: deleted, expired, burned or taken down"),
        charts.columns(
            "stored",
            gettext("Pastes created and gone over time"),
            gettext("Created: %(made)s. Gone: %(lost)s.") % {"made": number(made), "lost": number(lost)},
            axis([row.at for row in rows], report.granularity),
            shown,
        ),
        (
            gettext("From"),
            gettext("Created"),
            gettext("Revised"),
            pgettext("of pastes", "Deleted"),
            gettext("Expired"),
            gettext("Burned"),
            gettext("Reported"),
            gettext("Taken down"),
        ),
        [
            (
                _exact(row.at, report.granularity),
                *(
                    number(count)
                    for count in (
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
            names.get(row.value, row.value) or say(UNKNOWN),
            number(row.visits),
            number(row.daily_visitors),
            f"{100 * row.visits / total:.1f} %",
        )
        for row in values
    ]


def _most(values: Sequence[Value], names: dict[str, str]) -> str:
    """The first few in words, for who does not see the picture."""
    first = [
        f"{names.get(row.value, row.value) or say(UNKNOWN)}: {number(row.visits)}"
        for row in values[:_LONGEST_DESCRIPTION]
    ]
    return gettext("Most: %(things)s.") % {"things": "; ".join(first)} if first else _visits(0)


def _visits(count: int) -> str:
    if not count:
        return gettext("No visits.")
    return ngettext("%(num)s visit in all.", "%(num)s visits in all.", count) % {"num": number(count)}
