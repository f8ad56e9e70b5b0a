"""What Cache-Control and CDN-Cache-Control say: RFC 9111 section 5.2, RFC 5861, RFC 9213.

Whatever is doubtful is read as the stricter of its meanings: a number that is none counts as 0, a directive that
limits caching counts even where its syntax is broken, one that widens caching does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, TypeVar

import http_sf
from multidict import MultiMapping

LONGEST = 2**31  # seconds; what is longer counts as this much (RFC 9111, section 1.2.2)

_TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (of RFC 9110, section 5.6.2)
_WORD = re.compile(_TOKEN)
_MEMBER = re.compile(rf"""[ \t]*+(?:({_TOKEN})(?:=(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)"))?+)?+[ \t]*+(?:,|$)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEMOISED_CHARS = 256
_Read = TypeVar("_Read")

_SECONDS = {
    "max-age": "max_age",
    "s-maxage": "s_maxage",
    "stale-while-revalidate": "stale_while_revalidate",
    "stale-if-error": "stale_if_error",
    "min-fresh": "min_fresh",
    "max-stale": "max_stale",
}
_LIMITS = {
    "no-store": "no_store",
    "must-revalidate": "must_revalidate",
    "proxy-revalidate": "proxy_revalidate",
    "no-transform": "no_transform",
    "only-if-cached": "only_if_cached",
}
_GRANTS = {"public": "public", "must-understand": "must_understand"}
_QUALIFIED = {"no-cache": "no_cache", "private": "private"}

# Without one of these a response is another one: naming it means all of the response.
_ESSENTIAL = {
    "cache-control",
    "cdn-cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "transfer-encoding",
    "vary",
}


@dataclass(frozen=True, slots=True)
class Directives:
    """The directives of one request or one response. Numbers are seconds from 0 to LONGEST; None where absent.

    `no_cache_fields` and `private_fields` are lower-case names of fields that may not be reused; `no_cache` and
    `private` are about the whole response.
    """

    no_store: bool = False
    no_cache: bool = False
    no_cache_fields: frozenset[str] = frozenset()
    private: bool = False
    private_fields: frozenset[str] = frozenset()
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    no_transform: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    min_fresh: int | None = None
    max_stale: int | None = None  # LONGEST where it came without a number: however stale
    is_targeted: bool = False  # from CDN-Cache-Control: Cache-Control and Expires do not count

    @property
    def forbids_stale(self) -> bool:
        """Whether a shared cache may never serve the response stale (RFC 9111, section 4.2.4)."""
        return self.must_revalidate or self.proxy_revalidate or self.no_cache or self.s_maxage is not None

    @property
    def allows_authorised(self) -> bool:
        """Whether the response may be shared although the request had credentials (RFC 9111, section 3.5)."""
        return self.must_revalidate or self.public or self.s_maxage is not None


NONE = Directives()
_PRAGMA = Directives(no_cache=True)


def of_request(headers: MultiMapping[str]) -> Directives:
    """The directives of a request. `Pragma: no-cache` counts where it has no Cache-Control (RFC 9111, section 5.4)."""
    lines = headers.getall("Cache-Control", ())
    if lines:
        return _recalled(_read_request, lines)
    if "no-cache" in ",".join(headers.getall("Pragma", ())).lower():
        return _PRAGMA
    return NONE


def of_response(headers: MultiMapping[str]) -> Directives:
    """The directives that rule a response: CDN-Cache-Control if it is valid and not empty, else Cache-Control."""
    lines = headers.getall("CDN-Cache-Control", ())
    if lines:
        targeted = _recalled(_read_target, lines)
        if targeted is not None:
            return targeted
    lines = headers.getall("Cache-Control", ())
    return _recalled(_read_response, lines) if lines else NONE


def parse_seconds(text: str) -> int | None:
    """A number of seconds, at most LONGEST (RFC 9111, section 1.2.2); None if the text is something else."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return min(int(digits), LONGEST) if len(digits) <= 10 else LONGEST


def field_names(text: str) -> frozenset[str] | None:
    """The lower-case names in a list of fields; None if it is empty, malformed, or names what cannot be left out."""
    names = [name.strip(" \t").lower() for name in text.split(",")]
    found = frozenset(name for name in names if name)
    if not found or found & _ESSENTIAL or not all(_WORD.fullmatch(name) for name in found):
        return None
    return found


def _recalled(read: _lru_cache_wrapper[_Read], lines: Sequence[str]) -> _Read:
    """What `read` makes of the lines of a field. Long ones are not kept: they would only fill the memory."""
    value = lines[0] if len(lines) == 1 else ", ".join(lines)
    return read(value) if len(value) <= _MEMOISED_CHARS else read.__wrapped__(value)


@lru_cache(maxsize=1024)
def _read_request(value: str) -> Directives:
    return _read(value, is_request=True)


@lru_cache(maxsize=1024)
def _read_response(value: str) -> Directives:
    return _read(value, is_request=False)


def _read(value: str, *, is_request: bool) -> Directives:
    reading = _Reading(is_request=is_request)
    position = 0
    while position < len(value):
        member = _MEMBER.match(value, position)
        if member is not None:
            position = member.end()
            name, token, quoted = member.groups()
            if name is not None:
                reading.take(name.lower(), token if quoted is None else _ESCAPED.sub(r"\1", quoted))
            continue
        end = value.find(",", position)
        if end < 0 or '"' in value[position:end]:
            end = len(value)  # who knows where the quotes end
        reading.take_broken(value[position:end])
        position = end + 1
    return reading.directives()


@lru_cache(maxsize=1024)
def _read_target(value: str) -> Directives | None:
    """None where the field is to be ignored (RFC 9213, section 2.1). A directive of the wrong type is left out."""
    try:
        members: dict[str, Any] = http_sf.parse(value.encode("ascii"), tltype="dictionary")  # type: ignore[assignment]
    except ValueError:
        return None
    reading = _Reading(is_request=False)
    for name, (argument, _) in members.items():
        if argument is True:
            if name not in _SECONDS:
                reading.take(name, None)
        elif name in _SECONDS:
            if type(argument) is int and argument >= 0:
                reading.take(name, str(argument))
        elif name in _QUALIFIED and isinstance(argument, str | http_sf.Token):
            reading.take(name, str(argument))
    return reading.directives(is_targeted=True) if members else None


class _Reading:
    """The members of one field as they are read, one after the other."""

    def __init__(self, *, is_request: bool) -> None:
        self._is_request = is_request
        self._found: dict[str, Any] = {}

    def take(self, name: str, argument: str | None) -> None:
        if name in _SECONDS:
            self._take_seconds(_SECONDS[name], argument)
        elif name in _LIMITS:
            self._found[_LIMITS[name]] = True
        elif name in _QUALIFIED:
            self._take_qualified(_QUALIFIED[name], argument)
        elif name in _GRANTS and argument is None:
            self._found[_GRANTS[name]] = True

    def take_broken(self, text: str) -> None:
        """Something that is no list of directives: whatever in it could limit caching does."""
        for word in _WORD.findall(text):
            if word.lower() not in _GRANTS:
                self.take(word.lower(), "" if word.lower() in _SECONDS else None)

    def directives(self, *, is_targeted: bool = False) -> Directives:
        return Directives(**self._found, is_targeted=is_targeted)

    def _take_seconds(self, attribute: str, argument: str | None) -> None:
        is_open = attribute == "max_stale" and argument is None
        seconds = LONGEST if is_open else parse_seconds(argument or "") or 0
        # two different numbers: such a response is stale (RFC 9111, section 4.2.1)
        self._found[attribute] = seconds if self._found.get(attribute, seconds) == seconds else 0

    def _take_qualified(self, attribute: str, argument: str | None) -> None:
        names = None if argument is None or self._is_request else field_names(argument)
        if names is None:
            self._found[attribute] = True
        else:
            self._found[f"{attribute}_fields"] = self._found.get(f"{attribute}_fields", frozenset()) | names
