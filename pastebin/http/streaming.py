"""Response bodies as streams: back-pressure from the client, a deadline for every write, never a short 200."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import web

from pastebin.errors import PastebinError
from pastebin.http.outlets import Outlet, Piece

log = logging.getLogger(__name__)


async def send(
    request: web.Request, response: web.StreamResponse, chunks: AsyncIterator[Piece], idle_seconds: float
) -> web.StreamResponse:
    """Send head and chunks, and close what they come from.

    A failure before the first byte is raised, so that it becomes a problem document; a later one aborts the connection,
    because the head has promised a whole body.
    """
    try:
        return await _sent(request, response, chunks, idle_seconds)
    finally:
        if isinstance(chunks, AsyncGenerator):
            # left to the garbage collector, each generator inside of it would be closed by a task of its own
            await chunks.aclose()


async def _sent(
    request: web.Request, response: web.StreamResponse, chunks: AsyncIterator[Piece], idle_seconds: float
) -> web.StreamResponse:
    first = b"" if request.method == "HEAD" else await anext(chunks, b"")
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    if not first:
        request.writer.send_headers()  # aiohttp would keep them until there is something of the body
    outlet = Outlet(request, response)
    try:
        if first:
            await _write(outlet, first, idle_seconds)
        async for chunk in chunks:
            await _write(outlet, chunk, idle_seconds)
        await response.write_eof()
    except (PastebinError, TimeoutError) as error:
        log.warning("aborting a response under way: %s", error or "the client does not read")
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("response aborted") from error
    finally:
        outlet.close()
    return response


async def _write(outlet: Outlet, chunk: Piece, idle_seconds: float) -> None:
    async with asyncio.timeout(idle_seconds):
        await outlet.write(chunk)
