"""Diagrams as SVG text, without script and without style: classes say what the pages' style sheet has to colour.

Every text is escaped here, and cut where it would leave its box: what is cut can be read in the title of the box.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from unicodedata import east_asian_width

from markupsafe import escape

from pastebin.services.diagrams import Box, Diagram, Frame, Line
from pastebin.services.planet import Mark

_NAME_WIDTH, _TEXT_WIDTH, _TITLE_WIDTH = 7.0, 6.0, 7.9  # of a letter on average
_INSET = 7.0
_ARROW, _HALF = 6.0, 3.5
_CORNER = 5.0

# Told apart by shape as well as by colour; around the middle of 10 by 10.
_MARKS: dict[Mark, str] = {
    "up": '<circle cx="5" cy="5" r="4"/>',
    "warn": '<path d="M5 .8L9.6 9H.4z"/>',
    "down": '<path d="M1.5 0L5 3.5 8.5 0 10 1.5 6.5 5 10 8.5 8.5 10 5 6.5 1.5 10 0 8.5 3.5 5 0 1.5z"/>',
    "unknown": '<path d="M5 .5L9.5 5 5 9.5.5 5z"/>',
    "none": "",
}


def draw(diagram: Diagram, identity: str, title: str, description: str) -> str:
    """The picture; `identity` is unique on its page."""
    name = escape(identity)
    width, height = diagram.arrangement.width, diagram.height
    body = "".join(
        [
            *map(_frame, diagram.frames),
            *map(_line, diagram.lines),
            *map(_arrow, (line for line in diagram.lines if line.has_arrow)),
            *map(_box, diagram.boxes),
        ]
    )
    return (
        f'<svg class="planet" role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width:g} {height:g}"'
        f' xmlns="http://www.w3.org/2000/svg"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{body}</svg>'
    )


def sign(mark: Mark) -> str:
    """The sign of a state alone, for legends and tables."""
    return (
        f'<svg class="sign {mark}" viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">{_MARKS[mark]}</svg>'
    )


def stroke(flow: str) -> str:
    """A piece of a line with its arrow, for legends."""
    return (
        f'<svg class="sample" viewBox="0 0 30 10" width="30" height="10" aria-hidden="true">'
        f'<path class="flow {escape(flow)}" d="M0 5H26"/><path class="arrow {escape(flow)}" d="M30 5l-7-4v8z"/></svg>'
    )


def cut(text: str, width: float, letter: float) -> str:
    """As much of a text as fits."""
    most = max(int(width / letter), 1)
    ends = list(accumulate(2 if east_asian_width(one) in "WF" else 1 for one in text))
    if not ends or ends[-1] <= most:
        return text
    return text[: bisect_right(ends, most - 1)].rstrip() + "…"


def _frame(frame: Frame) -> str:
    kind = "region" if frame.mark is not None else "group"
    shape = (
        f'<rect class="frame {kind} {frame.mark or ""}" x="{frame.x:.1f}" y="{frame.y:.1f}" width="{frame.width:.1f}"'
        f' height="{frame.height:.1f}" rx="8"/>'
    )
    y = frame.y + (frame.height - 8 if frame.is_below else 20)
    left, right = frame.x + 12, frame.x + frame.width - 12
    if frame.mark is None:
        text = cut(frame.title, right - left, _TEXT_WIDTH)
        return f'{shape}<text class="label" x="{frame.x + frame.width / 2:.1f}" y="{y:.1f}">{escape(text)}</text>'
    note = cut(frame.note, (right - left) * 0.6, _TEXT_WIDTH)
    title = cut(frame.title, right - left - 16 - len(note) * _TEXT_WIDTH, _TITLE_WIDTH)
    return (
        f'{shape}<svg class="sign {frame.mark}" x="{left:.1f}" y="{y - 10:.1f}" width="10" height="10"'
        f' viewBox="0 0 10 10">{_MARKS[frame.mark]}</svg>'
        f'<text class="title" x="{left + 16:.1f}" y="{y:.1f}">{escape(title)}</text>'
        f'<text class="share" x="{right:.1f}" y="{y:.1f}">{escape(note)}</text>'
    )


def _box(box: Box) -> str:
    spot, x = box.spot, box.x + _INSET
    room = box.width - 2 * _INSET
    parts = [
        f'<g class="box {spot.mark} {spot.tier}"><title>{escape(spot.told or spot.name)}</title>'
        f'<rect class="face" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:g}" rx="6"/>'
    ]
    marked = 0.0
    if spot.mark != "none":
        marked = 13.0
        parts.append(
            f'<svg class="sign {spot.mark}" x="{box.x + box.width - 15:.1f}" y="{box.y + 8:.1f}" width="9" height="9"'
            f' viewBox="0 0 10 10">{_MARKS[spot.mark]}</svg>'
        )
    step = 15.0
    first = box.y + (17 if len(spot.lines) > 1 else 23)
    parts.append(
        f'<text class="name" x="{x:.1f}" y="{first:.1f}">{escape(cut(spot.name, room - marked, _NAME_WIDTH))}</text>'
    )
    for number, line in enumerate(spot.lines[:2], 1):
        y = first + number * step
        parts.append(f'<text class="figure" x="{x:.1f}" y="{y:.1f}">{escape(cut(line, room, _TEXT_WIDTH))}</text>')
    return "".join([*parts, "</g>"])


def _line(line: Line) -> str:
    """With round corners; short of the point of its arrow."""
    points = list(_distinct(line.points))
    if len(points) < 2:
        return ""
    if line.has_arrow:
        points[-1] = _towards(points[-1], points[-2], _ARROW - 1)
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before, _CORNER), _towards(corner, after, _CORNER)
        path += f"L{start[0]:.1f} {start[1]:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    return f'<path class="flow {line.flow}" d="{path}L{points[-1][0]:.1f} {points[-1][1]:.1f}"/>'


def _arrow(line: Line) -> str:
    points = list(_distinct(line.points))
    if len(points) < 2:
        return ""
    (x, y), back = points[-1], _towards(points[-1], points[-2], _ARROW)
    across = ((back[1] - y) / _ARROW * _HALF, (x - back[0]) / _ARROW * _HALF)
    corners = [(back[0] + across[0], back[1] + across[1]), (back[0] - across[0], back[1] - across[1])]
    path = "".join(f"L{at[0]:.1f} {at[1]:.1f}" for at in corners)
    return f'<path class="arrow {line.flow}" d="M{x:.1f} {y:.1f}{path}z"/>'


def _distinct(points: Iterable[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    """Without points that are where the one before is."""
    last: tuple[float, float] | None = None
    for point in points:
        if last is None or abs(point[0] - last[0]) + abs(point[1] - last[1]) > 0.05:
            yield point
            last = point


def _towards(start: tuple[float, float], end: tuple[float, float], length: float) -> tuple[float, float]:
    """A point on the way, half of the way at most."""
    whole = abs(end[0] - start[0]) + abs(end[1] - start[1])  # lines are level or upright
    part = min(length / whole, 0.5) if whole else 0.0
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part
