"""Charts as SVG text: pure functions of numbers, without script and without style.

Known libraries write style sheets and scripts into every picture, which the policy of our pages forbids; these write
only shapes with classes, which the pages' own style sheet colours. Places are given in per cent of the width, so that
a picture is as wide as its page while its text keeps its size. Every text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import escape

from pastebin import languages

LEVELS = 5

_TOP, _PLOT, _BOTTOM = 14, 170, 26
_MOST_LABELS = 6
_ROW, _BAR = 40, 8


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one colour of the columns; a value for each label."""

    name: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: what it is called, how long it is, and what is written at its end."""

    label: str
    value: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """The buckets below a chart: each by its full name, and a few of them by a short one, with its place."""

    names: Sequence[str]
    marks: Sequence[tuple[int, str]]


def lines(identity: str, title: str, description: str, axis: Axis, series: Sequence[Series]) -> str:
    """Lines over time, the first with an area below; `identity` is unique on its page."""
    top, ticks = scale(max((value for one in series for value in one.values), default=0))
    count = max(len(axis.names), 1)
    inside = []
    for number, one in enumerate(series, 1):
        points = [
            f"{1000 * (index + 0.5) / count:.1f} {_PLOT * (1 - value / top):.1f}"
            for index, value in enumerate(one.values)
        ]
        if not points:
            continue
        path = "M" + "L".join(points) + ("h.01" if len(points) == 1 else "")
        if number == 1 and len(points) > 1:
            first, last = points[0].split()[0], points[-1].split()[0]
            inside.append(f'<path class="area s1" d="{path}L{last} {_PLOT}L{first} {_PLOT}z"/>')
        inside.append(f'<path class="stroke s{number}" vector-effect="non-scaling-stroke" d="{path}"/>')
    plot = (
        f'<svg y="{_TOP}" width="100%" height="{_PLOT}" viewBox="0 0 1000 {_PLOT}" preserveAspectRatio="none"'
        f' overflow="visible">{"".join(reversed(inside))}</svg>'
    )
    body = _grid(top, ticks) + plot + _ticks(top, ticks) + _times(axis) + _tips(axis.names, series)
    return _picture(identity, title, description, "lines", _TOP + _PLOT + _BOTTOM, body)


def columns(identity: str, title: str, description: str, axis: Axis, series: Sequence[Series]) -> str:
    """Columns over time, one series on top of the other."""
    sums = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    top, ticks = scale(max(sums, default=0))
    width = 100 / max(len(axis.names), 1)
    shapes = []
    for index in range(len(axis.names)):
        foot = float(_TOP + _PLOT)
        for number, one in enumerate(series, 1):
            if height := _PLOT * one.values[index] / top:
                foot -= height
                place = f'x="{(index + 0.1) * width:.3f}%" width="{0.8 * width:.3f}%" y="{foot:.1f}"'
                shapes.append(f'<rect class="fill s{number}" {place} height="{height:.1f}"/>')
    body = _grid(top, ticks) + "".join(shapes) + _ticks(top, ticks) + _times(axis) + _tips(axis.names, series)
    return _picture(identity, title, description, "columns", _TOP + _PLOT + _BOTTOM, body)


def bars(identity: str, title: str, description: str, rows: Sequence[Bar]) -> str:
    """One bar below the other, each with its name and its value above."""
    longest = max((row.value for row in rows), default=0) or 1
    shapes = []
    for index, row in enumerate(rows):
        y = index * _ROW
        length = 100 * row.value / longest
        note = row.note or languages.number(row.value)
        shapes.append(
            f"<g><title>{escape(row.label)}: {languages.number(row.value)}</title>"
            f'<svg width="70%" y="{y}" height="{_BAR * 3}"><text class="name" x="0" y="18">{escape(row.label)}</text>'
            "</svg>"
            f'<text class="value" x="100%" y="{y + 18}" text-anchor="end">{escape(note)}</text>'
            f'<rect class="track" x="0" y="{y + 25}" width="100%" height="{_BAR}" rx="2"/>'
            f'<rect class="fill s1" x="0" y="{y + 25}" width="{length:.2f}%" height="{_BAR}" rx="2"/></g>'
        )
    return _picture(identity, title, description, "bars", max(len(rows), 1) * _ROW, "".join(shapes))


def legend(series: Sequence[Series]) -> list[tuple[str, str]]:
    """Class and name of each series, for the list beside a chart."""
    return [(f"s{number}", one.name) for number, one in enumerate(series, 1)]


def scale(highest: int) -> tuple[int, list[int]]:
    """The end of an axis that holds `highest`, and the round numbers to mark on it; whole, and at least 1."""
    rough = max(highest, 1) / 4
    power = 10 ** math.floor(math.log10(rough)) if rough >= 1 else 1
    step = next(int(power * factor) for factor in (1, 2, 5, 10) if power * factor >= rough)
    top = step * max(math.ceil(highest / step), 1)
    return top, list(range(0, top + 1, step))


def level(value: int, highest: int) -> int:
    """0 for nothing, else 1 to LEVELS; by the square root, so that small numbers differ as well."""
    if value <= 0 or highest <= 0:
        return 0
    return min(math.ceil(LEVELS * math.sqrt(value / highest)), LEVELS)


def compact(number: int) -> str:
    """Few characters for the edge of a chart: 950, 1.2k, 3M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}".removesuffix(".0") + unit
    return str(number)


def _picture(identity: str, title: str, description: str, kind: str, height: int, body: str) -> str:
    name = escape(identity)
    return (
        f'<svg class="chart {kind}" role="img" aria-labelledby="{name}-title {name}-desc" width="100%"'
        f' height="{height}" xmlns="http://www.w3.org/2000/svg"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{body}</svg>'
    )


def _grid(top: int, ticks: Sequence[int]) -> str:
    return "".join(
        f'<line class="grid{"" if tick else " base"}" x1="0" x2="100%" y1="{_height(tick, top):.1f}"'
        f' y2="{_height(tick, top):.1f}"/>'
        for tick in ticks
    )


def _ticks(top: int, ticks: Sequence[int]) -> str:
    return "".join(
        f'<text class="tick" x="0" y="{_height(tick, top) - 4:.1f}">{compact(tick)}</text>' for tick in ticks if tick
    )


def _height(value: int, top: int) -> float:
    return _TOP + _PLOT * (1 - value / top)


def _times(axis: Axis) -> str:
    """As many marks as there is room for, evenly spread; a narrow screen hides every other one, which is `minor`."""
    count = len(axis.names)
    step = max(math.ceil(len(axis.marks) / _MOST_LABELS), 1)
    shown = []
    for number, (index, label) in enumerate(axis.marks[::step]):
        place = 100 * (index + 0.5) / count
        anchor = "start" if place < 6 else "end" if place > 94 else "middle"
        x = {"start": 0.0, "middle": place, "end": 100.0}[anchor]
        kind = "time minor" if number % 2 else "time"
        y = _TOP + _PLOT + 18
        shown.append(f'<text class="{kind}" x="{x:.2f}%" y="{y}" text-anchor="{anchor}">{escape(label)}</text>')
    return "".join(shown)


def _tips(names: Sequence[str], series: Sequence[Series]) -> str:
    """What a pointer over a place is told."""
    width = 100 / max(len(names), 1)
    shapes = []
    for index, name in enumerate(names):
        told = "\n".join([name, *(f"{one.name}: {languages.number(one.values[index])}" for one in series)])
        place = f'x="{index * width:.3f}%" y="{_TOP}" width="{width:.3f}%" height="{_PLOT}"'
        shapes.append(f'<rect class="tip" {place}><title>{escape(told)}</title></rect>')
    return "".join(shapes)
