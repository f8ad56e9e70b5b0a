"""What the node and a rendering worker say to each other: frames of MessagePack over the worker's pipes.

A frame is its length (4 bytes, big-endian) and a body. The worker says one empty frame when it is ready; then every Job
gets exactly one Answer.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

import msgspec

LENGTH = struct.Struct(">I")

LINE_CHARACTERS = 20_000  # longer lines are data or minified code: slow here and in every browser
HTML_CHARACTERS = 16 * 1024**2  # a page with more is of no use to anybody

# What is to be made of a file: lines of highlighted source, or one of the drawings.
What = Literal["source", "document", "table", "tree"]

# Why a worker makes nothing. `unknown`: no syntax was named and none recognized; `malformed`: the file is not what it
# is to be drawn as; `memory`: the worker ends then.
Trouble = Literal["unknown", "long-line", "markup", "lexer", "malformed", "deep", "memory"]


class CannotRender(Exception):
    """This file is to be shown in another way."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One file to show; `cpu_seconds` is what the operating system lets the worker spend on it at most."""

    content: bytes
    syntax: str | None
    cpu_seconds: float
    what: What = "source"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """`html` is None exactly if there is `trouble`. Source is its lines joined by LF, each self-contained.

    Of `total` rows or values a drawing has the first `shown`.
    """

    syntax: str | None
    html: str | None = None
    line_count: int = 0
    trouble: Trouble | None = None
    shown: int = 0
    total: int = 0


def frame(message: Job | Answer | None) -> bytes:
    body = b"" if message is None else msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


def read(stream: BinaryIO) -> bytes | None:
    """The body of the next frame; None at the end of the stream, be it within a frame. Blocks."""
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(header)
    body = stream.read(length)
    return body if len(body) == length else None
