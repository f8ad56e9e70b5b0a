"""Hits before aiohttp, as visits: which of them are noted, and what their heads say."""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial

from multidict import CIMultiDictProxy

from pastebin.cdn.prepared import Prepared, Written
from pastebin.cdn.shortcut import OnVisit
from pastebin.http import counted
from pastebin.http.clients import FORWARDED_FOR, Clients
from pastebin.http.counted import ANALYTICS, Sink
from pastebin.sights import Answered

_REMEMBERED = 1024
_FORWARDED_FOR = FORWARDED_FOR.lower()


def noting(sink: Sink, prepared: Prepared, clients: Clients) -> OnVisit:
    """What `Shortcut` calls. Most hits of a busy edge end at `due`."""
    due, note, clock = sink.due, sink.note, asyncio.get_running_loop().time
    known = partial(read, clients)

    def visited(head: bytes, answer: Written, since: float, wire: asyncio.Transport) -> None:
        weight = due()
        if not weight or (given := prepared.given) is None:
            return
        status = int((answer[0] if isinstance(answer, tuple) else answer)[9:12])
        size = given.size if status == given.status else 0
        peer = wire.get_extra_info("peername")
        note(weight, known, head, peer, status, given.headers, size, clock() - since)

    return visited


def read(
    clients: Clients, head: bytes, peer: object, status: int, headers: CIMultiDictProxy[str], size: int, seconds: float
) -> Answered | None:
    """What `noting` has noted. `headers` are those of the stored answer, the head is one of the grammar."""
    if headers.get(ANALYTICS) == counted.OFF:
        return None
    line, host, fields = head.split(b"\r\n", 2)
    agent, referrer, wishes, forwarded = _said(fields)
    method, target, _ = line.decode("ascii").split(" ")
    return Answered(
        method=method,
        target=target,
        host=host.decode("ascii").partition(": ")[2],
        address=clients.address(str(peer[0]) if isinstance(peer, tuple) else "", forwarded),
        agent=agent,
        referrer=referrer,
        wishes=wishes,
        status=status,
        media_type=headers.get("Content-Type", ""),
        content_range="",
        bytes=size,
        duration_us=int(seconds * 1e6),
        cache="hit",
    )


@lru_cache(_REMEMBERED)
def _said(fields: bytes) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """Agent, referrer, wishes, and whom proxies ask for: clients repeat themselves, and so do their makers."""
    lines = [line.partition(": ") for line in fields.decode("ascii").split("\r\n")]
    asked = {name.lower(): value.strip(" ") for name, _, value in lines}
    forwarded = tuple(value for name, _, value in lines if name.lower() == _FORWARDED_FOR)
    return asked.get("user-agent", ""), asked.get("referer", ""), counted.wishes(asked), forwarded
