"""What regions share, below them in the picture: the database, the blobs, workers, analytics. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pastebin.languages import say
from pastebin.phrases import N_
from pastebin.services.diagrams import (
    BETWEEN,
    BOX_HEIGHT,
    GAP,
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
from pastebin.services.planet import Planet, Spot

_PAD = 10.0
_TITLE = 22.0
_BAND = 46.0  # above a row of groups, with a lane for each flow
_LANES: dict[Flow, float] = {"visits": 8, "purges": 15, "writes": 22, "reads": 29}
_PREFERRED = 118.0
_INSET = 8.0  # of the line that goes down beside the boxes of the database
_UNDER = 18.0


@dataclass(frozen=True, slots=True)
class Trunk:
    """A line of the gutters that ends at `y`; it begins at the lane of its flow below the regions."""

    flow: Flow
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Group:
    title: str
    kinds: tuple[Sequence[Spot], ...]  # one below the other

    @property
    def preferred(self) -> float:
        most = max(len(spots) for spots in self.kinds)
        return most * _PREFERRED + (most - 1) * GAP + 2 * _PAD + self.extra

    @property
    def extra(self) -> float:
        """Room on both sides of the boxes of the database."""
        return 2 * _INSET if self.title == "Database" else 0.0


def groups(
    diagram: Diagram,
    planet: Planet,
    trunks: Sequence[Trunk],
    sides: Mapping[Flow, float],
    bounds: tuple[float, float],
    y: float,
) -> float:
    """Draw them below `y`, between `bounds`; `sides` are the gutters for lines to further rows. The bottom of all."""
    found = list(_found(planet))
    lanes = _Lanes(diagram, sides, y)
    for trunk in trunks:
        lanes.join(0, trunk.flow, trunk.x)
        diagram.line(trunk.flow, (trunk.x, lanes.at(0, trunk.flow)), (trunk.x, trunk.y))
    for number, row in enumerate(_rows(found, bounds[1] - bounds[0])):
        lanes.tops.append(y)
        y += _BAND
        bottom, x = y, bounds[0]
        room = bounds[1] - bounds[0] - (len(row) - 1) * 2 * GAP
        stretch = room / sum(group.preferred for group in row)
        for group in row:
            width = min(group.preferred * stretch, room)
            bottom = max(bottom, _draw(diagram, group, lanes, number, x, y, width))
            x += width + 2 * GAP
        y = bottom
    lanes.draw()
    return y


def _found(planet: Planet) -> list[_Group]:
    primaries = [spot for spot in planet.database if spot.tier == "primary"]
    replicas = shortened([spot for spot in planet.database if spot.tier == "replica"])
    found = [
        _Group(N_("Database"), tuple(spots for spots in (primaries, replicas) if spots)),
        _Group(N_("Blobs"), (shortened(planet.stores),)),
        _Group(N_("CDN workers"), (shortened(planet.workers),)),
        _Group(N_("Analytics"), (shortened(planet.analytics),)),
    ]
    return [group for group in found if any(group.kinds)]


def _rows(found: Sequence[_Group], width: float) -> list[list[_Group]]:
    """As many beside each other as there is room for."""
    rows: list[list[_Group]] = []
    used = 0.0
    for group in found:
        wanted = min(group.preferred, width)
        if not rows or used + 2 * GAP + wanted > width:
            rows.append([])
            used = -2 * GAP
        rows[-1].append(group)
        used += 2 * GAP + wanted
    return rows


class _Lanes:
    """The lanes above each row of groups: which places each flow has to reach there."""

    def __init__(self, diagram: Diagram, sides: Mapping[Flow, float], y: float) -> None:
        self._diagram = diagram
        self._sides = sides
        self._first = y
        self.tops: list[float] = []
        self._places: dict[tuple[int, Flow], list[float]] = {}

    def at(self, row: int, flow: Flow) -> float:
        return (self.tops[row] if row < len(self.tops) else self._first) + _LANES[flow]

    def join(self, row: int, flow: Flow, x: float) -> None:
        """A line of the flow comes there, or leaves."""
        self._places.setdefault((row, flow), []).append(x)

    def draw(self) -> None:
        """One line along each lane, and one in a gutter between those of several rows."""
        for flow in _LANES:
            rows = sorted(row for row, one in self._places if one == flow)
            if len(rows) > 1:
                for row in rows:
                    self.join(row, flow, self._sides[flow])
                x = self._sides[flow]
                self._diagram.line(flow, (x, self.at(rows[0], flow)), (x, self.at(rows[-1], flow)))
            for row in rows:
                places = self._places[row, flow]
                self._diagram.line(flow, (min(places), self.at(row, flow)), (max(places), self.at(row, flow)))


def _draw(diagram: Diagram, group: _Group, lanes: _Lanes, number: int, x: float, y: float, width: float) -> float:
    """One group; its bottom."""
    inner, left = width - 2 * _PAD - group.extra, x + _PAD + group.extra / 2
    rows: list[Row] = []
    top = y + _PAD
    for spots in group.kinds:
        rows.append(placed(diagram, spots, left, top, inner))
        top += height_of(rows_of(diagram.arrangement, spots, inner)) + BETWEEN
    has_replicas = len(rows) > 1
    height = top - BETWEEN - y + _TITLE + (_UNDER if has_replicas else 0)
    diagram.frames.append(Frame(x, y, width, height, say(group.title), is_below=True))
    connect = {"Database": _database, "Blobs": _blobs, "CDN workers": _workers, "Analytics": _analytics}[group.title]
    connect(diagram, lanes, number, rows, x)
    return y + height


def _database(diagram: Diagram, lanes: _Lanes, number: int, rows: list[Row], x: float) -> None:
    """Writes come to the primary from above, reads to the replicas from below, from beside them to a lone server."""
    first, last = rows[0], rows[-1]
    is_led = first.boxes[0].spot.tier == "primary"
    if is_led:
        middle = first.boxes[0].middle
        lanes.join(number, "writes", middle)
        diagram.line("writes", (middle, lanes.at(number, "writes")), (middle, first.top), arrow=True)
    inset = x + _PAD
    lanes.join(number, "reads", inset)
    if is_led and len(rows) == 1:
        side = first.top + BOX_HEIGHT / 2
        start = (inset, lanes.at(number, "reads"))
        diagram.line("reads", start, (inset, side), (first.boxes[0].x, side), arrow=True)
        return
    if len(rows) > 1:
        linked(diagram, "replication", [first.boxes[0].middle], first.bottom, last)
    under = last.bottom + _UNDER / 2 + 3
    ends = last.exits
    diagram.line("reads", (inset, lanes.at(number, "reads")), (inset, under), (max(ends), under))
    for end in ends:
        diagram.line("reads", (end, under), (end, last.bottom), arrow=True)


def _blobs(diagram: Diagram, lanes: _Lanes, number: int, rows: list[Row], x: float) -> None:
    del x
    for box in (box for box in rows[0].boxes if box.y == rows[0].top):
        for flow, place in (("reads", box.x + box.width / 3), ("writes", box.x + box.width * 2 / 3)):
            _down(diagram, lanes, number, "reads" if flow == "reads" else "writes", place, box.y)


def _workers(diagram: Diagram, lanes: _Lanes, number: int, rows: list[Row], x: float) -> None:
    del x
    for place in rows[0].entries:
        lanes.join(number, "purges", place)
        diagram.line("purges", (place, rows[0].top), (place, lanes.at(number, "purges")))


def _analytics(diagram: Diagram, lanes: _Lanes, number: int, rows: list[Row], x: float) -> None:
    del x
    for place in rows[0].entries:
        _down(diagram, lanes, number, "visits", place, rows[0].top)


def _down(diagram: Diagram, lanes: _Lanes, number: int, flow: Flow, x: float, top: float) -> None:
    lanes.join(number, flow, x)
    diagram.line(flow, (x, lanes.at(number, flow)), (x, top), arrow=True)
