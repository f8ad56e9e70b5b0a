"""Where one request on a connection ends and the next one begins: aiohttp's parser knows, but does not tell."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import StreamReader, hdrs
from aiohttp.http import RawRequestMessage

_END = b"\r\n\r\n"


def owed(
    before: int | None, data: bytes, messages: Sequence[tuple[object, StreamReader]], *, has_ended: bool
) -> int | None:
    """How many bytes are to come before the next request begins, after `data` that made these messages.

    `before` is what was owed before them; None: nobody knows. `has_ended` says that the last body that the parser has
    begun is complete: then a blank line ends a head, or the last of a body's chunks, and cannot be inside of a body.
    """
    if has_ended and data.endswith(_END):
        return 0
    if not data and not messages:
        return before
    if before is None:
        return None
    if before == 0:
        if len(messages) != 1 or not isinstance(message := messages[0][0], RawRequestMessage):
            return None
        end = data.find(_END)
        if end < 0 or message.chunked or message.upgrade:
            return None
        before = end + len(_END) + int(message.headers.get(hdrs.CONTENT_LENGTH, 0))
    elif messages:
        return None
    return before - len(data) if before >= len(data) else None
