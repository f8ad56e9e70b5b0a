"""Pictures of boxes, frames and lines, and how boxes are put in rows. Pure; lengths are in units of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pastebin.languages import gettext, ngettext
from pastebin.services.planet import Mark, Spot

Flow = Literal["requests", "names", "reads", "writes", "purges", "visits", "replication"]

BOX_HEIGHT = 54.0
GAP = 8.0
BETWEEN = 26.0  # rows of different kinds
_WIDEST = 168.0
_MOST = 24  # boxes of one kind in one place
_LETTER, _BESIDE, _ENOUGH = 7.0, 28.0, 130.0  # of a name; what is beside it; no box has to be wider


@dataclass(frozen=True, slots=True)
class Arrangement:
    """For screens of one kind: how wide the picture is, how many regions stand side by side, how small a box may be."""

    name: str
    width: float
    columns: int
    least: float


WIDE = Arrangement("wide", 1216, 4, 74)
MIDDLE = Arrangement("middle", 720, 2, 88)
NARROW = Arrangement("narrow", 344, 1, 80)


@dataclass(frozen=True, slots=True)
class Box:
    """One node or server."""

    spot: Spot
    x: float
    y: float
    width: float
    height: float = BOX_HEIGHT

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around boxes that belong together."""

    x: float
    y: float
    width: float
    height: float
    title: str = ""
    note: str = ""
    mark: Mark | None = None
    is_below: bool = False  # the title


@dataclass(frozen=True, slots=True)
class Line:
    """From the first point to the last, where an arrow may be."""

    flow: Flow
    points: tuple[tuple[float, float], ...]
    has_arrow: bool = False


@dataclass(slots=True)
class Diagram:
    """All of the picture."""

    arrangement: Arrangement
    height: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def line(self, flow: Flow, *points: tuple[float, float], arrow: bool = False) -> None:
        self.lines.append(Line(flow, points, arrow))


@dataclass(frozen=True, slots=True)
class Row:
    """Boxes of one kind: where lines come in above and go out below."""

    boxes: tuple[Box, ...]
    is_single: bool

    @property
    def top(self) -> float:
        return self.boxes[0].y

    @property
    def bottom(self) -> float:
        return max(box.bottom for box in self.boxes)

    @property
    def right(self) -> float:
        return max(box.x + box.width for box in self.boxes)

    @property
    def entries(self) -> list[float]:
        return [box.middle for box in self.boxes if box.y == self.top]

    @property
    def exits(self) -> list[float]:
        return [box.middle for box in self.boxes if box.bottom == self.bottom]


def shortened(spots: Sequence[Spot]) -> list[Spot]:
    """No more than there is room for: those in trouble first, the others told of by number."""
    if len(spots) <= _MOST:
        return list(spots)
    worst = sorted(spots, key=lambda spot: spot.mark == "up")
    rest = worst[_MOST - 1 :]
    mark: Mark = "up" if all(spot.mark == "up" for spot in rest) else "warn"
    more = Spot(
        _more(len(rest)), rest[0].tier, mark, (gettext("see the table"),), "\n".join(spot.name for spot in rest)
    )
    return [*worst[: _MOST - 1], more]


def _more(count: int) -> str:
    return ngettext("%(num)s more", "%(num)s more", count) % {"num": count}


def rows_of(arrangement: Arrangement, spots: Sequence[Spot], width: float) -> int:
    """How many rows they need, so that their names can be read unless they are long."""
    longest = max((len(spot.name) for spot in spots), default=0)
    least = min(max(arrangement.least, longest * _LETTER + _BESIDE), _ENOUGH)
    fit = max(int((width + GAP) // (least + GAP)), 1)
    return math.ceil(len(spots) / fit)


def height_of(rows: int) -> float:
    """Of rows of boxes, with the gaps between them."""
    return rows * BOX_HEIGHT + max(rows - 1, 0) * GAP


def placed(diagram: Diagram, spots: Sequence[Spot], x: float, y: float, width: float) -> Row:
    """Put boxes in as many rows as they need, each row in the middle."""
    rows = rows_of(diagram.arrangement, spots, width)
    per_row = math.ceil(len(spots) / rows)
    box_width = min((width - (per_row - 1) * GAP) / per_row, _WIDEST)
    boxes = []
    for index, spot in enumerate(spots):
        row, place = divmod(index, per_row)
        in_row = min(per_row, len(spots) - row * per_row)
        left = x + (width - in_row * box_width - (in_row - 1) * GAP) / 2
        boxes.append(Box(spot, left + place * (box_width + GAP), y + row * (BOX_HEIGHT + GAP), box_width))
    diagram.boxes += boxes
    return Row(tuple(boxes), rows == 1)


def linked(diagram: Diagram, flow: Flow, above: Sequence[float], y: float, below: Row) -> None:
    """Lines from the places `above`, at height `y`, into the tops of a row, by a lane right above it."""
    lane = below.top - BETWEEN / 2
    entries = below.entries
    if len(above) == len(entries) == 1 and abs(above[0] - entries[0]) < 1:
        diagram.line(flow, (entries[0], y), (entries[0], below.top), arrow=True)
        return
    for x in above:
        diagram.line(flow, (x, y), (x, lane))
    ends = [*above, *entries]
    diagram.line(flow, (min(ends), lane), (max(ends), lane))
    for x in entries:
        diagram.line(flow, (x, lane), (x, below.top), arrow=True)
