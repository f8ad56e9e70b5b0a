"""A door of its own for each test: the real application and socket, with routes that the test chooses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pastebin.http import app, door
from pastebin.http.app import Fronted, Routes
from pastebin.http.consistency import Tokens
from pastebin.http.door import Traffic
from pastebin.http.overload import Load
from pastebin.http.problems import Document
from pastebin.http.protocol import Connection
from pastebin.http.timeliness import Timeliness
from pastebin.metrics import Metrics
from pastebin.sections import DoorsSection, LimitsSection

LIMITS = LimitsSection(max_paste_bytes=2000, max_json_bytes=1024)


@dataclass
class Door:
    """An open door, and what stands behind it."""

    address: tuple[str, int]
    http: aiohttp.ClientSession
    metrics: Metrics
    traffic: Traffic
    hurried: asyncio.Event
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    @asynccontextmanager
    async def connected(self, data: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of its own on which this has been sent."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(data)
            await writer.drain()
            yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def behind(
    routes: Routes,
    *,
    address: str = "127.0.0.1:0",
    shutdown_seconds: float = 20.0,
    connection: Callable[..., Connection] | None = None,
    tokens: Tokens | None = None,
    front: Fronted | None = None,
    timeliness: Timeliness | None = None,
    load: Load | None = None,
    **options: Any,
) -> AsyncIterator[Door]:
    """Open a door for the time of the block; the options are those of the section."""
    metrics, traffic, hurried, draining = Metrics(), Traffic(), asyncio.Event(), asyncio.Event()
    application = app.build(
        "origin", routes, traffic, metrics, page, draining.is_set, LIMITS, tokens, front, timeliness=timeliness
    )
    section = DoorsSection(origin=address, **options)
    opening = door.opened(
        "origin",
        application,
        traffic,
        section,
        shutdown_seconds=shutdown_seconds,
        hurried=hurried,
        connection=connection,
        load=load,
    )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http, opening as real:
        yield Door(real, http, metrics, traffic, hurried, draining)


def of_doors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What doors and what stands below them have logged: nodes of other tests may say something at the same time."""
    below = ("pastebin.http", "aiohttp", "asyncio")
    return [record for record in caplog.records if record.name.startswith(below)]


def page(document: Document) -> web.Response:
    return web.Response(status=document.status, text=f"<h1>{document.title}</h1>", content_type="text/html")
