"""What `put` sends: regular files, which can be read again, and streams, which cannot."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from functools import partial
from pathlib import PurePath
from typing import Protocol

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from pastebin.cli.failures import LocalFileError, UsageError, as_local_error
from pastebin.cli.messages import tell
from pastebin.cli.progress import Progress

CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 1024 * 1024
STALL_SECONDS = 60.0


class Source(Protocol):
    """Bytes to send. `size` is None where it is not known before the end."""

    name: str | None
    size: int | None

    @property
    def is_replayable(self) -> bool:
        """Whether `chunks` can give everything once more."""

    async def prepare(self) -> None:
        """Find out what can be found out before a connection is opened."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, from the first. Raises LocalFileError."""


class RegularFile:
    """A file of known size, read anew each time. What is appended to it meanwhile is not sent."""

    is_replayable = True

    def __init__(self, label: str, name: str | None, size: int, opener: Callable[[], int], start: int = 0) -> None:
        self.name = name
        self.size: int | None = size
        self._label = label
        self._opener = opener
        self._span = (start, start + size)

    async def prepare(self) -> None:
        pass

    async def chunks(self) -> AsyncIterator[bytes]:
        offset, end = self._span
        with as_local_error(self._label):
            descriptor = self._opener()
        try:
            while offset < end:
                with as_local_error(self._label):
                    chunk = os.pread(descriptor, min(CHUNK_BYTES, end - offset), offset)
                if not chunk:
                    raise LocalFileError(f"{self._label}: became shorter while it was read")
                offset += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)


class Stream:
    """Standard input, a pipe or a device. The first HEAD_BYTES are read before a connection is opened, and kept.

    So the output of a slow command travels in one go, with a known size, unless it is long; and a busy server
    can be asked again as long as nothing beyond the head was read.
    """

    def __init__(self, label: str, descriptor: int) -> None:
        self.name: str | None = None
        self.size: int | None = None
        self._label = label
        self._descriptor = descriptor
        self._head: list[bytes] = []
        self._is_past_head = False

    @property
    def is_replayable(self) -> bool:
        return not self._is_past_head

    async def prepare(self) -> None:
        length = 0
        while length < HEAD_BYTES:
            chunk = await self._read()
            if not chunk:
                self.size = length
                return
            self._head.append(chunk)
            length += len(chunk)

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._head:
            yield chunk
        if self.size is not None:
            return
        self._is_past_head = True
        self._head.clear()
        while chunk := await self._read():
            yield chunk

    async def _read(self) -> bytes:
        while True:
            await _readable(self._descriptor)
            with as_local_error(self._label):
                try:
                    return os.read(self._descriptor, CHUNK_BYTES)
                except BlockingIOError:  # somebody else has read what was there
                    continue


class Body(Payload):
    """A source as the body, or a part of the body, of a request."""

    def __init__(self, source: Source, progress: Progress) -> None:
        super().__init__(source, content_type="application/octet-stream")
        self._size = source.size
        self._source = source
        self._progress = progress

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a source is read once, in chunks")

    async def write(self, writer: AbstractStreamWriter) -> None:
        async with aclosing(self._source.chunks()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                async with asyncio.timeout(STALL_SECONDS):
                    await writer.write(chunk)
                self._progress.add(len(chunk))

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


@contextmanager
def opened(paths: Sequence[str]) -> Iterator[list[Source]]:
    """A source for each path; `-` is standard input. Raises LocalFileError, UsageError."""
    if paths.count("-") > 1:
        raise UsageError("standard input (-) can be given once only")
    with ExitStack() as stack:
        sources = [_open_standard_input() if path == "-" else _open(path, stack) for path in paths]
        if len(sources) > 1:  # a single file may go without a name, several have to be told apart
            for source, name in zip(sources, distinct_names(paths), strict=True):
                source.name = name
        yield sources


def _open(path: str, stack: ExitStack) -> Source:
    with as_local_error(path):
        descriptor = os.open(path, os.O_RDONLY)
        status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        os.close(descriptor)
        return RegularFile(path, plain_name(path), status.st_size, partial(os.open, path, os.O_RDONLY))
    stack.callback(os.close, descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise LocalFileError(f"{path}: is a directory")
    source = Stream(path, descriptor)
    if stat.S_ISREG(status.st_mode):  # files in /proc have content, but no size
        source.name = plain_name(path)
    return source


def _open_standard_input() -> Source:
    if sys.stdin is None:
        raise LocalFileError("standard input is closed")
    descriptor = sys.stdin.fileno()
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        if status.st_size > start:
            return RegularFile("standard input", None, status.st_size - start, partial(os.dup, descriptor), start)
    elif os.isatty(descriptor):
        tell("reading from the terminal; end with Ctrl-D")
    return Stream("standard input", descriptor)


def distinct_names(paths: Sequence[str]) -> list[str]:
    """A name for each path: its last part, or as many of the last parts as tell it from the others.

    Only the same path given twice has the same name twice.
    """
    parts = [("stdin",) if path == "-" else PurePath(path).parts for path in paths]
    depths = [1] * len(parts)
    while True:
        names = [_joined(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        counts = Counter(names)
        extended = [
            depth + 1 if counts[name] > 1 and depth < len(part) else depth
            for name, part, depth in zip(names, parts, depths, strict=True)
        ]
        if extended == depths:
            return names
        depths = extended


def _joined(parts: Sequence[str]) -> str:
    return "/".join(plain_name(part) for part in parts if part != "/")


def plain_name(path: str) -> str:
    """The last part of a path as text that fits a header: printable, whatever bytes the name consists of."""
    name = os.fsencode(PurePath(path).name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "_" for letter in name)


async def _readable(descriptor: int) -> None:
    """Wait until a read would not block, so that Ctrl-C is heard meanwhile."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    try:
        loop.add_reader(descriptor, wake)
    except PermissionError:  # files and /dev/null never block, and cannot be waited for
        return
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
