"""Charts of places: countries on a map, hours of a week in a grid. As `pastebin.services.charts`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import escape

from pastebin.languages import number
from pastebin.services.charts import LEVELS, level
from pastebin.services.countries import MAP_HEIGHT, MAP_WIDTH

_CELL, _LEFT, _HEAD = 24, 9.0, 20


def world(
    identity: str, title: str, description: str, values: Mapping[str, int], shapes: str, names: Mapping[str, str]
) -> str:
    """Countries by their codes (ISO 3166-1 alpha-2), the darker the more; `shapes` is the address of `world.svg`.

    The page holds only what is counted: the shapes come from the static file, which browsers keep.
    """
    highest = max(values.values(), default=0)
    address = escape(shapes)
    shown = "".join(
        f'<use class="l{level(value, highest)}" href="{address}#{code}">'
        f"<title>{escape(names[code])}: {number(value)}</title></use>"
        for code, value in values.items()
        if code in names and value > 0
    )
    name = escape(identity)
    return (
        f'<svg class="chart world" role="img" aria-labelledby="{name}-title {name}-desc"'
        f' viewBox="0 0 {MAP_WIDTH} {MAP_HEIGHT}" xmlns="http://www.w3.org/2000/svg">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f'<use class="l0" href="{address}#land"/>{shown}</svg>'
    )


def heat(
    identity: str,
    title: str,
    description: str,
    cells: Sequence[Sequence[int]],
    weekdays: Sequence[str],
    short: Sequence[str],
) -> str:
    """Seven rows of 24 cells, Monday first; `short` are the weekdays in few letters."""
    highest = max((value for row in cells for value in row), default=0)
    width = (100 - _LEFT) / 24
    shapes = [f'<text class="time" x="{_LEFT + hour * width:.2f}%" y="12">{hour:02}</text>' for hour in range(0, 24, 6)]
    for day, row in enumerate(cells):
        y = _HEAD + day * _CELL
        shapes.append(f'<text class="time" x="0" y="{y + 15}">{escape(short[day])}</text>')
        for hour, value in enumerate(row):
            place = f'x="{_LEFT + hour * width:.2f}%" y="{y}" width="{0.9 * width:.2f}%" height="{_CELL - 3}" rx="2"'
            told = escape(f"{weekdays[day]}, {hour:02}:00: {number(value)}")
            shapes.append(f'<rect class="l{level(value, highest)}" {place}><title>{told}</title></rect>')
    name = escape(identity)
    return (
        f'<svg class="chart heat" role="img" aria-labelledby="{name}-title {name}-desc" width="100%"'
        f' height="{_HEAD + 7 * _CELL}" xmlns="http://www.w3.org/2000/svg"><title id="{name}-title">{escape(title)}'
        f'</title><desc id="{name}-desc">{escape(description)}</desc>{"".join(shapes)}</svg>'
    )


def steps(highest: int) -> list[tuple[str, str]]:
    """Class and least value of each colour, for the list below such a chart."""
    if highest <= 0:
        return []
    firsts = (max(math.floor(highest * ((step - 1) / LEVELS) ** 2) + 1, 1) for step in range(1, LEVELS + 1))
    return [
        (f"l{level(first, highest)}", number(first)) for first in dict.fromkeys(min(one, highest) for one in firsts)
    ]
