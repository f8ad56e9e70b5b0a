"""Live pastes over HTTP: written by a request that takes its time, read by answers that end with the paste.

`... | curl -T - /live` is told the address at once and goes on; `curl -N /{slug}/tail` gets the bytes as they come, and
a page the same as events (WHATWG HTML, section 9.2). What asks for the paste itself meanwhile gets what has arrived.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError

from pastebin.errors import InvalidPaste, Problem, RateLimited, UnreadableRequest
from pastebin.http import bodies, caching, counted, payloads, streaming, views
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.capacity import Capacity
from pastebin.http.negotiation import parse_accept, prefers_json
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.models import Paste, Published
from pastebin.origin import tokens
from pastebin.origin.content import query_fields
from pastebin.origin.raw import SECURITY_HEADERS, choose, headers_of
from pastebin.origin.tailing import EVENTS, events, spoken
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services.following import Following
from pastebin.services.living import Living
from pastebin.services.reading import Reading
from pastebin.store.lives import Unfinished

log = logging.getLogger(__name__)

_OFFSET = re.compile(r"[0-9]{1,15}", re.ASCII)
MOST_WRITERS, _MOST_PER_ADDRESS = 512, 64
_HEARING_SECONDS = 0.25
_PLAIN = "text/plain; charset=utf-8"


@asynccontextmanager
async def writing(resources: Resources) -> AsyncIterator[Routes]:
    """Take live pastes; the routes to write them by."""
    config = resources.config
    async with Living.running(
        resources.publishing,
        resources.blobs,
        resources.database,
        resources.notifier,
        resources.purging,
        config.live,
        config.limits.max_paste_bytes,
        resources.draining,
        resources.loops,
    ) as living:
        yield LiveWriter(living, resources.addresses, config.limits).routes()


@asynccontextmanager
async def reading(resources: Resources) -> AsyncIterator[LiveReader]:
    """Let live pastes be read."""
    config = resources.config
    following = Following.running(resources.database, resources.pastes, resources.reading, resources.draining)
    async with following as reader:
        yield LiveReader(
            reader, resources.reading, resources.pages, resources.addresses, config.doors.body_idle_seconds
        )


class LiveWriter:
    """One request is one live paste."""

    def __init__(self, living: Living, addresses: Addresses, limits: LimitsSection) -> None:
        self._living = living
        self._addresses = addresses
        self._limits = limits
        self._writers = Capacity(MOST_WRITERS, _MOST_PER_ADDRESS)

    def routes(self) -> Routes:
        return [
            web.put("/live", self.write),
            web.post("/live", self.write),
            web.put("/live/{name:[^/]*}", self.write),
        ]

    async def write(self, request: web.Request) -> web.StreamResponse:
        """Raises RateLimited."""
        address = request.remote or ""
        if not self._writers.admit(address):
            raise RateLimited("Too many live pastes are being written here, or by you; try again when one has ended.")
        try:
            return await self._write(request)
        finally:
            self._writers.release(address)

    async def _write(self, request: web.Request) -> web.StreamResponse:
        """The address at once, as a line or as JSON; the answer ends with the paste. One that ends too early says why,
        and is broken off.
        """
        base = self._addresses.base(request)
        bodies.check_length(request, self._limits)
        options = payloads.text_options(query_fields(request), None)
        if options.name is None and (name := request.match_info.get("name")):
            options = replace(options, name=name)
        published = await self._living.start(options)
        response, line = _begun(request, published, base)
        await response.prepare(request)
        await response.write(line)
        paste = published.paste
        unfinished = Unfinished(paste.id, paste.slug, paste.files[0].name, paste.files[0].syntax)
        reason = await self._living.take(unfinished, lambda: _received(request))
        if not reason:
            await response.write_eof()
            return response
        log.info("a live paste ended early: %s", reason)
        await response.write(f"{reason}\n".encode())
        await asyncio.sleep(_HEARING_SECONDS)  # clients forget what they have not read when the connection breaks
        if request.transport is not None:
            request.transport.close()  # without the end of the body, so that it is known for unfinished
        raise ConnectionResetError("a live paste ended early")


class LiveReader:
    """What readers get of a paste that is being written."""

    def __init__(
        self, following: Following, reading: Reading, pages: Pages, addresses: Addresses, idle_seconds: float
    ) -> None:
        self._following = following
        self._reading = reading
        self._pages = pages
        self._addresses = addresses
        self._idle_seconds = idle_seconds

    def routes(self) -> Routes:
        return [web.get("/{slug:[A-Za-z0-9_-]+}/tail", self.tail)]

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """The bytes from `from` on, to the end of the paste; as events for who asks for those."""
        at = _offset(request)
        paste = await self._reading.open(request.match_info["slug"], tokens.presented(request), bodies="sole")
        file = choose(paste, None)
        pieces = self._following.pieces(paste, at)
        headers = {**headers_of(file, download=False), **_unkept()}
        if _wants_events(request):
            headers |= {hdrs.CONTENT_TYPE: EVENTS, "X-Accel-Buffering": "no"}
            del headers["Content-Disposition"]
            return await self._send(request, headers, events(pieces, at))
        return await self._send(request, headers, _from_the_start(pieces))

    async def raw(self, request: web.Request, paste: Paste) -> web.StreamResponse:
        """The bytes that have arrived."""
        headers = {**SECURITY_HEADERS, **_unkept(), hdrs.CONTENT_TYPE: _PLAIN}
        return await self._send(request, headers, self._following.arrived(paste))

    async def page(self, request: web.Request, paste: Paste) -> web.Response:
        """The end of what has arrived, which a module of ours lets grow."""
        start, body = await self._following.latest(paste)
        if start:
            cut = body.find(b"\n") + 1
            start, body = start + cut, body[cut:]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = spoken(decoder.decode(body))
        text = self._pages.render(
            "live.html",
            paste=paste,
            text=text,
            is_cut=start > 0,
            at=start + len(body) - len(decoder.getstate()[0]),
            site_url=self._addresses.base(request),
        )
        headers = {**caching.of_secret(paste), hdrs.VARY: hdrs.ACCEPT, "Content-Security-Policy": SCRIPTED}
        return html_response(text, headers=headers, referrer_policy="no-referrer")

    async def _send(
        self, request: web.Request, headers: dict[str, str], chunks: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        return await streaming.send(request, web.StreamResponse(headers=headers), chunks, self._idle_seconds)


async def _from_the_start(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """An empty piece before all others: the head of the answer does not wait for what it is about."""
    try:
        yield b""
        async for piece in pieces:
            yield piece
    finally:
        await pieces.aclose()


async def _received(request: web.Request) -> bytes:
    """What has arrived. Raises UnreadableRequest where the rest will not."""
    try:
        return await request.content.readany()
    except (RequestPayloadError, ConnectionError):
        raise UnreadableRequest("The connection ended before the paste did.") from None


def _begun(request: web.Request, published: Published, base: str) -> tuple[web.StreamResponse, bytes]:
    """The head of the answer to a writer, and its first line."""
    url = f"{base}/{published.paste.slug}"
    if prefers_json(request.headers.get("Accept")):
        kind, line = "application/json", views.encode(views.created_view(published, base)) + b"\n"
    else:
        kind, line = _PLAIN, f"{url}\n".encode()
    headers = {
        **caching.secret(),
        hdrs.CONTENT_TYPE: kind,
        "X-Content-Type-Options": "nosniff",
        "Location": url,
        "Pastebin-Token": published.token,
    }
    if published.paste.expires_at is not None:
        headers["Pastebin-Expires"] = published.paste.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return web.StreamResponse(status=201, headers=headers), line


def _offset(request: web.Request) -> int:
    """The byte to begin with. Who comes back knows how far it came. Raises InvalidPaste."""
    last = request.headers.get("Last-Event-ID", "")
    given = last if _OFFSET.fullmatch(last) else request.query.get("from", "0")
    if not _OFFSET.fullmatch(given):
        raise InvalidPaste([Problem("from", "must be a number of bytes")])
    return int(given)


def _wants_events(request: web.Request) -> bool:
    return any(f"{one.type}/{one.subtype}" == EVENTS for one in parse_accept(request.headers.get(hdrs.ACCEPT)))


def _unkept() -> dict[str, str]:
    return {**caching.secret(), counted.ANALYTICS: counted.OFF, hdrs.VARY: hdrs.ACCEPT}
