"""All files of a paste in one: `/{slug}.zip` and `/{slug}.tar.gz`."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import hdrs, web

from pastebin.http import caching, disposition, representations, streaming
from pastebin.http.app import Routes
from pastebin.http.compression import PLAIN
from pastebin.models import File, Paste
from pastebin.origin import tokens
from pastebin.origin.raw import SECURITY_HEADERS
from pastebin.resources import Resources
from pastebin.services.archives import Archives, Entry
from pastebin.services.reading import Reading

_MEDIA_TYPES = {"zip": "application/zip", "tar.gz": "application/gzip"}
# of a name that gets a number, so that the longest has room for it (255 bytes)
_STEM_BYTES = 180
_SUFFIX_CHARACTERS = 16


class ArchiveHandlers:
    """Streams them. What takes a button to be read is in no archive."""

    def __init__(self, reading: Reading, idle_seconds: float) -> None:
        self._reading = reading
        self._archives = Archives()
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> ArchiveHandlers:
        """With what a node has."""
        return cls(resources.reading, resources.config.doors.body_idle_seconds)

    def routes(self) -> Routes:
        """Before `/{slug}.{syntax}`. The deeper addresses are those to which an owner's browser sends its token."""
        slug = "{slug:[A-Za-z0-9_-]+}"
        kind = "{kind:zip|tar\\.gz}"
        return [web.get(f"/{slug}.{kind}", self.show), web.get(f"/{slug}/files.{kind}", self.show)]

    async def show(self, request: web.Request) -> web.StreamResponse:
        slug, kind = request.match_info["slug"], request.match_info["kind"]
        paste = await self._reading.open(slug, tokens.presented(request), bodies="all")
        paths = paths_of(paste)
        headers = {
            **SECURITY_HEADERS,
            **caching.of_paste(paste, is_personal=tokens.brings_token(request), now=time.monotonic()),
            hdrs.CONTENT_TYPE: _MEDIA_TYPES[kind],
            hdrs.CONTENT_DISPOSITION: disposition.attachment(f"{paste.title or paste.slug}.{kind}", f"paste.{kind}"),
            **representations.described(PLAIN, _etag(paste, paths), paste.revised_at, ()),
        }
        if (known := representations.unchanged(request, headers, paste.revised_at)) is not None:
            return known
        entries = [self._entry(paste, file, path) for file, path in zip(paste.files, paths, strict=True)]
        chunks = self._archives.zipped(entries) if kind == "zip" else self._archives.tarred(entries)
        return await streaming.send(request, web.StreamResponse(headers=headers), chunks, self._idle_seconds)

    def _entry(self, paste: Paste, file: File, path: str) -> Entry:
        def chunks() -> AsyncIterator[bytes]:
            return self._reading.stream(file)

        return Entry(path, file.size, paste.revised_at, chunks)


def paths_of(paste: Paste) -> list[str]:
    """Where each file stands in an archive: below the place where it is unpacked, and where no other stands.

    Names come from strangers: every part of a path is made harmless by itself, and what is equal to another one on a
    system that ignores case gets a number.
    """
    wanted = [_path(file) for file in paste.files]
    taken = {"/".join(path[:depth]).casefold() for path in wanted for depth in range(1, len(path))}
    numbers: Counter[str] = Counter()
    return [_free(path, taken, numbers) for path in wanted]


def _path(file: File) -> list[str]:
    fallback = f"file-{file.position + 1}.{'txt' if file.is_text else 'bin'}"
    parts = [part for part in (file.name or "").split("/") if part not in ("", ".", "..")]
    *above, last = parts or [fallback]
    return [*(disposition.safe_name(part, "folder") for part in above), disposition.safe_name(last, fallback)]


def _free(path: list[str], taken: set[str], numbers: Counter[str]) -> str:
    """The path, or the same with a number; `numbers` are the last ones given, so that many equals take no longer."""
    found = wanted = "/".join(path)
    *above, last = path
    stem, dot, suffix = last.rpartition(".")
    if not stem or len(suffix) > _SUFFIX_CHARACTERS:
        stem, dot, suffix = last, "", ""
    stem = stem.encode()[:_STEM_BYTES].decode(errors="ignore")
    while (key := found.casefold()) in taken:
        numbers[wanted] += 1
        found = "/".join([*above, f"{stem} ({numbers[wanted] + 1}){dot}{suffix}"])
    taken.add(key)
    return found


def _etag(paste: Paste, paths: list[str]) -> str:
    """Weak: the same files may be compressed to other bytes by another version of the library."""
    files = [(path, file.sha256) for path, file in zip(paths, paste.files, strict=True)]
    shown = (paste.id, paste.title, paste.revised_at, files)
    return f'W/"{hashlib.sha256(repr(shown).encode("utf-8", "replace")).hexdigest()[:24]}"'
