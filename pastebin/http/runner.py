"""Runs the application of a door on connections of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from pastebin.http.clients import Clients
from pastebin.http.protocol import Connection, ShortRoad

log = logging.getLogger(__name__)

SHORT_ROAD: web.AppKey[ShortRoad | None] = web.AppKey("short_road", ShortRoad)
REFUSED: web.AppKey[Callable[[int], None]] = web.AppKey("refused", Callable[[int], None])  # type: ignore[arg-type]


class Runner(web.AppRunner):
    """An AppRunner whose connections are what `connection` makes, by default a Connection.

    Raises KeyError for an application without REFUSED.
    """

    def __init__(
        self,
        application: web.Application,
        *,
        write_seconds: float,
        connection: Callable[..., Connection] | None = None,
        clients: Clients | None = None,
        **kwargs: Any,
    ) -> None:
        self._connection = connection or Connection
        self._clients = clients or Clients()
        super().__init__(
            application,
            write_seconds=write_seconds,
            on_refused=application[REFUSED],
            short_road=application.get(SHORT_ROAD),
            handle_signals=False,
            access_log=None,
            logger=log,
            # request bodies stay as they are: unpacking them is what CVE-2026-54278 and its like are about
            auto_decompress=False,
            **kwargs,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            connection=self._connection,
            request_factory=self._clients.behind(made.request_factory),
            loop=made._loop,
            **made._kwargs,
        )


class _Server(web.Server):
    def __init__(self, handler: Any, *, connection: Callable[..., Connection], **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self._connection = connection

    def __call__(self) -> RequestHandler:
        return self._connection(self, loop=self._loop, **self._kwargs)
