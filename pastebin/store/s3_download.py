"""Reading a blob from an object store: in ranges, and on from where it broke."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator
from typing import Any

from pastebin.errors import BlobMissing, RangeUnsatisfiable, Unavailable
from pastebin.store.blobs import CHUNK_BYTES
from pastebin.store.s3_bucket import Answer, Bucket
from pastebin.store.s3_failures import BACKOFF, FAILURES, TRIES, told

log = logging.getLogger(__name__)

# RFC 9110, 14.4
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def span(answer: Answer) -> tuple[int, int, int]:
    """First byte, the one after the last, and the size of the whole blob. Raises BlobMissing where it does not say."""
    if stated := answer.get("ContentRange"):
        if not (match := _CONTENT_RANGE.fullmatch(stated)):
            raise BlobMissing
        first, last, size = map(int, match.groups())
        return first, last + 1, size
    size = int(answer["ContentLength"])
    return 0, size, size


class Download:
    """The bytes of a blob from `start`, at most `length`. `length` is a promise: less is BlobMissing."""

    def __init__(self, bucket: Bucket, key: str, start: int, length: int | None) -> None:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length cannot be negative")
        self._bucket = bucket
        self._key = key
        self._offset = start
        self._end = None if length is None else start + length
        self._failures = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See `Blobs.read`. A connection that breaks is replaced; `TRIES` in a row without a byte are enough."""
        body = await self._open()
        try:
            while self._offset != self._end:
                try:
                    chunk: bytes = await body.read(min(CHUNK_BYTES, (self._end or 0) - self._offset))
                    if not chunk:
                        raise ConnectionResetError("the answer ended early")
                except FAILURES as error:
                    body.close()
                    await self._pause(error)
                    body = await self._open()
                    continue
                self._failures = 0
                self._offset += len(chunk)
                yield chunk
        finally:
            if body is not None:
                body.close()

    async def _pause(self, error: BaseException) -> None:
        self._failures += 1
        about = {"key": self._key}
        if self._failures >= TRIES or not self._bucket.patience.may_retry():
            log.warning("blobs: cannot read on at byte %d: %s", self._offset, told(error), extra=about)
            raise Unavailable from error
        log.info("blobs: reading on at byte %d after: %s", self._offset, told(error), extra=about)
        await asyncio.sleep(BACKOFF.pause_seconds(self._failures))

    async def _open(self) -> Any:
        """The stream from the offset on; None where there is nothing to read."""
        if self._end == self._offset:
            await self._look()
            return None
        wanted: Answer = {}
        if self._offset or self._end is not None:
            wanted["Range"] = f"bytes={self._offset}-{'' if self._end is None else self._end - 1}"
        try:
            answer = await self._bucket.ask("get_object", self._key, **wanted)
        except RangeUnsatisfiable:
            await self._look()
            return None
        body = answer["Body"]
        try:
            self._check(answer)
        except BlobMissing:
            body.close()
            raise
        return body

    def _check(self, answer: Answer) -> None:
        first, after, size = span(answer)
        if self._end is None:
            self._end = size
        if first != self._offset or after < self._end:
            raise BlobMissing(f"The content has {size} bytes, not those that were promised.")

    async def _look(self) -> None:
        """See that the blob is there and long enough for a reading of nothing at the offset."""
        answer = await self._bucket.ask("head_object", self._key)
        if self._offset > int(answer["ContentLength"]) or (self._end or self._offset) > int(answer["ContentLength"]):
            raise BlobMissing
        self._end = self._offset
