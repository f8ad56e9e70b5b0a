"""What an origin sends back, read strictly: RFC 9112 without I/O.

A cache multiplies what it misunderstands. So everything that two readers could read differently is refused, also
where the RFC would let a recipient repair it: folded lines, a length given twice, bare line feeds, codings other
than `chunked`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from multidict import CIMultiDict

from pastebin.errors import BadUpstream

HEAD_BYTES = 32 * 1024
HEAD_FIELDS = 200
_LINE_BYTES = 1024
_TRAILER_BYTES = 8 * 1024

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")

Framing = Literal["none", "length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a final or interim response, and how its body ends."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    framing: Framing
    length: int | None  # of a body with the framing "length"; of one that was not sent (HEAD), what it would be
    keeps_alive: bool


def parse_head(data: bytes, method: str) -> Head:
    """The head without its last empty line. Raises BadUpstream."""
    lines = data.split(b"\r\n")
    status_line = _STATUS.fullmatch(lines[0])
    if status_line is None:
        raise BadUpstream("It does not begin like an answer of HTTP/1.")
    if len(lines) > HEAD_FIELDS:
        raise BadUpstream("It has too many header fields.")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines[1:]:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise BadUpstream("It has a header that is none.")
        headers.add(field[1].decode("ascii"), _text(field[2].strip(b" \t")))
    version, status = int(status_line[1]), int(status_line[2])
    framing, length = _framing(headers, status, version, method)
    connection = ",".join(headers.getall("Connection", ())).lower()
    options = {option.strip() for option in connection.split(",")}
    keeps = framing != "close" and "close" not in options and (version == 1 or "keep-alive" in options)
    return Head(status, _text(status_line[3] or b""), headers, framing, length, keeps)


def _text(value: bytes) -> str:
    """UTF-8, which is what is written again; else the ISO-8859-1 of old (RFC 9110, section 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _framing(headers: CIMultiDict[str], status: int, version: int, method: str) -> tuple[Framing, int | None]:
    """RFC 9112, section 6.3."""
    lengths, codings = headers.getall("Content-Length", ()), headers.getall("Transfer-Encoding", ())
    if codings and (lengths or version == 0 or [coding.lower() for coding in codings] != ["chunked"]):
        raise BadUpstream("Where it ends can be read in two ways.")
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        raise BadUpstream("Its Content-Length is no single number.")
    length = int(lengths[0]) if lengths else None
    if method == "HEAD" or status < 200 or status in (204, 304):
        return "none", length
    if codings:
        return "chunked", None
    return ("close", None) if length is None else ("length", length)


class Body:
    """Takes a body out of the bytes of a connection. `done` when it was whole."""

    __slots__ = ("_decoder", "_left", "done", "framing")

    def __init__(self, head: Head) -> None:
        self.framing = head.framing
        self._left = (head.length or 0) if head.framing == "length" else 0
        self._decoder = _Chunked() if head.framing == "chunked" else None
        self.done = head.framing == "none" or (head.framing == "length" and not head.length)

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body among these. Raises BadUpstream."""
        if self.framing == "close":
            return data
        body, rest = data, b""
        if self._decoder is not None and not self.done:
            body = self._decoder.feed(data)
            self.done, rest = self._decoder.done, self._decoder.rest
        else:
            self._left -= len(data)
            self.done = self._left <= 0
        if self._left < 0 or (self.done and rest):
            raise BadUpstream("It goes on after its end.")
        return body

    def is_whole_at_end(self) -> bool:
        """Whether the body was complete if the connection ended here."""
        return self.done or self.framing == "close"


class _Chunked:
    """The chunked coding (RFC 9112, section 7.1). Extensions are ignored and trailers are dropped."""

    __slots__ = ("_left", "_trailer_bytes", "_want", "done", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self.done = False
        self._want: Literal["size", "data", "end", "trailer"] = "size"
        self._left = 0
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        data = self.rest + data
        pieces: list[bytes] = []
        at = 0
        while not self.done:
            if self._want == "data":
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._want = "end"
            end = data.find(b"\r\n", at, at + _LINE_BYTES)
            if end < 0:
                if len(data) - at >= _LINE_BYTES or b"\n" in data[at:]:
                    raise BadUpstream("A chunk of it does not begin like one.")
                break
            self._line(data[at:end])
            at = end + 2
        self.rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _line(self, line: bytes) -> None:
        if self._want == "size":
            size = _CHUNK.fullmatch(line)
            if size is None:
                raise BadUpstream("A chunk of it has no size.")
            self._left = int(size[1], 16)
            self._want = "data" if self._left else "trailer"
        elif self._want == "end":
            if line:
                raise BadUpstream("A chunk of it is longer than it says.")
            self._want = "size"
        elif line:
            self._trailer_bytes += len(line)
            if _FIELD.fullmatch(line) is None or self._trailer_bytes > _TRAILER_BYTES:
                raise BadUpstream("It ends in what is no trailer.")
        else:
            self.done = True
