"""The lines of a difference as HTML, unified or side by side: every byte of a user's escaped, its length bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from pastebin.services import plaintext
from pastebin.services.differences import Hunk, Line

LINE_CHARACTERS = 2_000  # what is longer is shown by its beginning
_ALIKE = 4  # lines are alike if they share a fourth of the shorter one
_NO_NEWLINE = "\\ No newline at end of file"
_SIGNS = {"same": " ", "removed": "-", "added": "+"}


class Room:
    """Characters of HTML that are left on a page."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, html: str) -> bool:
        """Whether there was so much; then it is used up."""
        if len(html) > self.left:
            return False
        self.left -= len(html)
        return True


def unified(hunks: Iterable[Hunk], room: Room) -> tuple[str, bool]:
    """Lines for a `<pre>`, each with its sign, and whether they are all; those that have no room are left out.

    The numbers are attributes: what is copied is a patch.
    """
    return _fitting((row for hunk in hunks for row in _unified(hunk)), room)


def side_by_side(hunks: Iterable[Hunk], room: Room) -> tuple[str, bool]:
    """The same as the rows of a table with four columns."""
    return _fitting((row for hunk in hunks for row in _side_by_side(hunk)), room)


def _fitting(parts: Iterator[str], room: Room) -> tuple[str, bool]:
    shown: list[str] = []
    for part in parts:
        if not room.take(part):
            return "".join(shown), False
        shown.append(part)
    return "".join(shown), True


def _unified(hunk: Hunk) -> Iterator[str]:
    yield f'<span class="hunk">{hunk.heading}\n</span>'
    for removed, added, same in _groups(hunk.lines):
        pairs = min(len(removed), len(added))
        for number, line in enumerate(removed):
            yield _row(line, _marked(line, added[number])[0] if number < pairs else _text(line))
        for number, line in enumerate(added):
            yield _row(line, _marked(removed[number], line)[1] if number < pairs else _text(line))
        for line in same:
            yield _row(line, _text(line))


def _row(line: Line, text: str) -> str:
    numbers = "".join(f'<b{_number(number)} aria-hidden="true"></b>' for number in (line.old, line.new))
    html = f'<span class="{line.tag}">{numbers}{_SIGNS[line.tag]}{text}\n</span>'
    return html if line.text.endswith(b"\n") else f'{html}<span class="none">{_NO_NEWLINE}\n</span>'


def _side_by_side(hunk: Hunk) -> Iterator[str]:
    yield f'<tr class="hunk"><th scope="colgroup" colspan="4">{hunk.heading}</th></tr>'
    for removed, added, same in _groups(hunk.lines):
        for one, other in zip_longest(removed, added):
            if one is not None and other is not None:
                left, right = _marked(one, other)
            else:
                left, right = ("" if line is None else _text(line) for line in (one, other))
            yield f"<tr>{_cells(one, left, 'del')}{_cells(other, right, 'ins')}</tr>"
        for line in same:
            text = _text(line)
            yield f"<tr><td{_number(line.old)}></td><td>{text}</td><td{_number(line.new)}></td><td>{text}</td></tr>"


def _cells(line: Line | None, text: str, element: str) -> str:
    if line is None:
        return '<td></td><td class="nothing"></td>'
    end = "" if line.text.endswith(b"\n") else f'<span class="none">\n{_NO_NEWLINE}</span>'
    number = _number(line.old or line.new)
    return f'<td{number}></td><td class="{line.tag}"><{element}>{text}</{element}>{end}</td>'


def _number(number: int) -> str:
    return f' data-n="{number}"' if number else ""


def _groups(lines: Sequence[Line]) -> Iterator[tuple[list[Line], list[Line], list[Line]]]:
    """Removed lines, the ones added for them, and the equal lines that follow."""
    removed: list[Line] = []
    added: list[Line] = []
    same: list[Line] = []
    for line in lines:
        if (line.tag != "same" and same) or (line.tag == "removed" and added):
            yield removed, added, same
            removed, added, same = [], [], []
        {"removed": removed, "added": added, "same": same}[line.tag].append(line)
    yield removed, added, same


def _marked(removed: Line, added: Line) -> tuple[str, str]:
    """Both lines with what differs marked, if they are alike."""
    old, new = _plain(removed), _plain(added)
    most = min(len(old), len(new))
    if most == 0 or max(len(old), len(new)) > LINE_CHARACTERS:
        return _text(removed), _text(added)
    start = next((n for n in range(most) if old[n] != new[n]), most)
    end = next((n for n in range(most - start) if old[-1 - n] != new[-1 - n]), most - start)
    if (start + end) * _ALIKE < most:
        return _text(removed), _text(added)
    return _emphasized(old, start, len(old) - end), _emphasized(new, start, len(new) - end)


def _emphasized(text: str, start: int, end: int) -> str:
    middle = f"<mark>{plaintext.escape(text[start:end])}</mark>" if start < end else ""
    return f"{plaintext.escape(text[:start])}{middle}{plaintext.escape(text[end:])}"


def _text(line: Line) -> str:
    text = _plain(line)
    if len(text) <= LINE_CHARACTERS:
        return plaintext.escape(text)
    return f'{plaintext.escape(text[:LINE_CHARACTERS])}<span class="cut">…</span>'


def _plain(line: Line) -> str:
    return line.text.removesuffix(b"\n").decode("utf-8", "replace")
