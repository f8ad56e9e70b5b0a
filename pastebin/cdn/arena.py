"""Memory from which the kernel sends without a copy: a file that has no name and no disk, cut into places.

A place is given back with its pages, not written over: a socket may still have some of them to send.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections import deque


class Arena:
    """At most `places` of `place_bytes`; those that hold nothing take no memory."""

    def __init__(self, places: int, place_bytes: int) -> None:
        self._place_bytes = place_bytes
        self._free: deque[int] = deque()
        try:
            self._descriptor = os.memfd_create("edge-hot", os.MFD_CLOEXEC)
            weakref.finalize(self, os.close, self._descriptor)  # extents may outlive whoever closes the cache
            os.ftruncate(self._descriptor, places * place_bytes)
            self._map = mmap.mmap(self._descriptor, places * place_bytes)
        except OSError:  # then everything stays what it is
            return
        self._free.extend(range(0, places * place_bytes, place_bytes))

    def hold(self, data: bytes) -> Held | bytes:
        """The same bytes in a place of their own; `data` itself if there is none left. Any thread may call."""
        try:
            start = self._free.popleft()
        except IndexError:
            return data
        held = Held(self, self._descriptor, start, start + len(data))
        try:
            written = os.pwrite(self._descriptor, data, start)
        except OSError:
            return data
        return held if written == len(data) else data

    def give_back(self, start: int) -> None:
        """Nobody has this place any more. Any thread may call."""
        self._map.madvise(mmap.MADV_REMOVE, start, self._place_bytes)
        self._free.append(start)


class Held:
    """What lies in a place, or a part of it. The place is free when no such object is left.

    That is for the interpreter to say: a thread whose result nobody waits for any more has nobody to tell.
    """

    __slots__ = ("_arena", "_whole", "descriptor", "start", "stop")

    def __init__(self, arena: Arena, descriptor: int, start: int, stop: int, whole: Held | None = None) -> None:
        self._arena = arena
        self._whole = whole
        self.descriptor = descriptor
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __bytes__(self) -> bytes:
        return os.pread(self.descriptor, len(self), self.start)

    def __del__(self) -> None:
        if self._whole is None:
            self._arena.give_back(self.start)

    def part(self, start: int, stop: int) -> Held:
        """Those of its bytes."""
        return Held(self._arena, self.descriptor, self.start + start, self.start + stop, self)
