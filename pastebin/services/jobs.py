"""What the node and a highlighting worker say to each other: frames of MessagePack over the worker's pipes.

A frame is its length (4 bytes, big-endian) and a body. The worker says one empty frame when it is ready; then every Job
gets exactly one Answer.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

import msgspec

LENGTH = struct.Struct(">I")

# Why a worker does not highlight. `unknown`: no syntax was named and none recognized; `memory`: the worker ends then.
Trouble = Literal["unknown", "long-line", "markup", "lexer", "memory"]


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One file to highlight; `cpu_seconds` is what the operating system lets the worker spend on it at most."""

    content: bytes
    syntax: str | None
    cpu_seconds: float


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """`html` is the lines joined by LF, each self-contained; None exactly if there is `trouble`."""

    syntax: str | None
    html: str | None = None
    line_count: int = 0
    trouble: Trouble | None = None


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
