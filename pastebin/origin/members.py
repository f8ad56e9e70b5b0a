"""One file out of a tar archive, found by where its bytes begin, as raw as the archive itself."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from pastebin.errors import PasteNotFound
from pastebin.http import representations, streaming
from pastebin.http.compression import PLAIN
from pastebin.models import File
from pastebin.origin import tokens
from pastebin.origin.raw import caching_of, choose, headers_of
from pastebin.services import media
from pastebin.services.reading import Reading
from pastebin.services.renderings import tarballs
from pastebin.services.renderings.tarballs import BLOCK

_HEAD_BYTES = 64 * 1024


class MemberHandlers:
    """GET and HEAD of `/{slug}/raw/{name}/{at}`; a paste with one file may call it `-`."""

    def __init__(self, reading: Reading, idle_seconds: float) -> None:
        self._reading = reading
        self._idle_seconds = idle_seconds

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{slug}/raw/{name:[^/]+}/{at:[0-9]{1,15}}", self.show)]

    async def show(self, request: web.Request) -> web.StreamResponse:
        name: str | None = request.match_info["name"]
        at = int(request.match_info["at"])
        token = tokens.presented(request)
        paste = await self._reading.open(request.match_info["slug"], token, bodies="sole", body_of=name)
        archive = choose(paste, None if name == "-" and len(paste.files) == 1 else name)
        file = await self._member(archive, at)
        headers = {
            **headers_of(file, download="download" in request.query),
            **caching_of(request, paste),
        }
        etag = f'"{archive.sha256.hex()}-m{at}"'
        headers |= representations.described(PLAIN, etag, paste.revised_at, ())
        if (known := representations.unchanged(request, headers, paste.revised_at)) is not None:
            return known
        response = web.StreamResponse(headers=headers)
        response.content_length = file.size
        chunks = self._reading.stream(archive, at, file.size)
        return await streaming.send(request, response, chunks, self._idle_seconds)

    async def _member(self, archive: File, at: int) -> File:
        """What the header before `at` tells. Raises PasteNotFound where there is none.

        What looks like a header in the middle of a file counts as one: its bytes are the same person's.
        """
        if archive.is_text or at < BLOCK or at % BLOCK or at > archive.size:
            raise PasteNotFound
        header = await self._part(archive, at - BLOCK, BLOCK)
        size = tarballs.file_size(header)
        if size is None or at + size > archive.size:
            raise PasteNotFound
        head = await self._part(archive, at, min(size, _HEAD_BYTES))
        kind = media.media_type(head, complete=size <= _HEAD_BYTES)
        name = tarballs.name_of(header).rpartition("/")[2]
        return replace(archive, name=name, media_type=kind, syntax=None, size=size)

    async def _part(self, file: File, start: int, length: int) -> bytes:
        return b"".join([chunk async for chunk in self._reading.stream(file, start, length)])
