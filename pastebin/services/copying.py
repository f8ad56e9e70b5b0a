"""Copying every live blob from one store to another, so that a node can move to an object store and back."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from pastebin.errors import BlobMissing, PastebinError
from pastebin.store.blobs import Blobs
from pastebin.store.leftovers import Content, Leftovers

log = logging.getLogger(__name__)

_PAGE = 500
_AT_ONCE = 4


@dataclass(slots=True)
class Copied:
    """How a copy went; `failed` are blobs that the target does not have now."""

    copied: int = 0
    present: int = 0
    failed: int = 0


class Copying:
    """Goes through the live blobs in the order of their keys. Never removes anything, and may be run again at any time.

    A blob becomes visible in the target only after its size and SHA-256 were those of the database, so what is there
    under its key with its size needs no second copy.
    """

    def __init__(self, leftovers: Leftovers, source: Blobs, target: Blobs, passed: Callable[[int], None]) -> None:
        self._leftovers = leftovers
        self._source = source
        self._target = target
        self._passed = passed
        self._result = Copied()

    async def copy(self) -> Copied:
        """Copy what the target lacks. What fails is logged and counted, the rest goes on."""
        room = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            async for content in self._lacking():
                await room.acquire()
                task = tasks.create_task(self._copy(content), name=f"copying blob {content.key}")
                task.add_done_callback(lambda _: room.release())
        return self._result

    async def _lacking(self) -> AsyncIterator[Content]:
        entries = self._target.entries()
        there = await anext(entries, None)
        after = ""
        while page := await self._leftovers.contents(after, _PAGE):
            after = page[-1].key
            for content in page:
                while there is not None and there.key < content.key:
                    there = await anext(entries, None)
                if there is not None and there.key == content.key and there.size == content.size:
                    self._result.present += 1
                    self._passed(content.size)
                else:
                    yield content

    async def _copy(self, content: Content) -> None:
        try:
            await self._transfer(content)
            self._result.copied += 1
        except PastebinError as error:
            log.warning("blob %s is not copied: %s", content.key, error)
            self._result.failed += 1

    async def _transfer(self, content: Content) -> None:
        digest = hashlib.sha256()
        size = 0
        async with self._target.writer(content.key) as writer, aclosing(_bytes_of(self._source, content.key)) as chunks:
            async for chunk in chunks:
                await asyncio.gather(asyncio.to_thread(digest.update, chunk), writer.write(chunk))
                size += len(chunk)
                self._passed(len(chunk))
            if size != content.size or digest.digest() != content.sha256:
                raise BlobMissing("its bytes are not those that were stored")
            await writer.complete()


async def _bytes_of(source: Blobs, key: str) -> AsyncGenerator[bytes, None]:
    async for chunk in source.read(key):
        yield chunk
