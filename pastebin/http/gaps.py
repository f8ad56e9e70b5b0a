"""Connections on which something may answer past aiohttp, in the gaps between the requests that aiohttp answers."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pastebin.http.protocol import Connection


class GapConnection(Connection):
    """Knows whether it stands between two requests.

    That is so while the parser of aiohttp holds no bytes, and no request is with its handler or waits for it. It is
    told earlier than by `is_between`, before aiohttp's own loop has taken its next turn.
    """

    __slots__ = ("_is_between", "_is_free", "_is_open")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._is_between = True  # no half head is in the parser of aiohttp
        self._is_free = True  # no request is, or will be, with its handler
        self._is_open = True  # both

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        # aiohttp's own loop notices a little later, and a client that is near has asked again by then
        is_last = self._close or self._force_close or self._upgraded or finished[1] or not finished[0].keep_alive
        self._is_free = not is_last and not self._messages and (self._last_body is None or self._last_body.is_eof())
        self._is_open = self._is_free and self._is_between
        return finished

    def close(self) -> None:
        self._is_free = self._is_open = False
        super().close()

    def force_close(self) -> None:
        self._is_free = self._is_open = False
        super().force_close()

    def _take(self, data: bytes) -> None:
        """Give it to the short road or aiohttp; find out whether the parser stands between two requests afterwards."""
        super().data_received(data)
        if self._short is not None:  # the parser has seen nothing of what is answered now, nor of what came after it
            self._is_between = self._is_free = self._is_open = True
            return
        body = self._last_body
        is_whole = data.endswith(b"\r\n\r\n") or self._owed == 0
        self._is_between = is_whole and (body is None or body.is_eof()) and not self._buffer_paused
        self._is_free = self._is_free and not self._messages
        self._is_open = self._is_free and self._is_between
