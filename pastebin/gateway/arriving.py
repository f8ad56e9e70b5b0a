"""The connections of the gateway's door: what is plain enough takes the fast road, everything else aiohttp's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from pastebin.gateway import grammar
from pastebin.gateway.express import Express, Passage, Told
from pastebin.gateway.routing import Route
from pastebin.http.gaps import GapConnection

_REMEMBERED_BYTES = 2048

# What a node is told, from the fields of a request that came from this peer; None where the full road has to.
Tell = Callable[[bytes, str], Told | None]


class GatewayConnection(GapConnection):
    """One connection of a client."""

    __slots__ = ("_express", "_fields", "_handed", "_peer", "_tell", "_told")

    def __init__(self, manager: web.Server, *, express: Express, tell: Tell, **options: Any) -> None:
        super().__init__(manager, **options)
        self._express = express
        self._tell = tell
        self._peer = ""
        self._handed: Passage | None = None  # is with aiohttp
        # Clients repeat themselves: the fields of the last head, and what was made of them.
        self._fields = b""
        self._told: Told | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peername = transport.get_extra_info("peername")
        self._peer = str(peername[0]) if isinstance(peername, tuple) else ""
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        passage = self._short if isinstance(self._short, Passage) else self._handed
        self._handed = None
        super().connection_lost(exc)
        if passage is not None:
            passage.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_open and self._short is None and not self._paused and self._begins(data):
            return
        self._take(data)

    def handed(self) -> tuple[Route, float] | None:
        """The route of the request that aiohttp begins with, if it has been on the fast road, and since when."""
        passage, self._handed = self._handed, None
        return None if passage is None else (passage.handed(), passage.since)

    def take_answer(self, answer: bytes, *, stays: bool) -> None:
        """See `express.Asker`."""
        self._finish_short(answer, stays)

    def take_over(self, passage: Passage, head: bytes) -> None:
        """See `express.Asker`."""
        if self._close or self._force_close or self.transport is None:
            passage.cancel()
            return
        data, self._short, self._behind = head + self._behind, None, b""
        self._handed = passage
        self._resume_reading_for_buffer()
        self._take(data)

    def _begins(self, data: bytes) -> bool:
        """Whether what has come is on the fast road now, or waits behind what is."""
        start = grammar.start_at(data)
        if start is None:
            return False
        fields, behind = data[start.end() :], b""
        if fields != self._fields:
            match = grammar.fields_at(data, start.end())
            if match is None or match.end() > grammar.HEAD_BYTES:
                return False
            behind, fields = data[match.end() :], match[0]
        told = self._told if fields == self._fields else self._read(fields)
        if told is None:
            return False
        passage = self._express.begin(self, start[1], start[2], told, fields)
        if passage is None:
            return False
        self._short = passage
        self._request_in_progress = True
        if self._head_timer is not None:
            self._await_no_head()
        if behind:
            self._behind = behind
            self._pause_reading_for_buffer()
        return True

    def _read(self, fields: bytes) -> Told | None:
        told = self._tell(fields, self._peer)
        if told is not None and len(fields) <= _REMEMBERED_BYTES:
            self._fields, self._told = fields, told
        return told
