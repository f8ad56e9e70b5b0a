"""Pieces of bodies on disk that are read so often that they are kept in memory: neither a thread nor a check is needed.

What was checked once when it was read is not checked again while it stays in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pastebin.cdn.admission import Admission
from pastebin.cdn.arena import Arena, Held
from pastebin.cdn.objects import MOST_FREQUENT, DiskBody
from pastebin.cdn.spool import BLOCK_BYTES

CHUNK_BYTES = 4 * BLOCK_BYTES
_OVERHEAD = 500
_USES_TO_HOLD = 2  # most of what is read once or twice is soon gone
_BESIDE = 128  # chunks that are still being sent, and not kept


@dataclass(slots=True, eq=False)
class Chunk:
    """A whole chunk of a body; the last one of a body may be short."""

    path: str
    index: int
    data: bytes | Held
    frequency: int = 0
    ticket: int = 0
    cost: int = field(init=False)
    footprint: int = field(init=False)
    ghost: int = field(init=False)

    def __post_init__(self) -> None:
        self.cost = self.footprint = len(self.data) + _OVERHEAD
        self.ghost = hash((self.path, self.index))


class HotChunks:
    """At most `capacity` bytes of them, by S3-FIFO: a single large delivery does not turn out what others read."""

    def __init__(self, capacity: int) -> None:
        self._queues: Admission[Chunk] = Admission(capacity)
        self._chunks: dict[str, dict[int, Chunk]] = {}
        self._arena = Arena(capacity // CHUNK_BYTES + _BESIDE, CHUNK_BYTES)

    @property
    def used(self) -> int:
        """Bytes of memory."""
        return self._queues.used

    def get(self, body: DiskBody, start: int, stop: int) -> bytes | Held | None:
        """Bytes from `start` on, to `stop` or the end of the chunk; None if they are not here. Counts as a use."""
        index, offset = divmod(start, CHUNK_BYTES)
        chunk = self._chunks.get(body.path, _NONE).get(index)
        if chunk is None:
            return None
        if chunk.frequency < MOST_FREQUENT:
            chunk.frequency += 1
        end = min(len(chunk.data), stop - index * CHUNK_BYTES)
        data = chunk.data
        if isinstance(data, bytes) and chunk.frequency >= _USES_TO_HOLD and len(data) >= BLOCK_BYTES:
            data = chunk.data = self._arena.hold(data)
        if end - offset == len(data):
            return data
        return data[offset:end] if isinstance(data, bytes) else data.part(offset, end)

    def holds(self, body: DiskBody, start: int) -> bool:
        """Whether the chunk with this byte is here."""
        return start // CHUNK_BYTES in self._chunks.get(body.path, _NONE)

    def put(self, body: DiskBody, start: int, data: bytes) -> None:
        """What was read, if it is a whole chunk."""
        index, offset = divmod(start, CHUNK_BYTES)
        if offset or len(data) != min(CHUNK_BYTES, body.size - start) or self.holds(body, start):
            return
        chunk = Chunk(body.path, index, data)
        victims = self._queues.admit(chunk)
        if victims is None:
            return
        self._chunks.setdefault(body.path, {})[index] = chunk
        for victim in victims:
            self._drop(victim)

    def forget(self, body: DiskBody) -> None:
        """This body is no more."""
        for chunk in self._chunks.pop(body.path, _NONE).values():
            self._queues.remove(chunk)

    def clear(self) -> None:
        """No body is."""
        self._queues.clear()
        self._chunks.clear()

    def _drop(self, chunk: Chunk) -> None:
        siblings = self._chunks.get(chunk.path)
        if siblings is not None:
            siblings.pop(chunk.index, None)
            if not siblings:
                del self._chunks[chunk.path]


_NONE: dict[int, Chunk] = {}
