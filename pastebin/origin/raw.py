"""The bytes of a file: the one function that serves user content, so that its headers cannot be forgotten anywhere."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator

from aiohttp import hdrs, web

from pastebin.errors import InvalidPaste, PasteNotFound, Problem, RangeUnsatisfiable
from pastebin.http import caching, disposition, ranges, representations, streaming
from pastebin.http.addresses import raw_path
from pastebin.http.compression import PLAIN
from pastebin.http.conditions import range_applies
from pastebin.http.lines import parse_lines
from pastebin.http.representations import Representations
from pastebin.models import File, Paste
from pastebin.origin import tokens
from pastebin.services import media
from pastebin.services.lines import Lines
from pastebin.services.lines_window import LineWindow
from pastebin.services.reading import Reading
from pastebin.services.renderings.escapes import Stripper

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
# A player is a document that loads what it plays. Chromium's viewer takes no document that may run no script; one that
# may has no origin here and no network. A page of ours may frame it.
_PLAYED = "default-src 'none'; media-src 'self'; sandbox; frame-ancestors 'none'"
_VIEWED = "default-src 'none'; object-src 'self'; sandbox allow-scripts; frame-ancestors 'self'"


def choose(paste: Paste, name: str | None) -> File:
    """The file called `name`, or the only one. Raises PasteNotFound."""
    for file in paste.files:
        if file.name == name or (name is None and len(paste.files) == 1):
            return file
    raise PasteNotFound


def headers_of(file: File, *, download: bool) -> dict[str, str]:
    """Type, disposition and the security headers of a file's bytes."""
    headers = dict(SECURITY_HEADERS)
    fallback = "paste.txt" if file.is_text else "paste.bin"
    if file.is_text:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    elif file.media_type in media.SHOWN:
        headers["Content-Type"] = file.media_type
        if file.media_type == media.PDF:
            headers["Content-Security-Policy"] = _VIEWED
        elif not file.media_type.startswith("image/"):
            headers["Content-Security-Policy"] = _PLAYED
    else:
        headers["Content-Type"] = "application/octet-stream"
        download = True
    make = disposition.attachment if download else disposition.inline
    headers["Content-Disposition"] = make(file.name, fallback)
    return headers


class RawAnswers:
    """Answers GET and HEAD for a file with conditions, ranges and line windows (RFC 9110, sections 13 and 14)."""

    def __init__(self, reading: Reading, lines: Lines, made: Representations, idle_seconds: float) -> None:
        self._reading = reading
        self._lines = lines
        self._representations = made
        self._idle_seconds = idle_seconds

    async def answer(
        self, request: web.Request, paste: Paste, file: File, *, vary: tuple[str, ...] = ()
    ) -> web.StreamResponse:
        """`vary` names the request headers that decided that the bytes are asked for, and not the page."""
        headers = {**headers_of(file, download="download" in request.query), **caching_of(request, paste)}
        window, suffix = _window(request, file)
        stripper = Stripper() if file.is_text and request.query.get("ansi") == "strip" else None
        is_cut = window is not None or stripper is not None
        etag = f'"{file.sha256.hex()}{suffix}{"-plain" if stripper else ""}"'
        if not is_cut:
            headers[hdrs.ACCEPT_RANGES] = "bytes"
        if file.body is not None and (is_cut or hdrs.RANGE not in request.headers):
            body = LineWindow(*window).feed(file.body) if window else file.body
            body = stripper.feed(body) + stripper.end() if stripper else body
            return await self._representations.answer(
                request, body, headers, etag=etag, modified=paste.revised_at, vary=vary
            )
        variant = PLAIN if file.body is None else self._representations.variant(request, headers, file.size)
        headers |= representations.described(variant, etag, paste.revised_at, vary)
        if (known := representations.unchanged(request, headers, paste.revised_at)) is not None:
            return known
        if is_cut:
            chunks = self._lines.chunks(file, *window) if window else self._reading.stream(file)
            chunks = _stripped(chunks, stripper) if stripper else chunks
            return await streaming.send(request, web.StreamResponse(headers=headers), chunks, self._idle_seconds)
        return await self._send_part(request, file, etag, headers)

    async def answer_list(
        self, request: web.Request, paste: Paste, base: str, *, vary: tuple[str, ...] = ()
    ) -> web.StreamResponse:
        """What a plain client gets for a paste with several files: where each of them is."""
        body = "".join(f"{base}{raw_path(paste, file)}\n" for file in paste.files).encode()
        headers = {
            **SECURITY_HEADERS,
            hdrs.CONTENT_TYPE: "text/plain; charset=utf-8",
            **caching_of(request, paste),
        }
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        return await self._representations.answer(request, body, headers, etag=etag, vary=vary)

    async def _send_part(
        self, request: web.Request, file: File, etag: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        """As much of the plain bytes as the request asks for. HEAD has no ranges (RFC 9110, 14.2)."""
        wanted = ranges.parse_range(request.headers.get("Range"), file.size) if request.method == "GET" else None
        if wanted is not None and not range_applies(request.headers.get("If-Range"), etag, None):
            wanted = None
        if isinstance(wanted, ranges.Unsatisfiable):
            raise RangeUnsatisfiable(f"The content has {file.size} bytes.", size=file.size)
        if wanted is None:
            return await self._send(request, file, 0, file.size, 200, headers)
        headers["Content-Range"] = ranges.content_range(wanted, file.size)
        return await self._send(request, file, wanted.first, wanted.length, 206, headers)

    async def _send(
        self, request: web.Request, file: File, start: int, length: int, status: int, headers: dict[str, str]
    ) -> web.StreamResponse:
        if file.body is not None:
            return web.Response(status=status, body=file.body[start : start + length], headers=headers)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = length
        return await streaming.send(request, response, self._reading.stream(file, start, length), self._idle_seconds)


def caching_of(request: web.Request, paste: Paste) -> dict[str, str]:
    """What caches may do with the bytes of a paste."""
    return caching.of_paste(paste, is_personal=tokens.brings_token(request), now=time.monotonic())


def _window(request: web.Request, file: File) -> tuple[tuple[int, int | None] | None, str]:
    """The first and the last line that the request asks for, and what they add to the entity tag."""
    asked = request.query.get("lines")
    if asked is None:
        return None, ""
    if not file.is_text:
        raise InvalidPaste([Problem("lines", "is for text; this file is not")])
    try:
        first, last = parse_lines(asked)
    except ValueError as error:
        raise InvalidPaste([Problem("lines", str(error))]) from None
    return (first, last), f"-L{first}-{last or ''}"


async def _stripped(chunks: AsyncIterator[bytes], stripper: Stripper) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if kept := stripper.feed(chunk):
            yield kept
    if kept := stripper.end():
        yield kept
