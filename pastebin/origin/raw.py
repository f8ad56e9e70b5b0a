"""The bytes of a file: the one function that serves user content, so that its headers cannot be forgotten anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from pastebin.errors import InvalidPaste, PasteNotFound, PreconditionFailed, Problem, RangeUnsatisfiable
from pastebin.http import disposition, ranges, streaming
from pastebin.http.conditions import Conditions, evaluate, range_applies
from pastebin.http.lines import LineWindow, parse_lines
from pastebin.models import File, Paste
from pastebin.services.reading import Reading

# Browsers show these; everything else textual is text/plain, the rest is a download.
_INLINE_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


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
    elif file.media_type in _INLINE_IMAGES:
        headers["Content-Type"] = file.media_type
    else:
        headers["Content-Type"] = "application/octet-stream"
        download = True
    make = disposition.attachment if download else disposition.inline
    headers["Content-Disposition"] = make(file.name, fallback)
    return headers


class RawAnswers:
    """Answers GET and HEAD for a file with conditions, ranges and line windows (RFC 9110, sections 13 and 14)."""

    def __init__(self, reading: Reading, idle_seconds: float) -> None:
        self._reading = reading
        self._idle_seconds = idle_seconds

    async def answer(
        self, request: web.Request, paste: Paste, file: File, *, vary: str | None = None
    ) -> web.StreamResponse:
        """`vary` names the request header that decided that the bytes are asked for, and not the page."""
        headers = headers_of(file, download="download" in request.query)
        if vary:
            headers["Vary"] = vary
        headers["Cache-Control"] = "private, no-store" if paste.visibility == "private" else "no-cache"
        headers["Last-Modified"] = paste.revised_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
        window = _window(request, file)
        etag = f'"{file.sha256.hex()}{window[1] if window else ""}"'
        headers["ETag"] = etag
        outcome = evaluate(Conditions.of(request.headers), etag=etag, modified=paste.revised_at)
        if outcome == "not-modified":
            return web.Response(status=304, headers=_of_304(headers))
        if outcome == "failed":
            raise PreconditionFailed
        if window:
            return await self._send_lines(request, file, window[0], headers)
        headers["Accept-Ranges"] = "bytes"
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

    async def _send_lines(
        self, request: web.Request, file: File, window: LineWindow, headers: dict[str, str]
    ) -> web.StreamResponse:
        """HEAD for a stored object leaves out the framing of the GET (RFC 9110, 9.3.2): it would take reading it."""
        if file.body is not None:
            return web.Response(body=window.feed(file.body), headers=headers)
        return await streaming.send(
            request,
            web.StreamResponse(headers=headers),
            _cut(self._reading.stream(file), window),
            self._idle_seconds,
        )


def _window(request: web.Request, file: File) -> tuple[LineWindow, str] | None:
    asked = request.query.get("lines")
    if asked is None:
        return None
    if not file.is_text:
        raise InvalidPaste([Problem("lines", "is for text; this file is not")])
    try:
        first, last = parse_lines(asked)
    except ValueError as error:
        raise InvalidPaste([Problem("lines", str(error))]) from None
    return LineWindow(first, last), f"-L{first}-{last or ''}"


def _of_304(headers: dict[str, str]) -> dict[str, str]:
    """RFC 9110, 15.4.5: what a 304 carries of the headers of the 200."""
    return {name: headers[name] for name in ("ETag", "Cache-Control", "Last-Modified", "Vary") if name in headers}


async def _cut(chunks: AsyncIterator[bytes], window: LineWindow) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        kept = window.feed(chunk)
        if kept:
            yield kept
        if window.done:
            return
