"""The 256 colours of terminals, and which of them can be read on which.

The first sixteen are this project's own, the others those of xterm. `static/terminal.css` is made of this module; a
test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache

Colour = tuple[int, int, int]

PAPER: Colour = (0x14, 0x18, 0x1B)
INK: Colour = (0xE4, 0xE7, 0xE9)
_BLACK: Colour = (0, 0, 0)
_WHITE: Colour = (0xFF, 0xFF, 0xFF)
_ENOUGH = 4.5  # WCAG 2.2, 1.4.3

_FIRST = (
    "1c2024 e5645c 5fb96a d0a13a 6c9ef8 c486e8 45b8c4 c9cfd4 7d868d ff8f88 85dd90 f0c566 96bcff dcaeff 74dbe6 ffffff"
)
_STEPS = (0, 95, 135, 175, 215, 255)


def _colours() -> Iterator[Colour]:
    for word in _FIRST.split():
        yield int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)
    for red in _STEPS:
        for green in _STEPS:
            for blue in _STEPS:
                yield red, green, blue
    for step in range(24):
        grey = 8 + 10 * step
        yield grey, grey, grey


PALETTE: tuple[Colour, ...] = tuple(_colours())


@lru_cache(4096)
def nearest(red: int, green: int, blue: int) -> int:
    """The number of the colour that is most like this one; the first sixteen, which anybody may redefine, are none."""
    cube = 16 + 36 * _step(red) + 6 * _step(green) + _step(blue)
    grey = 232 + min(max((red + green + blue) // 3 - 3, 0) // 10, 23)
    return min((cube, grey), key=lambda number: _distance(PALETTE[number], (red, green, blue)))


def ink(number: int) -> Colour:
    """The colour as one for text: as much lighter as it has to be to be read on `PAPER`."""
    colour = PALETTE[number]
    while contrast(colour, PAPER) < _ENOUGH:
        colour = _lighter(colour)
    return colour


def ink_on(number: int) -> Colour:
    """Black or white, for text on this colour that has none of its own."""
    return max((_BLACK, _WHITE), key=lambda colour: contrast(colour, PALETTE[number]))


@cache
def is_readable(foreground: int, background: int) -> bool:
    """Whether the text colour `ink(foreground)` can be read on this background."""
    return contrast(ink(foreground), PALETTE[background]) >= _ENOUGH


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2, "contrast ratio"."""
    lights = sorted((_luminance(one), _luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def stylesheet() -> str:
    """The rules of `static/terminal.css` for colours: `.f1` is the second as text, `.b1` as background."""
    rules = [
        f".b{number} {{ background: {_hex(colour)}; color: {_hex(ink_on(number))}; }}"
        for number, colour in enumerate(PALETTE)
    ]
    rules += [f".f{number} {{ color: {_hex(ink(number))}; }}" for number in range(256)]
    return "".join(" ".join(rules[start : start + 4]) + "\n" for start in range(0, len(rules), 4))


def _step(value: int) -> int:
    return min(range(6), key=lambda step: abs(_STEPS[step] - value))


def _distance(one: Colour, other: Colour) -> int:
    return sum((first - second) ** 2 for first, second in zip(one, other, strict=True))


def _lighter(colour: Colour) -> Colour:
    red, green, blue = (value + max((255 - value) // 12, 1) for value in colour)
    return red, green, blue


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(value / 255) for value in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
