"""Which parameters of a query are part of a key. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from pastebin.http.targets import ONCE

ANY = "*"
# What the routes of this project's own origin read of a GET. Whatever else stands in a query changes no answer of its.
OWN = frozenset({"back", "content", "created", "done", "download", "lines", "name", "syntax"}) | {
    *("file", "ignore_case", "line", "q", "regex"),
    *("ansi", "at", "view"),
    *("before", "from", "layout", "saved", "to", "with"),
    *("format", "foreign", "maxheight", "maxwidth", "taken", "theme", "url"),
}
# Where others are read, or refused, so that the origin has to see all of them. Nothing of that may be kept. Where
# letters are written as %61 the path may be any.
_STRICT = re.compile(rf"/api/|/admin/|/[^/?]+/stats\?|{ONCE.pattern}|[^?]*%")


class Queries:
    """Takes off what an origin does not read, so that nobody can fill a cache with copies of one answer.

    What is taken off is neither part of the key nor sent with a fetch that may be stored: else one client could have
    the answer to its own query stored as that to another. The order and spelling of the rest stay.
    """

    def __init__(self, names: Iterable[str], *, is_local: bool) -> None:
        given = frozenset(names)
        self._is_local = is_local
        self._names = (OWN if is_local else None) if ANY in given else given

    def is_strict(self, target: str) -> bool:
        """Whether a parameter that would be taken off may change what the origin answers."""
        return self._is_local and _STRICT.match(target) is not None and self.known(target) != target

    def known(self, address: str) -> str:
        """A target, or a key, with no other parameters than those on the list."""
        path, mark, query = address.partition("?")
        if not mark or self._names is None:
            return address
        kept = "&".join(part for part in query.split("&") if unquote_plus(part.partition("=")[0]) in self._names)
        return f"{path}?{kept}" if kept else path
