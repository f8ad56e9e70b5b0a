"""Some lines of a body. Pure.

A line ends with LF and its end belongs to it; the first line is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_LINES = 500
WINDOW_BYTES = 512 * 1024  # of text on one page, about
LINE_BYTES = 8 * 1024  # of one line
READ_BYTES = 2 * 1024**2  # what may be read for them


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end, as far as it is shown; `hidden` bytes of it are not, None where nobody has looked."""

    text: bytes
    hidden: int | None = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Lines from `first` on. `line_count` is that of the whole text, None where it is not known yet."""

    first: int
    lines: tuple[Line, ...]
    line_count: int | None

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1

    @property
    def content(self) -> bytes:
        """The text of all lines, each with its end."""
        return b"".join([line.text + b"\n" for line in self.lines])

    @property
    def is_cut(self) -> bool:
        """Whether some line is longer than is shown."""
        return any(line.hidden != 0 for line in self.lines)


class Cutter:
    """Takes lines out of a text that arrives in chunks: `count` of them behind the first `skip` line ends."""

    def __init__(self, skip: int, count: int = WINDOW_LINES) -> None:
        self.lines: list[Line] = []
        self._window = LineWindow(skip + 1, skip + count)
        self._open = bytearray()
        self._open_size = 0
        self._shown = 0
        self._read = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing that may still come is wanted."""
        return self._window.done or self._shown >= WINDOW_BYTES or self._read >= READ_BYTES

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        wanted = self._window.feed(chunk)
        start = 0
        while self._shown < WINDOW_BYTES:
            end = wanted.find(b"\n", start)
            self._extend(wanted[start : len(wanted) if end < 0 else end])
            if end < 0:
                break
            self._close()
            start = end + 1
        self._read += len(wanted)

    def finish(self, *, is_end: bool) -> tuple[Line, ...]:
        """The lines; a line without an end is one at the end of the text, or if it is all that there is to show."""
        if self._open_size and is_end and not self.is_full:
            self._close()
        elif self._open_size and not self.lines:
            self.lines.append(Line(_whole(bytes(self._open)), None))
        return tuple(self.lines)

    def _extend(self, part: bytes) -> None:
        self._open += part[: LINE_BYTES - len(self._open)]
        self._open_size += len(part)

    def _close(self) -> None:
        text = bytes(self._open)
        is_cut = self._open_size > len(text)
        text = _whole(text) if is_cut else text.removesuffix(b"\r")
        self.lines.append(Line(text, self._open_size - len(text) if is_cut else 0))
        self._shown += len(text) + 1
        self._open.clear()
        self._open_size = 0


def _whole(text: bytes) -> bytes:
    """Without the beginning of a character at the end, in UTF-8."""
    for back in range(1, min(4, len(text) + 1)):
        byte = text[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return text[:-back] if back < length else text
        if byte < 0x80:
            break
    return text


class LineWindow:
    """Cuts lines `first` to `last` out of a body that arrives in chunks, and keeps none of it."""

    def __init__(self, first: int, last: int | None) -> None:
        self._ends_before = first - 1
        self._ends_within = None if last is None else last - first + 1

    @property
    def done(self) -> bool:
        """Whether nothing that may still come belongs to the window."""
        return self._ends_within == 0

    def feed(self, chunk: bytes) -> bytes:
        """The part of the next chunk that belongs to the window."""
        start = 0
        if self._ends_before:
            start, self._ends_before = _skip(chunk, 0, self._ends_before)
        if self._ends_before or self._ends_within is None:
            return chunk[start:]
        stop, self._ends_within = _skip(chunk, start, self._ends_within)
        return chunk[start:stop]


def _skip(chunk: bytes, start: int, ends: int) -> tuple[int, int]:
    """The position behind so many line ends from `start` on, and how many of them the chunk does not have."""
    found = chunk.count(b"\n", start)
    if found < ends:
        return len(chunk), ends - found
    if not ends:
        return start, 0
    stop = len(chunk)
    while stop - start > 1:  # counting in halves is far faster than finding one line end after another
        middle = (start + stop) // 2
        found = chunk.count(b"\n", start, middle)
        if found < ends:
            start, ends = middle, ends - found
        else:
            stop = middle
    return stop, 0
