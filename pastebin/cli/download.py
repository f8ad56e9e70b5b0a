"""One file from the server into a sink: whole and verified, however often the connection breaks."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass

import aiohttp

from pastebin.cli.failures import AnswerLost, Unreachable
from pastebin.cli.messages import tell
from pastebin.cli.progress import Progress
from pastebin.cli.session import Request, Session
from pastebin.cli.sinks import Sink

RESUMES_WITHOUT_PROGRESS = 5
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/(?:[0-9]+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What to fetch. `sha256` is what the metadata promise, where they do; `lines` selects a few lines."""

    path: str
    sha256: str | None = None
    lines: str | None = None
    token: str | None = None


class Download:
    """The state of one transfer between connections. The digest is of exactly what the sink holds."""

    def __init__(self, session: Session, part: Part, sink: Sink, progress: Progress) -> None:
        self._session = session
        self._part = part
        self._sink = sink
        self._progress = progress
        self._digest = hashlib.sha256()
        self._etag: str | None = None

    async def run(self) -> None:
        """Fetch everything, verify it and complete the sink.

        Raises Refused, Unreachable, LocalFileError, BrokenPipeError; then the sink is not completed.
        """
        failures = 0
        while True:
            before = self._sink.position
            try:
                await self._connect_once()
                break
            except AnswerLost as error:
                failures = 1 if self._sink.position > before else failures + 1
                if failures > RESUMES_WITHOUT_PROGRESS:
                    raise
                tell(f"{error.detail}; going on after {self._sink.position} bytes")
            await asyncio.sleep(min(_FIRST_WAIT_SECONDS * 2**failures, _LONGEST_WAIT_SECONDS))
        self._verify()
        self._sink.complete()

    async def _connect_once(self) -> None:
        headers = {}
        if self._sink.position and self._etag and not self._part.lines:
            headers = {"Range": f"bytes={self._sink.position}-", "If-Range": self._etag}
        request = Request(
            method="GET",
            path=self._part.path,
            params={"lines": self._part.lines} if self._part.lines else {},
            headers=headers,
            token=self._part.token,
        )
        async with self._session.exchange(request) as response:
            skipped = self._align(response)
            async for chunk in response.content.iter_any():
                taken = chunk[skipped:]
                skipped = max(skipped - len(chunk), 0)
                self._digest.update(taken)
                self._sink.write(taken)
                self._progress.add(len(taken))
            if skipped:
                raise Unreachable("the paste became shorter while it was downloaded")

    def _align(self, response: aiohttp.ClientResponse) -> int:
        """Bring answer and sink to one position; returns how many bytes of the answer the sink has already."""
        etag = strong_etag(response.headers.get("ETag"))
        position = self._sink.position
        is_same = etag is not None and etag == self._etag
        if response.status == 206:
            if not is_same or range_start(response.headers.get("Content-Range")) != position:
                raise Unreachable("the server answered with another part of the paste than was asked for")
            return 0
        if position and is_same:
            return position
        if not self._sink.restart():
            raise Unreachable("the paste changed while it was downloaded, and what was written cannot be taken back")
        self._progress.restart()
        self._digest = hashlib.sha256()
        self._etag = etag
        return 0

    def _verify(self) -> None:
        if self._part.lines:
            return
        expected = expected_digest(self._etag, self._part.sha256)
        if expected is not None and expected != self._digest.hexdigest():
            raise Unreachable("the content arrived damaged: its SHA-256 is not what the server says")


async def stream(response: aiohttp.ClientResponse, sink: Sink, progress: Progress) -> None:
    """The body of an answer that cannot be asked for again. An ETag that is a SHA-256 is verified."""
    digest = hashlib.sha256()
    async for chunk in response.content.iter_any():
        digest.update(chunk)
        sink.write(chunk)
        progress.add(len(chunk))
    expected = expected_digest(strong_etag(response.headers.get("ETag")), None)
    if expected is not None and expected != digest.hexdigest():
        raise AnswerLost("the content arrived damaged: its SHA-256 is not what the server says")
    sink.complete()


def strong_etag(header: str | None) -> str | None:
    """The entity tag with its quotes, if it is a strong one: only those name exact bytes.

    RFC 9110, section 8.8.3.
    """
    if header is None or not (len(header) > 2 and header.startswith('"') and header.endswith('"')):
        return None
    return header


def expected_digest(etag: str | None, sha256: str | None) -> str | None:
    """The SHA-256 the content must have. The ETag comes with the content, so it wins over older metadata."""
    for candidate in ((etag or "").strip('"').lower(), (sha256 or "").lower()):
        if _SHA256.fullmatch(candidate):
            return candidate
    return None


def range_start(header: str | None) -> int | None:
    """The first position of a Content-Range (RFC 9110, section 14.4), or None."""
    match = _CONTENT_RANGE.fullmatch(header or "")
    return int(match[1]) if match else None
