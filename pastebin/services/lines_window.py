"""Some lines of a large text, as many as fit a page, whatever their length. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pastebin.http.lines import LineWindow

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
