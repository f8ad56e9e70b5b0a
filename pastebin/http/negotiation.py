"""What a client wants to see: the Accept header of RFC 9110, section 12.5.1. Malformed parts are skipped."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_WORD = "[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+'
# Possessive, and an open quotation runs to the end: otherwise hostile quotes cost quadratic time.
_PIECE = re.compile(f'(?:[^",]|{_QUOTED}"?)++', re.DOTALL)
_RANGE = re.compile(f"({_WORD})/({_WORD})")
_PARAMETER = re.compile(f'[ \t]*+;[ \t]*+(?:({_WORD})=({_WORD}|{_QUOTED}"))?', re.DOTALL)
# Old Java sends `*; q=.2`, which everybody understands.
_QUALITY = re.compile("[0-9]{0,3}[.]?[0-9]{0,6}")
_HTML = frozenset({("text", "html"), ("application", "xhtml+xml")})
_PLAIN = ("text", "plain")

Parameters = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of Accept, in lower case; `quality` is from 0 (never) to 1."""

    type: str
    subtype: str
    parameters: Parameters
    quality: float

    @property
    def specificity(self) -> tuple[bool, bool, int]:
        return self.type != "*", self.subtype != "*", len(self.parameters)

    def covers(self, kind: str, subtype: str, parameters: Parameters) -> bool:
        return self.type in ("*", kind) and self.subtype in ("*", subtype) and self.parameters <= parameters


def quality(accept: str | None, media_type: str) -> float:
    """How welcome `media_type` is: the quality of the most specific range that covers it.

    1.0 without a readable Accept header, for then everything is welcome; 0.0 where no range covers it.
    """
    ranges = parse_accept(accept)
    if not ranges:
        return 1.0
    wanted = _media_range(media_type)
    if wanted is None:
        return 0.0
    fitting = [one for one in ranges if one.covers(wanted.type, wanted.subtype, wanted.parameters)]
    return max(((one.specificity, one.quality) for one in fitting), default=(None, 0.0))[1]


def prefers_html(accept: str | None) -> bool:
    """Whether HTML is named, and plain text not with a higher quality; the `*/*` of curl names nothing."""
    html = _named(accept, lambda pair: pair in _HTML)
    return html > 0 and html >= _named(accept, lambda pair: pair == _PLAIN)


def prefers_json(accept: str | None) -> bool:
    """Whether JSON (or a `+json` type) is named, and neither plain text nor HTML with a higher quality.

    Where JSON and HTML are both on offer ask this first: a tie comes from a program.
    """
    json = _named(accept, lambda pair: pair[1] == "json" or pair[1].endswith("+json"))
    return json > 0 and json >= _named(accept, lambda pair: pair == _PLAIN or pair in _HTML)


@lru_cache(maxsize=256)
def parse_accept(accept: str | None) -> tuple[MediaRange, ...]:
    """The readable elements of the header, in their order."""
    pieces = _PIECE.findall(accept or "")
    return tuple(found for piece in pieces if (found := _media_range(piece)) is not None)


def _named(accept: str | None, is_meant: Callable[[tuple[str, str]], bool]) -> float:
    named = (one.quality for one in parse_accept(accept) if is_meant((one.type, one.subtype)))
    return max(named, default=0.0)


def _media_range(text: str) -> MediaRange | None:
    text = text.strip(" \t")
    found = _RANGE.match(text)
    if found is None and text[:1] != "*":
        return None
    kind, subtype = (found[1].lower(), found[2].lower()) if found else ("*", "*")
    parameters: dict[str, str] = {}
    position = found.end() if found else 1
    while position < len(text):
        parameter = _PARAMETER.match(text, position)
        if parameter is None:
            return None
        if parameter[1]:
            parameters[parameter[1].lower()] = parameter[2].strip('"').lower()
        position = parameter.end()
    weight = _weight(parameters.pop("q", "1"))
    if weight is None or (kind == "*" and subtype != "*"):
        return None
    return MediaRange(kind, subtype, frozenset(parameters.items()), weight)


def _weight(text: str) -> float | None:
    return min(float(text), 1.0) if _QUALITY.fullmatch(text) and text not in ("", ".") else None
