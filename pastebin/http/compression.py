"""Answers in gzip, for who accepts it: RFC 9110, sections 8.4 and 12.5.3.

Each coding of a body is a representation of its own with a strong entity tag of its own (8.8.3.3). Conditions are
weighed against the one that the request would get; a request with Range gets the plain one, so that ranges are always
ranges of the plain bytes. Only what shared caches may keep is ever compressed: where a secret and text of an attacker's
choice shrink together, the length tells of the secret (BREACH).
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import hdrs
from multidict import MultiMapping

LEAST_BYTES = 1024
# Twice the time of level 1 for a tenth to a fifth less; what is cached for a day is worth it.
_LEVEL = 5
_GZIP_WINDOW = 31
# About 0.1 ms, the most that is worth holding up everybody else for.
_INLINE_BYTES = 16 * 1024

_TEXTUAL = re.compile(r"text/|application/(?:json|javascript|xml|[a-z0-9.-]+\+(?:json|xml))\b|image/svg\+xml\b")
_ITEM = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=([0-9](?:\.[0-9]{0,3})?)[ \t]*)?")
# Different libraries make different bytes of the same text, and nodes with different ones serve the same address.
_MAKER = format(zlib.crc32(f"{zlib.ZLIB_RUNTIME_VERSION} {_LEVEL}".encode()), "08x")


@dataclass(frozen=True, slots=True)
class Variant:
    """The representation that a request gets of a body; `is_negotiated` if another request might get another one."""

    is_coded: bool = False
    is_negotiated: bool = False

    def etag(self, plain: str) -> str:
        """The entity tag of this representation, given that of the plain one."""
        return f'{plain[:-1]}-gzip-{_MAKER}"' if self.is_coded else plain

    def vary(self, names: Iterable[str] = ()) -> dict[str, str]:
        """The Vary header: these request headers, and Accept-Encoding where it counted."""
        listed = [*names, *([hdrs.ACCEPT_ENCODING] if self.is_negotiated else [])]
        return {hdrs.VARY: ", ".join(listed)} if listed else {}


PLAIN = Variant()


class Compression:
    """Chooses representations and makes them; none but the plain one where it is switched off."""

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on

    def variant(self, request_headers: MultiMapping[str], media_type: str, size: int | None = None) -> Variant:
        """What a request gets of a body of this type; `size` in bytes, None where it is known to be worth it."""
        if not self._is_on or (size is not None and size < LEAST_BYTES) or not _TEXTUAL.match(media_type):
            return PLAIN
        if hdrs.RANGE in request_headers:
            return Variant(is_negotiated=True)
        accepted = ",".join(request_headers.getall(hdrs.ACCEPT_ENCODING, ()))
        return Variant(is_coded=prefers_gzip(accepted), is_negotiated=True)

    async def encode(self, body: bytes, variant: Variant) -> bytes:
        """The bytes of the representation; large ones are made off the loop."""
        if not variant.is_coded:
            return body
        return gzip(body) if len(body) <= _INLINE_BYTES else await asyncio.to_thread(gzip, body)


def gzip(body: bytes) -> bytes:
    """The same bytes each time: the header of the format (RFC 1952) holds neither time nor name."""
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP_WINDOW)
    return compressor.compress(body) + compressor.flush()


@lru_cache(maxsize=256)
def prefers_gzip(accept_encoding: str) -> bool:
    """Whether gzip is accepted, and the plain body not preferred to it. Malformed elements are skipped."""
    qualities: dict[str, float] = {}
    for item in accept_encoding.split(","):
        if found := _ITEM.fullmatch(item.strip(" \t")):
            name = found[1].lower()
            qualities["gzip" if name == "x-gzip" else name] = min(float(found[2] or "1"), 1.0)
    gzip_quality = qualities.get("gzip", qualities.get("*", 0.0))
    return gzip_quality > 0 and gzip_quality >= qualities.get("identity", 0.0)
