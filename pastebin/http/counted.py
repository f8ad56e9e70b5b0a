"""What a request and its answer say about being counted, and how the answers of a door come to be.

Who has counted a visit says so to whoever stands behind, so that a reading counts once. An answer can say that it is
not to be counted; clients do not get to see that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import hdrs, web
from multidict import CIMultiDict, MultiMapping

from pastebin.sights import Answered
from pastebin.visits import CacheStatus

COUNTED = "Pastebin-Counted"
ANALYTICS = "Pastebin-Analytics"
OFF = "off"

# Set by a cache that answers, or has passed the request on.
CACHED: web.RequestKey[CacheStatus] = web.RequestKey("cached", str)  # type: ignore[arg-type]  # a Literal
STARTED = web.RequestKey("started", float)  # of time.perf_counter

_UNCOUNTED = web.RequestKey("uncounted", bool)

# Called when an answer has been written.
OnAnswered = Callable[[web.BaseRequest, web.StreamResponse], None]


class Sink(Protocol):
    """See `services.counting`."""

    due: Callable[[], int]

    def note(self, weight: int, read: Callable[..., Answered | None], *what: Any) -> None: ...


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Before the head of an answer is sent: take off what only who counts may see, and remember it."""
    if ANALYTICS in response.headers:
        if response.headers[ANALYTICS] == OFF:
            request[_UNCOUNTED] = True
        if COUNTED not in request.headers:
            response.headers.popall(ANALYTICS)


def noting(sink: Sink) -> OnAnswered:
    """Notes what a door has answered, unless somebody before it does."""
    due, note = sink.due, sink.note

    def answered(request: web.BaseRequest, response: web.StreamResponse) -> None:
        method = request.method
        if method == hdrs.METH_GET or (method == hdrs.METH_POST and request.path.endswith("/reveal")):
            if COUNTED in request.headers or _UNCOUNTED in request or not (weight := due()):
                return
            duration = time.perf_counter() - request.get(STARTED, time.perf_counter())
            note(
                weight,
                read,
                *(method, request.raw_path, request.headers, request.remote or ""),
                *(response.status, response.headers, response.body_length, duration),
                request.get(CACHED, "none"),
            )

    return answered


def read(
    method: str,
    target: str,
    asked: MultiMapping[str],
    address: str,
    status: int,
    headers: CIMultiDict[str],
    written: int,
    seconds: float,
    cache: CacheStatus,
) -> Answered:
    """What `noting` has noted; `written` are the bytes of head and body."""
    media_type = headers.get(hdrs.CONTENT_TYPE, "")
    if status == 304:  # which says nothing of it
        media_type = "text/html" if "text/html" in asked.get(hdrs.ACCEPT, "") else ""
    return Answered(
        method=method,
        target=target,
        host=asked.get(hdrs.HOST, ""),
        address=address,
        agent=asked.get(hdrs.USER_AGENT, ""),
        referrer=asked.get(hdrs.REFERER, ""),
        wishes=wishes(asked),
        status=status,
        media_type=media_type,
        content_range=headers.get(hdrs.CONTENT_RANGE, ""),
        bytes=0 if status == 304 else _body_bytes(headers, written),
        duration_us=int(seconds * 1e6),
        cache=cache,
    )


def wishes(asked: Mapping[str, str] | MultiMapping[str]) -> tuple[str, ...]:
    """What a reader sends of dnt (Tracking Preference Expression, 5.2) and gpc (Global Privacy Control, 3.1)."""
    return tuple(word for word, name in (("dnt", "dnt"), ("gpc", "sec-gpc")) if asked.get(name) == "1")


def _body_bytes(headers: CIMultiDict[str], written: int) -> int:
    length = headers.get(hdrs.CONTENT_LENGTH, "")
    if length.isdecimal():
        return int(length)
    return max(written - sum(len(name) + len(value) + 4 for name, value in headers.items()) - 19, 0)
