"""How much there may be of what: memory and disk, each with queues of its own."""

from __future__ import annotations

from pastebin.cdn.admission import Admission
from pastebin.cdn.figures import Figures
from pastebin.cdn.hot import HotChunks
from pastebin.cdn.objects import Stored
from pastebin.sections import EdgeSection

_INDEX_SHARE = 4  # what is known of bodies on disk takes a quarter of the memory at most
_WRITERS_SHARE = 4  # so do writers
_HOT_SHARE = 4  # and what is read often of bodies on disk
_PARTS_SHARE = 2  # what is being written takes half of the disk at most


class Tiers:
    """The two bounds. What is in memory of bodies on disk is taken off what there is for bodies in memory.

    Methods that take something in name who must go for it: those are counted no more, and are the caller's to remove.
    """

    def __init__(self, section: EdgeSection, figures: Figures) -> None:
        self._memory_bytes = section.memory_bytes  # all there is
        self._memory: Admission[Stored] = Admission(section.memory_bytes)
        self._disk: Admission[Stored] = Admission(section.disk_bytes, section.memory_bytes // _INDEX_SHARE)
        self.hot = HotChunks(section.memory_bytes // _HOT_SHARE)
        figures.watch_tier("memory", self._memory.__len__, lambda: self.memory_bytes)
        figures.watch_tier("disk", self._disk.__len__, lambda: self.disk_bytes)

    @property
    def memory_bytes(self) -> int:
        """What is in memory of either tier, or set aside there."""
        return self._memory.used + self._memory.reserved + self._disk_memory

    @property
    def largest_on_disk(self) -> int:
        """Bytes of the largest body that there is room for, if nothing else is being written."""
        return self._disk.capacity // _PARTS_SHARE

    @property
    def disk_bytes(self) -> int:
        """What is on disk or set aside there."""
        return self._disk.used + self._disk.reserved

    def admit(self, stored: Stored, old: Stored | None, *, is_known: bool = False) -> list[Stored] | None:
        """Count `stored`, and `old`, whose place it takes, no more; None, and nothing changed, if there is no room.

        It takes over what `old` has earned; `is_known` means that it has earned something itself.
        """
        tier, former = self._of(stored), None if old is None else self._of(old)
        if old is not None and former is tier:
            victims = tier.replace(old, stored)
        else:
            was_main = old is not None and former is not None and former.holds_in_main(old)
            victims = tier.admit(stored, is_known=is_known or was_main)
            if victims is not None and old is not None and former is not None:
                former.remove(old)
        if victims is None:
            return None
        return victims + self.balance()

    def remove(self, stored: Stored, *, remember: bool = False) -> None:
        """Count it no more; with `remember` it comes back to where it was."""
        self._of(stored).remove(stored, remember=remember)
        self._relax()

    def charge(self, stored: Stored, extra: int) -> list[Stored]:
        """Count more bytes of memory for it."""
        victims = self._of(stored).charge(stored, 0 if stored.on_disk else extra, extra)
        return victims + self.balance()

    def clear(self) -> None:
        """Count nothing any more but what is set aside."""
        self._memory.clear()
        self._disk.clear()
        self.hot.clear()
        self._relax()

    def balance(self) -> list[Stored]:
        """Leave to bodies in memory what is not needed for those on disk."""
        return self._memory.resize(self._memory_bytes - self._disk_memory)

    def reserve_memory(self, size: int) -> list[Stored] | None:
        """Set memory aside for a writer; None if writers have as much as they may."""
        return self._memory.reserve(size, self._memory_bytes // _WRITERS_SHARE)

    def release_memory(self, size: int) -> None:
        """Give back what was set aside."""
        self._memory.release(size)

    def reserve_disk(self, size: int) -> list[Stored] | None:
        """Set room on disk aside for a writer; None if writers have as much as they may."""
        return self._disk.reserve(size, self.largest_on_disk)

    def release_disk(self, size: int) -> None:
        """Give back what was set aside, or expected."""
        self._disk.release(size)

    def expect(self, size: int) -> None:
        """Count files on disk of which nothing is known yet."""
        self._disk.reserved += size

    @property
    def _disk_memory(self) -> int:
        return self._disk.footprint + self.hot.used

    def _relax(self) -> None:
        """Give room back to bodies in memory; nobody has to go for that."""
        self._memory.capacity = max(self._memory.capacity, self._memory_bytes - self._disk_memory)

    def _of(self, stored: Stored) -> Admission[Stored]:
        return self._disk if stored.on_disk else self._memory
