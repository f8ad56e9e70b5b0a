"""What a terminal would show: colours and styles (ECMA-48, 8.3.117), and lines that were written over themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from pastebin.services import plaintext
from pastebin.services.jobs import LINE_CHARACTERS, CannotRender
from pastebin.services.renderings import palette
from pastebin.services.renderings.escapes import SEQUENCE

_TOKEN = re.compile(rf"({SEQUENCE.pattern})|([\r\b])|[^\x1b\r\b]++|\x1b")
_SELECT = re.compile(r"\x1b\[([0-9;:]*)m")
_ERASE = re.compile(r"\x1b\[([012]?)K")
_CODES = 64  # of one sequence; more are nobody's
# Wider than any terminal. A line that goes back is not followed further, so that it cannot fill the memory with blanks.
_COLUMNS = 100_000


@dataclass(frozen=True, slots=True)
class Style:
    """How the next characters look; colours are numbers of the palette."""

    foreground: int | None = None
    background: int | None = None
    is_bold: bool = False
    is_italic: bool = False
    is_underlined: bool = False
    is_struck: bool = False
    is_inverse: bool = False

    @property
    def classes(self) -> str:
        """For `terminal.css`. A text colour that could not be read on its background gives way to black or white."""
        foreground, background = self.foreground, self.background
        if self.is_inverse:
            foreground, background = background, 7 if foreground is None else foreground
        names = [
            name
            for name, is_on in (
                ("B", self.is_bold),
                ("I", self.is_italic),
                ("U", self.is_underlined),
                ("S", self.is_struck),
            )
            if is_on
        ]
        if background is not None:
            names.append(f"b{background}")
        if foreground is not None and (background is None or palette.is_readable(foreground, background)):
            names.append(f"f{foreground}")
        return " ".join(names)


_SET: dict[int, dict[str, bool | None]] = {
    1: {"is_bold": True},
    3: {"is_italic": True},
    4: {"is_underlined": True},
    7: {"is_inverse": True},
    9: {"is_struck": True},
    21: {"is_underlined": True},
    22: {"is_bold": False},
    23: {"is_italic": False},
    24: {"is_underlined": False},
    27: {"is_inverse": False},
    29: {"is_struck": False},
    39: {"foreground": None},
    49: {"background": None},
}

Run = tuple[str, str]  # (classes, text)


def markup(text: str) -> Iterator[str]:
    """Each line of `text`, which ends with LF, as HTML with its LF; a style goes on until it is taken back.

    Raises CannotRender.
    """
    style = Style()
    for line in text.split("\n")[:-1]:
        runs, style = _line(line, style)
        if sum(len(part) for _, part in runs) > LINE_CHARACTERS:
            raise CannotRender("long-line")
        yield "".join(_span(classes, part) for classes, part in runs) + "\n"


def _line(line: str, style: Style) -> tuple[list[Run], Style]:
    if "\x1b" not in line and "\r" not in line and "\b" not in line:
        return [(style.classes, line)], style
    is_overwritten = "\b" in line or "\r" in line.rstrip("\r") or _ERASE.search(line) is not None
    screen = _Row() if is_overwritten and len(line) <= _COLUMNS else _Roll()
    for token in _TOKEN.finditer(line):
        word = token[0]
        if token[1] is None and token[2] is None:
            if word != "\x1b":
                screen.write(style.classes, word)
        elif (selected := _SELECT.fullmatch(word)) is not None:
            style = _selected(style, selected[1])
        elif (erased := _ERASE.fullmatch(word)) is not None:
            screen.erase(erased[1])
        elif token[2] is not None:
            screen.move(0 if word == "\r" else -1)
    return screen.runs(), style


class _Roll:
    """A line whose characters only come one after another."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def write(self, classes: str, text: str) -> None:
        self._runs.append((classes, text))

    def move(self, to: int) -> None:
        pass

    def erase(self, part: str) -> None:
        pass

    def runs(self) -> list[Run]:
        return self._runs


class _Row(_Roll):
    """A line on a screen: what comes later can stand in the place of what came earlier."""

    def __init__(self) -> None:
        super().__init__()
        self._cells: list[Run] = []
        self._column = 0

    def write(self, classes: str, text: str) -> None:
        self._cells[self._column : self._column + len(text)] = [(classes, character) for character in text]
        self._column += len(text)

    def move(self, to: int) -> None:
        self._column = 0 if to == 0 else max(self._column + to, 0)

    def erase(self, part: str) -> None:
        """Erase in line (8.3.41): from here to the end, from the beginning to here, or all of it."""
        if part in ("", "0"):
            del self._cells[self._column :]
        else:
            end = len(self._cells) if part == "2" else min(self._column + 1, len(self._cells))
            self._cells[:end] = [("", " ")] * end

    def runs(self) -> list[Run]:
        return [
            (classes, "".join(character for _, character in cells))
            for classes, cells in groupby(self._cells, key=lambda cell: cell[0])
        ]


def _selected(style: Style, parameters: str) -> Style:
    codes = iter([int(code) if code.isdigit() and len(code) < 4 else 0 for code in _numbers(parameters)])
    for code in codes:
        if code == 0:
            style = Style()
        elif code in _SET:
            style = replace(style, **_SET[code])  # type: ignore[arg-type]
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = replace(style, foreground=code % 10 + (8 if code >= 90 else 0))
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = replace(style, background=code % 10 + (8 if code >= 100 else 0))
        elif code in (38, 48) and (colour := _extended(codes)) is not None:
            style = replace(style, foreground=colour) if code == 38 else replace(style, background=colour)
    return style


def _numbers(parameters: str) -> list[str]:
    """The parameters, be they parted by semicolons or, as ISO 8613-6 has it, by colons with an empty colour space."""
    return parameters.replace("::", ":").replace(":", ";").split(";", _CODES)[:_CODES]


def _extended(codes: Iterator[int]) -> int | None:
    """What follows 38 and 48 (ISO 8613-6): 5 and a number, or 2 and red, green, blue."""
    kind = next(codes, 0)
    if kind == 5:
        return min(next(codes, 0), 255)
    if kind == 2:
        red, green, blue = (min(next(codes, 0), 255) for _ in range(3))
        return palette.nearest(red, green, blue)
    return None


def _span(classes: str, text: str) -> str:
    html = plaintext.escape(text)
    return f'<span class="{classes}">{html}</span>' if classes and text else html
