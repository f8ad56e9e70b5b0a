"""What is in an archive that cannot be read in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from pastebin.models import File
from pastebin.services import listing
from pastebin.services.reading import Reading


class Stalled:
    """Gives the first bytes of a file, and nothing that is asked for later."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    async def stream(self, _file: File, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        head, self._head = self._head, b""
        if not head:
            await asyncio.Event().wait()
        yield head[:length]


@pytest.mark.parametrize("head", [b"PK\3\4", b"x.tx", b"\x1f\x8b\x08\0"], ids=["zip", "tar", "tar.gz"])
async def test_nobody_takes_what_is_slow_for_damaged(head: bytes) -> None:
    file = File(position=0, name="x", size=99_999, sha256=bytes(32), media_type="application/octet-stream", syntax=None)
    with pytest.raises(TimeoutError):
        await listing.members_of(cast("Reading", Stalled(head)), file, 0.0)
