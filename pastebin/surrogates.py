"""Surrogate keys: the names under which caches keep whatever shows a paste, so that one purge finds all of it.

A key is printable ASCII without space, as the narrowest of the known caches wants it (Fastly: 0x21 to 0x7E, at most
1024 bytes). Every answer about a paste carries the key of that paste, and every answer that may be cached carries ALL,
for purging everything. Caches that ignore the case of keys purge a little too much, never too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

from pastebin import slugs

ALL = "all"
HEADER = "Surrogate-Key"

_BROKEN = re.compile("%(?![0-9A-Fa-f]{2})")
_LONGEST = 8192
# How many segments behind these the slugs stand, and how many there are. What begins otherwise begins with a slug.
_PREFIXES: dict[tuple[str, ...], int] = {
    ("raw",): 1,
    ("embed",): 1,
    ("documents",): 1,
    ("diff",): 2,
    ("api", "v1", "pastes"): 1,
}


def of_paste(slug: str) -> str:
    """The key of everything that shows the paste called `slug`, all its revisions and errors included."""
    return f"p-{slug}"


@lru_cache(maxsize=512)
def of_path(path: str) -> frozenset[str]:
    """The keys of the pastes that a request target names; none for an address that can name no paste.

    `path` is as it came over the wire: percent-encoded once, with or without a query. Whether there is such a paste is
    not asked. A key too many does no harm, so `/{slug}/whatever` and `/{slug}.whatever` name the paste as well.
    """
    if len(path) > _LONGEST or not path.startswith("/"):
        return frozenset()
    segments = [_decoded(segment) for segment in re.split("[?#]", path, maxsplit=1)[0].split("/")[1:]]
    for prefix, count in _PREFIXES.items():
        if tuple(segments[: len(prefix)]) == prefix:
            return _keys(segments[len(prefix) : len(prefix) + count])
    return _keys(segments[:1])


def paths_of(slug: str) -> tuple[str, ...]:
    """Patterns that cover every address of a paste, for caches that purge addresses only; `*` stands at the end.

    They cover slugs that begin with this one as well, and all comparisons of two pastes.
    """
    return (
        f"/{slug}*",
        f"/raw/{slug}*",
        f"/api/v1/pastes/{slug}*",
        f"/embed/{slug}*",
        f"/documents/{slug}*",
        "/diff/*",
    )


def header(keys: Iterable[str] = ()) -> str:
    """The value of `Surrogate-Key`: these keys in a fixed order, and the one that everything has."""
    return " ".join((*sorted(keys), ALL))


def of_header(value: str) -> frozenset[str]:
    """The keys in the value of a `Surrogate-Key` header."""
    return frozenset(value.split())


def _decoded(segment: str) -> str:
    """One segment, decoded once; what is no UTF-8 names nothing, and neither does a broken escape."""
    if "%" not in segment:
        return segment
    if _BROKEN.search(segment):
        return ""
    return unquote(segment, errors="replace")


def _keys(segments: Iterable[str]) -> frozenset[str]:
    """Of the segments that begin with a slug; the service's own words are none."""
    names = (segment.partition(".")[0] for segment in segments)
    return frozenset(of_paste(name) for name in names if slugs.is_slug(name) and not slugs.is_reserved(name))
