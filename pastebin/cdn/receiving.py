"""What of an origin's answer is kept, and under which names: RFC 9111, section 3.1. Pure."""

from __future__ import annotations

import base64
import binascii
import re

from multidict import CIMultiDict, MultiMapping

from pastebin import surrogates
from pastebin.cdn import directives, validation
from pastebin.http import consistency

_DIGEST = re.compile(r"(?:^|[, ])sha-256=:([A-Za-z0-9+/]{43}=):")


def tags_of(headers: MultiMapping[str], target: str) -> frozenset[str]:
    """The surrogate keys of an answer: those it names, and those of its address."""
    named = ",".join(headers.getall(surrogates.HEADER, ())).replace(",", " ")
    return surrogates.of_header(named) | surrogates.of_path(target)


def kept(headers: MultiMapping[str], responded_at: float) -> CIMultiDict[str]:
    """The headers to store. What is about this one exchange is not among them."""
    kept = validation.storable_headers(headers, responded_at)
    for name in (consistency.HEADER, consistency.SEEN_HEADER, "X-Request-Id", "Content-Length"):
        kept.popall(name, None)
    return kept


def personal(headers: MultiMapping[str]) -> tuple[tuple[str, str], ...]:
    """The fields that were not for everybody (RFC 9111, sections 5.2.2.4 and 5.2.2.7)."""
    says = directives.of_response(headers)
    names = says.private_fields | says.no_cache_fields
    return tuple((name, value) for name in names for value in headers.getall(name, ()))


def kept_of_304(headers: MultiMapping[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in (consistency.HEADER, consistency.SEEN_HEADER, "X-Request-Id"):
        kept.popall(name, None)
    return kept


def digest(headers: MultiMapping[str]) -> bytes | None:
    """The SHA-256 that the origin names for what it sends (RFC 9530)."""
    for name in ("Content-Digest", "Repr-Digest"):
        if found := _DIGEST.search(headers.get(name, "")):
            try:
                return base64.b64decode(found[1], validate=True)
            except binascii.Error:
                return None
    return None
