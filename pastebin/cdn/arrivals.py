"""The last step of a body on its way to the disk tier: its name, given only to what no purge has overtaken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pastebin.cdn.disk import Disk
from pastebin.cdn.objects import DiskBody, Stored
from pastebin.cdn.records import with_trailer
from pastebin.cdn.spool import Part
from pastebin.cdn.writer import Draft


class Arrivals:
    """Responses between the look at the purge clock and their visibility.

    A purge has to look among them too: it turns away whom it hits, in the line of chores behind their names, so that
    a crash cannot bring them back.
    """

    def __init__(self, is_overtaken: Callable[[Stored], bool], unkept: Callable[[str], None]) -> None:
        self._is_overtaken = is_overtaken
        self._unkept = unkept
        self._arriving: set[Stored] = set()

    def __iter__(self) -> Iterator[Stored]:
        return iter(self._arriving)

    async def arrive(self, disk: Disk, draft: Draft, part: Part) -> Stored | None:
        """Finish the file and give it its name; None, and it has none, if the response is not to be kept."""
        body = DiskBody(part.path.removesuffix(".part") + ".object", part.size, part.checksums, 0)
        stored, trailer = with_trailer(draft.stored(body), body)
        if await disk.submit(partial(part.finish, trailer)) is not None:
            self._unkept("disk")
            return None
        if self._is_overtaken(stored):
            self._unkept("overtaken")
            return None
        self._arriving.add(stored)
        is_named = False
        try:
            await disk.chores.publish(part.path, body.path)
            is_named = stored.alive and not self._is_overtaken(stored)
            if not is_named:
                self._unkept("overtaken")
        except OSError as error:
            disk.note_error(error)
            self._unkept("disk")
        finally:
            self._arriving.discard(stored)
            if not is_named:
                disk.chores.remove((body.path,))
        return stored if is_named else None
