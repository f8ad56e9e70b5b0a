"""What commercial CDNs want to be told instead of Surrogate-Key and CDN-Cache-Control.

Fastly reads Surrogate-Control before Cache-Control, where it ignores no-cache and no-store. Cloudflare reads
CDN-Cache-Control (RFC 9213) and Cache-Tag. CloudFront and Bunny read s-maxage in Cache-Control, and tags in Cache-Tag
(or whatever a CacheTagConfig names) and CDN-Tag. But for Fastly they ignore Vary on anything but Accept-Encoding, so
what varies otherwise is not for them. The key of everything is left out of tags: each of them can purge all at once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection

from aiohttp import hdrs, web
from multidict import MutableMultiMapping

from pastebin.sections import Dialect

SHARED = "CDN-Cache-Control"
KEYS = "Surrogate-Key"

_EVERYTHING = "all"
_NEVER = "private, no-store, max-age=0"
_CLOSED = re.compile(r"(^|,)\s*(no-store|no-cache|private)\b")
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age=([0-9]+)")
_STALE = re.compile(r"(?:^|,)\s*(stale-(?:while-revalidate|if-error)=[0-9]+)")


def translate(headers: MutableMultiMapping[str], dialects: Collection[Dialect]) -> None:
    """Say in these dialects, too, what the headers say about shared caches."""
    shared = headers.get(SHARED, "no-store")
    varies = {name.strip().lower() for value in headers.getall(hdrs.VARY, ()) for name in value.split(",")}
    if set(dialects) - {"fastly"} and varies - {"", "accept-encoding"}:
        shared = headers[SHARED] = "no-store"
    age = _MAX_AGE.search(shared)
    is_shared = age is not None and int(age[1]) > 0 and not _CLOSED.search(shared)
    if "fastly" in dialects:
        headers["Surrogate-Control"] = shared if is_shared else _NEVER
    tags = ",".join(key for key in headers.get(KEYS, "").split() if key != _EVERYTHING)
    if tags and {"cloudflare", "cloudfront"} & set(dialects):
        headers["Cache-Tag"] = tags
    if tags and "bunny" in dialects:
        headers["CDN-Tag"] = tags
    if {"cloudfront", "bunny"} & set(dialects):
        told = [directive.strip() for directive in headers.get(hdrs.CACHE_CONTROL, "no-cache").split(",")]
        if age is not None and is_shared:
            headers[hdrs.CACHE_CONTROL] = ", ".join(_opened(told, int(age[1]), _STALE.findall(shared)))
        elif not {"private", "no-store"} & set(told):
            headers[hdrs.CACHE_CONTROL] = ", ".join(["private", *(word for word in told if word != "public")])


def speaking(dialects: Collection[Dialect]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What translates an answer before its head is sent; the last to look at it."""

    async def sign(_request: web.Request, response: web.StreamResponse) -> None:
        translate(response.headers, dialects)

    return sign


def _opened(told: list[str], seconds: int, stale: list[str]) -> list[str]:
    """What browsers are told, with an s-maxage; `no-cache` would count for everybody, so it becomes max-age=0."""
    kept = [directive for directive in told if directive != "no-cache"]
    if not any(directive.startswith("max-age=") for directive in kept):
        kept.append("max-age=0")
    return [*kept, f"s-maxage={seconds}", *(directive for directive in stale if directive not in kept)]
