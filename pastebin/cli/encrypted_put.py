"""`pastebin put --encrypt`: what is to be sent is read and encrypted first, so that the server never sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import orjson

from pastebin.cli.encrypted_cipher import MOST_BYTES, close
from pastebin.cli.encrypted_message import TOO_LARGE, Message, PlainFile, pack
from pastebin.cli.failures import UsageError
from pastebin.cli.sources import CHUNK_BYTES, Source

# What the server must not know is inside.
_INSIDE = frozenset({"title", "name", "syntax"})


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What is sent instead; `password` proves to the server that a reader has the key, where a reading is at stake."""

    source: Source
    options: Mapping[str, str]
    fragment: str = field(repr=False)
    password: str | None = field(repr=False)


class InMemory:
    """Encrypted bytes."""

    name: str | None = None
    is_replayable = True

    def __init__(self, content: bytes) -> None:
        self.size: int | None = len(content)
        self._content = content

    async def prepare(self) -> None:
        pass

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), CHUNK_BYTES):
            yield self._content[start : start + CHUNK_BYTES]


async def wrap(sources: Sequence[Source], options: Mapping[str, str], password: str | None) -> Wrapped:
    """Raises UsageError, LocalFileError."""
    files: list[PlainFile] = []
    left = MOST_BYTES
    for source in sources:
        content = await _read(source, left)
        left -= len(content)
        files.append(PlainFile(source.name or "", content))
    if len(files) == 1:
        files = [PlainFile(options.get("name", ""), files[0].content)]
    if not any(file.content for file in files):
        raise UsageError("there is nothing to encrypt")
    is_limited = "max_reads" in options or "burn" in options
    closed = await asyncio.to_thread(
        lambda: close(
            pack(Message(files, options.get("title", ""))),
            password,
            formatter=_formatter(options.get("syntax", "")),
            burns="burn" in options or options.get("max_reads") == "1",
        )
    )
    parameters = closed.sealing.parameters() | ({"verifier": True} if is_limited else {})
    return Wrapped(
        source=InMemory(closed.ciphertext),
        options={
            **{name: value for name, value in options.items() if name not in _INSIDE},
            "encryption": orjson.dumps(parameters).decode(),
        },
        fragment=f"#{'-' if is_limited else ''}{closed.key}",
        password=closed.verifier if is_limited else None,
    )


def _formatter(syntax: str) -> str:
    if syntax == "markdown":
        return "markdown"
    return "plaintext" if syntax in ("", "text") else "syntaxhighlighting"


async def _read(source: Source, most: int) -> bytes:
    await source.prepare()
    content = bytearray()
    async with aclosing(source.chunks()) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            content += chunk
            if len(content) > most:
                raise UsageError(TOO_LARGE)
    return bytes(content)
