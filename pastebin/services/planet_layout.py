"""Where everything stands in the picture of all nodes. Pure.

Lines run in lanes: between rows of boxes, and in gutters on both sides of every column of regions. So none ever
crosses a box, however many regions and nodes there are.
"""

from __future__ import annotations

import math

from pastebin.languages import gettext
from pastebin.services.diagrams import (
    BETWEEN,
    BOX_HEIGHT,
    GAP,
    Arrangement,
    Diagram,
    Flow,
    Frame,
    Row,
    height_of,
    linked,
    placed,
    rows_of,
    shortened,
)
from pastebin.services.planet import Planet, Spot, Tier
from pastebin.services.planet_groups import Trunk, groups

_PAD = 10.0
_HEAD = 30.0
_LEFT, _RIGHT = 26.0, 20.0  # gutters
_BELOW = 30.0  # where lines leave a region
_LANES: dict[Flow, float] = {"requests": 5, "reads": 12, "writes": 19, "purges": -13, "visits": -6}
_TIERS: tuple[Tier, ...] = ("gateway", "edge", "app")
_SENT: tuple[tuple[Flow, frozenset[str], float, float], ...] = (
    ("reads", frozenset({"web", "read"}), 1 / 3, 10),
    ("writes", frozenset({"write"}), 2 / 3, 19),
)

WIDE = Arrangement("wide", 1216, 4, 74)
MIDDLE = Arrangement("middle", 720, 2, 88)
NARROW = Arrangement("narrow", 344, 1, 80)


def layout(planet: Planet, arrangement: Arrangement) -> Diagram:
    """The picture of the planet for screens of that kind."""
    diagram = Diagram(arrangement)
    columns = _Columns(diagram, planet, _top(diagram, planet))
    y = columns.draw()
    sides = {flow: columns.gutter(flow, 0 if x > 0 else columns.count - 1) for flow, x in _LANES.items()}
    diagram.height = groups(diagram, planet, columns.trunks, sides, (_LEFT, arrangement.width - _RIGHT), y) + 2
    return diagram


def _top(diagram: Diagram, planet: Planet) -> tuple[float, float]:
    """Clients and name servers. Where clients leave for the regions: x, and the height of their lane."""
    width = diagram.arrangement.width
    clients = Spot(gettext("Clients"), "gateway", "none", (planet.clients,))
    names = shortened(planet.names)
    if not names:
        row = placed(diagram, [clients], (width - 130) / 2, 2, 130)
    else:
        first, between = (130.0, 96.0) if width > 500 else (88.0, 36.0)
        widest = width - 4 - first - between - 2 * _PAD
        inner = min(len(names) * 150 + (len(names) - 1) * GAP, widest)
        boxes = height_of(rows_of(diagram.arrangement, names, inner))
        left = (width - first - between - inner - 2 * _PAD) / 2
        middle = _PAD + (boxes - BOX_HEIGHT) / 2
        row = placed(diagram, [clients], left, middle, first)
        x, y = left + first + between, middle + BOX_HEIGHT / 2
        diagram.frames.append(Frame(x, 0, inner + 2 * _PAD, boxes + _PAD + 24, gettext("Geo DNS"), is_below=True))
        placed(diagram, names, x + _PAD, _PAD, inner)
        diagram.line("names", (left + first, y), (x, y), arrow=True)
    bottom = max([row.bottom, *(frame.y + frame.height for frame in diagram.frames)])
    if planet.regions:
        diagram.line("requests", (row.boxes[0].middle, row.bottom), (row.boxes[0].middle, bottom + 14))
    return row.boxes[0].middle, bottom + 14


class _Columns:
    """The regions, side by side and then below each other, each column between two gutters."""

    def __init__(self, diagram: Diagram, planet: Planet, start: tuple[float, float]) -> None:
        self._diagram = diagram
        self._start = start
        regions = planet.regions
        rows = math.ceil(len(regions) / diagram.arrangement.columns) or 1
        self.count = math.ceil(len(regions) / rows) or 1
        self._width = diagram.arrangement.width / self.count
        self._rows = [regions[first : first + self.count] for first in range(0, len(regions), self.count)]
        self._flows: set[Flow] = set()
        if planet.database or planet.stores:
            self._flows |= {"reads", "writes"}
        if planet.workers:
            self._flows.add("purges")
        if planet.analytics:
            self._flows.add("visits")
        self.trunks: list[Trunk] = []

    def gutter(self, flow: Flow, column: int) -> float:
        """The x of a lane in the gutters of a column: those with a negative place are on the right."""
        place = _LANES[flow]
        return column * self._width + (place if place > 0 else self._width + place)

    def draw(self) -> float:
        """All regions; the bottom of the last one."""
        y = self._start[1] + 20
        inner = self._width - _LEFT - _RIGHT - 2 * _PAD
        for number, regions in enumerate(self._rows):
            tiers = [
                {tier: shortened([spot for spot in region.spots if spot.tier == tier]) for tier in _TIERS}
                for region in regions
            ]
            arrangement = self._diagram.arrangement
            counts = {tier: max(rows_of(arrangement, one[tier], inner) for one in tiers) for tier in _TIERS}
            heights = [height_of(rows) for rows in counts.values() if rows]
            inside = sum(heights) + max(len(heights) - 1, 0) * BETWEEN if heights else BOX_HEIGHT / 2
            for column, region in enumerate(regions):
                left, width = column * self._width + _LEFT, self._width - _LEFT - _RIGHT
                frame = Frame(left, y, width, _HEAD + inside + _BELOW, region.name, region.note, region.mark)
                self._diagram.frames.append(frame)
                self._enter(frame, column, is_first=number == 0)
                self._fill(frame, tiers[column], counts, column)
            y += _HEAD + inside + _BELOW + BETWEEN
        return y - BETWEEN if self._rows else self._start[1]

    def _enter(self, frame: Frame, column: int, *, is_first: bool) -> None:
        """Clients come in from above, or by the gutter where another region stands above."""
        middle, (start, lane) = frame.x + frame.width / 2, self._start
        if is_first:
            self._diagram.line("requests", (start, lane), (middle, lane), (middle, frame.y), arrow=True)
            return
        x, y = self.gutter("requests", column), frame.y + _HEAD / 2
        self._diagram.line("requests", (middle, lane), (x, lane), (x, y), (frame.x, y), arrow=True)

    def _fill(self, frame: Frame, tiers: dict[Tier, list[Spot]], counts: dict[Tier, int], column: int) -> None:
        y = frame.y + _HEAD
        rows: dict[Tier, Row] = {}
        for tier in _TIERS:
            if tiers[tier]:
                row = placed(self._diagram, tiers[tier], frame.x + _PAD, y, frame.width - 2 * _PAD)
                if rows:
                    above = list(rows.values())[-1]
                    linked(self._diagram, "requests", above.exits, above.bottom, row)
                rows[tier] = row
            y += height_of(counts[tier]) + BETWEEN if counts[tier] else 0
        if "app" in rows:
            self._leave(rows["app"], column, frame.y + frame.height - _BELOW)
        if (front := rows.get("edge") or rows.get("app")) is not None:
            self._beside(front, column)

    def _leave(self, row: Row, column: int, bottom: float) -> None:
        """What is read and written goes out below the boxes, into the left gutter."""
        last = [box for box in row.boxes if box.bottom == row.bottom]
        for flow, roles, share, depth in _SENT:
            boxes = [box for box in last if not roles.isdisjoint(box.spot.roles)] or ([] if row.is_single else last)
            if not boxes or flow not in self._flows:
                continue
            lane, x = bottom + depth, self.gutter(flow, column)
            outs = [box.x + box.width * (share if _is_both(box.spot) else 0.5) for box in boxes]
            for out in outs:
                self._diagram.line(flow, (out, row.bottom), (out, lane))
            self._diagram.line(flow, (max(outs), lane), (x, lane))
            self.trunks.append(Trunk(flow, x, lane))

    def _beside(self, row: Row, column: int) -> None:
        """What caches are told comes in from the right gutter, what is told of readers goes out there."""
        right = max(box.x + box.width for box in row.boxes if box.y == row.top)
        middle = row.top + BOX_HEIGHT / 2
        if "purges" in self._flows:
            x = self.gutter("purges", column)
            self._diagram.line("purges", (x, middle - 9), (right, middle - 9), arrow=True)
            self.trunks.append(Trunk("purges", x, middle - 9))
        if "visits" in self._flows:
            x = self.gutter("visits", column)
            self._diagram.line("visits", (right, middle + 9), (x, middle + 9))
            self.trunks.append(Trunk("visits", x, middle + 9))


def _is_both(spot: Spot) -> bool:
    """Whether it reads and writes, or stands for several of which some may."""
    return not spot.roles or ("write" in spot.roles and not {"web", "read"}.isdisjoint(spot.roles))
