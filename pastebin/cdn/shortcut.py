"""Hits before aiohttp: a connection that answers what is prepared itself, and leaves everything else to the full road.

A request of the grammar costs one match of a regular expression, one look into a dict and one write. It may be
answered here only while the connection stands between two requests: the parser of aiohttp holds no bytes, its handler
waits, and the client reads what is written for it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pastebin.cdn.grammar import HEAD_BYTES, METHOD, head_at
from pastebin.cdn.prepared import Head, Prepared, Written
from pastebin.http.protocol import Connection

# Of heads that came in one piece so many bytes are answered at once; what is left after that takes the full road.
_ROW_BYTES = 64 * 1024


class EdgeConnection(Connection):
    """One connection of a door before which an edge stands."""

    __slots__ = ("_answer", "_is_between", "_now", "_prepared")

    def __init__(self, manager: web.Server, *, prepared: Prepared, **options: Any) -> None:
        super().__init__(manager, **options)
        self._prepared = prepared
        self._answer = prepared.answer
        self._now = self._loop.time
        self._is_between = True

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if self._is_between and self._short is None and waiter is not None and not (waiter.done() or self._paused):
            head = head_at(data)
            if head is not None:
                now = self._now()
                end = head.end()
                if end == len(data):
                    answer = self._answer(head, now) if end <= HEAD_BYTES else None
                    if answer is not None:
                        self._write(head, answer, now)
                        return
                elif not (data := data[self._answer_row(head, data, now) :]):
                    return
        self._take(data)

    def _answer_row(self, head: Head | None, data: bytes, now: float) -> int:
        """Answer heads that came in one piece, in their order; where the rest begins."""
        at = size = 0
        while head is not None and size < _ROW_BYTES and not self._paused and head.end() - at <= HEAD_BYTES:
            answer = self._answer(head, now)
            if answer is None:
                break
            self._write(head, answer, now)
            size += len(answer[1]) if isinstance(answer, tuple) else len(answer)
            at = head.end()
            head = head_at(data, at)
        return at

    def _write(self, head: Head, answer: Written, now: float) -> None:
        wire = self._wire
        if wire is None:
            return
        if isinstance(answer, tuple):
            wire.writelines(answer)
        else:
            wire.write(answer)
        self._next_keepalive_close_time = now + self._keepalive_timeout
        self._heard = self._moved = True
        if self._head_timer is not None:
            self._await_no_head()
        if self._write_timer is None and wire.get_write_buffer_size():
            self._await_reading()
        if self._prepared.on_visit is not None and head[METHOD] == b"GET":
            start = answer[0] if isinstance(answer, tuple) else answer
            self._prepared.on_visit(head, int(start[9:12]), wire)

    def _take(self, data: bytes) -> None:
        """Give it to the short road or aiohttp; find out whether the parser stands between two requests afterwards."""
        super().data_received(data)
        if self._short is not None:
            self._is_between = True  # the parser has seen nothing of what is answered now, nor of what came after it
            return
        body = self._last_body
        is_whole = data.endswith(b"\r\n\r\n") or self._owed == 0
        self._is_between = is_whole and (body is None or body.is_eof()) and not self._buffer_paused
