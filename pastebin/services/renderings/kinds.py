"""Which views a file has, and which of them a page shows. Pure."""

from __future__ import annotations

import re
from typing import Literal

from pastebin.services import media
from pastebin.services.renderings import zips
from pastebin.services.syntaxes import Syntax

# `source` is the text, or the head of what is none, as it is; every other view says what the bytes mean.
View = Literal["source", "document", "table", "tree", "terminal", "media", "archive", "hex"]
VIEWS: tuple[View, ...] = ("source", "document", "table", "tree", "terminal", "media", "archive", "hex")

# What a worker has to draw, since it may take for ever.
DRAWN: frozenset[View] = frozenset({"document", "table", "tree"})

_SOURCE_FIRST: dict[str, tuple[View, ...]] = {"json": ("source", "tree")}
_VIEWS: dict[str, tuple[View, ...]] = {
    "markdown": ("document", "source"),
    "csv": ("table", "source"),
    "tsv": ("table", "source"),
    "ansi": ("terminal", "source"),
    **_SOURCE_FIRST,
}
# Select Graphic Rendition (ECMA-48, 8.3.117): nothing but a terminal's output holds it.
_COLOURED = re.compile(rb"\x1b\[[0-9;:]*m")
_ARCHIVES = (".tar", ".tar.gz", ".tgz")


def find(word: str | None) -> View | None:
    """The view of that name; None for anything else, since an address may hold whatever it likes."""
    return next((view for view in VIEWS if view == word), None)


def of_text(syntax: Syntax | None, content: bytes, *, is_override: bool = False) -> tuple[View, ...]:
    """The views of a text in this syntax, the one to be shown first in front.

    Terminal output is known by its colours, unless somebody asked to have it read as something else (`is_override`).
    """
    if syntax is not None and syntax.name in _VIEWS:
        return _VIEWS[syntax.name]
    if not is_override and (syntax is None or syntax.is_plain) and _COLOURED.search(content):
        return ("terminal", "source")
    return ("source",)


def of_bytes(media_type: str, name: str | None, head: bytes) -> tuple[View, ...]:
    """The views of a file that is no text; `head` is its first 512 bytes at least, or all of it."""
    if media_type in media.SHOWN:
        return ("media", "hex")
    is_archive = head[257:262] == b"ustar" or head[:4] in zips.SIGNS
    if is_archive or (name or "").lower().endswith(_ARCHIVES):
        return ("archive", "hex")
    return ("hex",)


def choose(views: tuple[View, ...], asked: View | None) -> View:
    """The view asked for where the file has it, else its first."""
    return asked if asked in views else views[0]
