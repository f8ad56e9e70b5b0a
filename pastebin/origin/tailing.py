"""A paste that grows, as events for a page (WHATWG HTML, section 9.2): text, whatever its bytes are."""

from __future__ import annotations

import codecs
import re
from collections.abc import AsyncGenerator

import orjson

from pastebin.errors import PasteNotFound, Unavailable

EVENTS = "text/event-stream"
_RETRY = b"retry: 2000\n\n"
_BEAT = b": \n\n"
_OVER = b"event: over\ndata: {}\n\n"
_GONE = b"event: gone\ndata: {}\n\n"

# Control sequences of terminals (ECMA-48, sections 5.4 and 5.6), and control characters but for tab and line feed.
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)


def spoken(text: str) -> str:
    """The text as it is shown while it comes: what moves a terminal's cursor or colours it is left out."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n")).replace("\r", "\n")


async def events(pieces: AsyncGenerator[bytes, None], at: int) -> AsyncGenerator[bytes, None]:
    """Each event has the offset behind its text for an id, so that who comes back misses nothing.

    The last one is `over`, or `gone` if the paste is; without either there is more to be had, from another node.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    try:
        yield _RETRY
        async for piece in pieces:
            at += len(piece)
            if text := decoder.decode(piece):
                yield _event(at - len(decoder.getstate()[0]), spoken(text))
            else:
                yield _BEAT
        if text := decoder.decode(b"", final=True):
            yield _event(at, spoken(text))
        yield _OVER
    except PasteNotFound:
        yield _GONE
    except Unavailable:
        return
    finally:
        await pieces.aclose()


def _event(at: int, text: str) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (at, orjson.dumps(text))
