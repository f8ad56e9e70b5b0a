"""What a file of the disk tier says about its body: body, checksums, head, footer.

The footer is last, so that a file that was not written to its end is no record. Its digest covers checksums, head and
sizes; the checksums cover the body. All text is kept as the bytes that it was received as.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import fields, replace
from hashlib import blake2b

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn.freshness import Policy
from pastebin.cdn.objects import DiskBody, Stored
from pastebin.cdn.spool import BLOCK_BYTES, OpenFile
from pastebin.positions import Position

_MAGIC = b"pbedge\x00\x01"
_FOOTER = struct.Struct("<8sIIQ")  # magic, shape, bytes of the head, bytes of the body; then the digest
_DIGEST_BYTES = 16
_LARGEST_HEAD = 4 * 1024**2
_SUM_BYTES = 4


class Unreadable(Exception):
    """This file is no whole record of this version."""


class _Head(msgspec.Struct, array_like=True, frozen=True):
    key: bytes
    variant: list[tuple[bytes, bytes | None]]
    status: int
    headers: list[tuple[bytes, bytes]]
    policy: Policy
    responded_at: float
    tags: list[bytes]
    soft_purged: bool
    seen: Position | None


# Files of a version that keeps other things about a response are not read.
_SHAPE = zlib.crc32(
    repr([_Head.__struct_fields__, *([field.name for field in fields(kind)] for kind in (Policy, Position))]).encode()
)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)


def with_trailer(stored: Stored, body: DiskBody) -> tuple[Stored, bytes]:
    """What follows the body in the file of a response; and the response, with what its file then takes."""
    head = _encoder.encode(
        _Head(
            key=_bytes(stored.key),
            variant=[(_bytes(name), None if wanted is None else _bytes(wanted)) for name, wanted in stored.variant],
            status=stored.status,
            headers=[(_bytes(name), _bytes(value)) for name, value in stored.headers.items()],
            policy=stored.policy,
            responded_at=stored.responded_at,
            tags=[_bytes(tag) for tag in stored.tags],
            soft_purged=stored.soft_purged,
            seen=stored.seen,
        )
    )
    text = body.checksums + head + _FOOTER.pack(_MAGIC, _SHAPE, len(head), body.size)
    trailer = text + _digest(text)
    return replace(stored, body=replace(body, file_bytes=body.size + len(trailer))), trailer


def read_record(path: str, born: int) -> Stored:
    """The response that a file holds; its body has not been looked at. Raises Unreadable, OSError."""
    file = OpenFile(path, os.O_RDONLY)
    try:
        with file.used() as descriptor:
            return _record(descriptor, path, born)
    finally:
        file.close()


def _record(descriptor: int, path: str, born: int) -> Stored:
    length = os.fstat(descriptor).st_size
    footer_bytes = _FOOTER.size + _DIGEST_BYTES
    if length < footer_bytes:
        raise Unreadable("too short")
    footer = os.pread(descriptor, footer_bytes, length - footer_bytes)
    magic, shape, head_bytes, body_bytes = _FOOTER.unpack_from(footer)
    sum_bytes = -(-body_bytes // BLOCK_BYTES) * _SUM_BYTES
    if (magic, shape) != (_MAGIC, _SHAPE) or head_bytes > _LARGEST_HEAD:
        raise Unreadable("another version")
    if body_bytes + sum_bytes + head_bytes + footer_bytes != length:
        raise Unreadable("not whole")
    text = os.pread(descriptor, length - body_bytes - _DIGEST_BYTES, body_bytes)
    if _digest(text) != footer[-_DIGEST_BYTES:]:
        raise Unreadable("damaged")
    try:
        head = _decoder.decode(text[sum_bytes : sum_bytes + head_bytes])
    except msgspec.MsgspecError as error:
        raise Unreadable("another version") from error
    return _stored(head, DiskBody(path, body_bytes, text[:sum_bytes], length), born)


def _stored(head: _Head, body: DiskBody, born: int) -> Stored:
    return Stored(
        key=_text(head.key),
        variant=tuple((_text(name), None if wanted is None else _text(wanted)) for name, wanted in head.variant),
        status=head.status,
        headers=CIMultiDictProxy(CIMultiDict((_text(name), _text(value)) for name, value in head.headers)),
        policy=head.policy,
        responded_at=head.responded_at,
        tags=frozenset(_text(tag) for tag in head.tags),
        born=born,
        size=body.size,
        body=body,
        soft_purged=head.soft_purged,
        seen=head.seen,
    )


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
