"""Hits before aiohttp: a connection that answers what is prepared itself, and leaves everything else to the full road.

It may do so only while it stands between two requests: the parser of aiohttp holds no bytes, no request waits for its
answer, and the client reads what is written for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from pastebin.cdn.grammar import HEAD_BYTES, Said, fields_at, start_at
from pastebin.cdn.prepared import Prepared, Written
from pastebin.http.gaps import GapConnection

# Of heads that came in one piece so many bytes are answered at once; what is left after that takes the full road.
_ROW_BYTES = 64 * 1024
_MOST_WAITING = 256
_REMEMBERED_BYTES = 2048

# Called for every GET that was answered here: its head, the answer, when it was made, and the connection.
OnVisit = Callable[[bytes, Written, float, asyncio.Transport], None]


class Shortcut:
    """What the connections of a door share.

    The answers of one turn of the loop are written together at its end: a client that waits is woken by what is
    written, and to wake one for every answer costs more than to make the answer.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.on_visit: OnVisit | None = None
        self._waiting: list[tuple[EdgeConnection, Written]] = []

    def write(self, connection: EdgeConnection, answer: Written, loop: asyncio.AbstractEventLoop) -> None:
        """Write an answer before anything else is done with the connection; a large one at once."""
        waiting = self._waiting
        if not waiting:
            loop.call_soon(self.flush)
        waiting.append((connection, answer))
        if isinstance(answer, tuple) or len(waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        for connection, answer in waiting:
            wire = connection._wire
            if wire is None:
                continue
            if isinstance(answer, tuple):
                wire.writelines(answer)
            else:
                wire.write(answer)
            if connection._write_timer is None and wire.get_write_buffer_size():
                connection._await_reading()


class EdgeConnection(GapConnection):
    """One connection of a door before which an edge stands."""

    __slots__ = ("_answer", "_fields", "_now", "_said", "_shortcut")

    def __init__(self, manager: web.Server, *, shortcut: Shortcut, **options: Any) -> None:
        super().__init__(manager, **options)
        self._shortcut = shortcut
        self._answer = shortcut.prepared.answer
        self._now = self._loop.time
        # Clients repeat themselves: the fields of the last head, and what they said.
        self._fields = b"\r\n"
        self._said: Said = (None, None, None, None, None, None)

    def data_received(self, data: bytes) -> None:
        if self._is_open and self._short is None and not self._paused:
            start = start_at(data)
            if start is not None:
                fields = data[start.end() :]
                said = self._said if fields == self._fields else self._read(fields)
                if said is not None and len(data) <= HEAD_BYTES:
                    method, address = start.groups()
                    now = self._now()
                    answer = self._answer(method, address, said, now)
                    if answer is not None:
                        self._give(method, data, answer, now)
                        return
                elif not (data := data[self._answer_row(data) :]):
                    return
        self._take(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp returns nothing
        self._shortcut.flush()
        return super().eof_received()

    def force_close(self) -> None:
        self._shortcut.flush()
        super().force_close()

    def _read(self, fields: bytes) -> Said | None:
        """What these fields say, if they are all that there is."""
        match = fields_at(fields)
        if match is None or match.end() != len(fields):
            return None
        said = cast(Said, match.groups())
        if len(fields) <= _REMEMBERED_BYTES:
            self._fields, self._said = fields, said
        return said

    def _answer_row(self, data: bytes) -> int:
        """Answer heads that came in one piece, in their order; where the rest begins."""
        at = size = 0
        while size < _ROW_BYTES and not self._paused:
            start = start_at(data, at)
            match = fields_at(data, start.end()) if start is not None else None
            if start is None or match is None or match.end() - at > HEAD_BYTES:
                break
            now = self._now()
            answer = self._answer(start[1], start[2], cast(Said, match.groups()), now)
            if answer is None:
                break
            self._give(start[1], data[at : match.end()], answer, now)
            size += len(answer[1]) if isinstance(answer, tuple) else len(answer)
            at = match.end()
        return at

    def _give(self, method: bytes, head: bytes, answer: Written, now: float) -> None:
        shortcut = self._shortcut
        shortcut.write(self, answer, self._loop)
        self._next_keepalive_close_time = now + self._keepalive_timeout
        self._moved = True
        if self._head_timer is not None:
            self._await_no_head()
        if shortcut.on_visit is not None and method == b"GET" and self._wire is not None:
            shortcut.on_visit(head, answer, now, self._wire)
