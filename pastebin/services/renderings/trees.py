"""JSON (RFC 8259), or one value after another, as a tree whose branches fold.

Values are shown as they are written: no number is rounded, no key dropped because it occurs twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pastebin.services import plaintext
from pastebin.services.jobs import HTML_CHARACTERS, CannotRender

VALUES = 20_000
DEPTH = 100  # a browser takes some 500 elements within each other, and a branch is three
_FEW = 20
_LONGEST = 10_000

_TOKEN = re.compile(
    r"[ \t\n\r]*+(?:([{}\[\],:])"
    r'|("[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")'
    r"|(-?+\d++(?:\.\d++)?+(?:[eE][+-]?+\d++)?+|true|false|null|NaN|-?+Infinity)|\Z)"
)
_CLOSES = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Tree:
    """The first `shown` of `total` values as HTML."""

    html: str
    shown: int
    total: int


@dataclass(slots=True)
class _Branch:
    """An object or an array that is open; `opening` is empty for the file itself."""

    opening: str
    label: str = ""
    parts: list[str] = field(default_factory=list)
    count: int = 0
    key: str = ""
    # what may come next
    wants: str = "value or end"

    @property
    def closing(self) -> str:
        return _CLOSES.get(self.opening, "")


def draw(text: str) -> Tree:
    """The values of a file, usually one. Raises CannotRender."""
    return _Reader(text).tree()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._root = _Branch("")
        self._stack = [self._root]
        self._total = 0
        self._shown = 0
        self._size = 0

    def tree(self) -> Tree:
        position = 0
        while position < len(self._text):
            token = _TOKEN.match(self._text, position)
            if token is None:
                raise CannotRender("malformed")
            position = token.end()
            if token[1] is not None:
                self._mark(token[1])
            elif token[2] is not None or token[3] is not None:
                self._literal(token[2], token[3])
        if len(self._stack) > 1 or not self._total:
            raise CannotRender("malformed")
        return Tree(f"<ul>{''.join(self._root.parts)}</ul>", self._shown, self._total)

    def _mark(self, mark: str) -> None:
        branch = self._stack[-1]
        if mark in "{[":
            self._begin(branch, mark)
        elif mark in "}]":
            if mark != branch.closing or branch.wants not in ("value or end", "key or end", "comma or end"):
                raise CannotRender("malformed")
            self._end()
        elif mark == ":" and branch.wants == "colon":
            branch.wants = "value"
        elif mark == "," and branch.wants == "comma or end":
            branch.wants = "key" if branch.opening == "{" else "value"
        else:
            raise CannotRender("malformed")

    def _literal(self, string: str | None, other: str | None) -> None:
        branch = self._stack[-1]
        if string is not None and branch.wants in ("key", "key or end"):
            branch.key = f'<span class="nt">{_clipped(string)}</span>: '
            branch.wants = "colon"
            return
        self._count(branch)
        if string is not None:
            value = f'<span class="s">{_clipped(string)}</span>'
        else:
            value = f'<span class="{"m" if other and other[-1].isdigit() else "kc"}">{other}</span>'
        self._add(branch, f"<li>{branch.key}{value}</li>")

    def _begin(self, branch: _Branch, opening: str) -> None:
        self._count(branch)
        self._stack.append(_Branch(opening, branch.key, wants="key or end" if opening == "{" else "value or end"))

    def _end(self) -> None:
        branch = self._stack.pop()
        above = self._stack[-1]
        depth = len(self._stack)
        count = f"<i>{branch.count}</i>" if branch.count else ""
        brackets = f"{branch.opening}{count}{branch.closing}"
        if not branch.parts:
            # nothing in it, or nothing of it is shown
            text = f"{branch.opening}\u2026{branch.closing}" if branch.count else brackets
            self._add(above, f"<li>{branch.label}{text}</li>")
            return
        opened = " open" if depth == 1 or (depth == 2 and branch.count <= _FEW) else ""
        summary = f"<summary>{branch.label}{brackets}</summary>"
        children = "".join(branch.parts)
        self._shown += 1
        above.parts.append(f"<li><details{opened}>{summary}<ul>{children}</ul></details></li>")

    def _count(self, branch: _Branch) -> None:
        """One more value of a branch, where one may stand."""
        if not branch.wants.startswith("value"):
            raise CannotRender("malformed")
        branch.count += 1
        branch.wants = "comma or end" if branch.opening else "value or end"
        self._total += 1

    def _add(self, branch: _Branch, html: str) -> None:
        if len(self._stack) > DEPTH or self._shown >= VALUES:
            return
        self._shown += 1
        self._size += len(html)
        if self._size > HTML_CHARACTERS:
            raise CannotRender("markup")
        branch.parts.append(html)


def _clipped(string: str) -> str:
    text = string if len(string) <= _LONGEST else f"{string[:_LONGEST]}\u2026"
    return plaintext.escape(text)
