"""The program that searches: texts from standard input, matching lines to standard output.

An expression can be made to run for very long, so the node may kill this process at any moment; it then knows how far
the search has come. Frames come in, each its length (4 bytes, big-endian) and a body: the Question as JSON, then the
chunks of one text after another, an empty frame behind each. What goes out is one JSON array a line (see `Word`).
"""

from __future__ import annotations

import json
import os
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, Literal, Protocol

from pastebin.services import confinement

LENGTH = struct.Struct(">I")
PIECE_BYTES = 1024**2  # longer lines are searched in pieces
_AROUND_BYTES = 160
_MATCH_BYTES = 320
_LINEWISE = "(?m)"  # for RE2: ^ and $ stand for the ends of lines

# found: [line, before, match, after]; passed: [the first line that was not searched]; text: its end was reached;
# refused: [why]; done: there is nothing more to come, or enough was found
Word = Literal["found", "passed", "text", "refused", "done"]


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for; `line` is the number of the first line of the first text, `limit` how many lines are enough."""

    text: str
    is_regex: bool
    ignores_case: bool
    line: int
    limit: int
    cpu_seconds: float


class Span(Protocol):
    """What a match knows, whichever engine found it."""

    def start(self) -> int: ...
    def end(self) -> int: ...


class Pattern(Protocol):
    """A compiled expression, whichever engine made it."""

    def search(self, text: bytes, pos: int = 0, /) -> Span | None: ...


class Refused(Exception):
    """This cannot be looked for; the argument says why."""


def compiled(question: Question) -> Pattern:
    """The expression for lines: by RE2 where it is installed, which takes linear time, else by Python's own engine.

    Raises Refused.
    """
    try:
        import re2
    except ImportError:
        return _python(question)
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.literal = not question.is_regex
    options.case_sensitive = not question.ignores_case
    text = f"{_LINEWISE}{question.text}" if question.is_regex else question.text
    try:
        pattern: Pattern = re2.compile(text.encode(), options)
    except re2.error as error:
        raise Refused(_told(error).replace(_LINEWISE, "", 1)) from None
    return pattern


def _python(question: Question) -> Pattern:
    text = question.text.encode()
    flags = re.MULTILINE | (re.IGNORECASE if question.ignores_case else 0)
    try:
        return re.compile(text if question.is_regex else re.escape(text), flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise Refused(_told(error)) from None


def _told(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


class Finder:
    """Finds the lines of one text that match; `line` is the number of the first one that was not searched yet."""

    def __init__(self, pattern: Pattern, line: int) -> None:
        self._pattern = pattern
        self._last = 0
        self.line = line

    def find(self, block: bytes) -> Iterator[tuple[int, str, str, str]]:
        """Number, and what stands before, in and behind the first match, of each line in the next block.

        A block ends with a line, or in the midst of one that is too long for one. A match over several lines counts
        for nothing: each line is asked alone.
        """
        position = counted = 0
        while position < len(block):
            match = self._pattern.search(block, position)
            if match is None or (match.start() == len(block) and block.endswith(b"\n")):
                break
            start = block.rfind(b"\n", position, match.start()) + 1 or position
            end = block.find(b"\n", match.start())
            line = block[start : end if end >= 0 else len(block)]
            self.line += block.count(b"\n", counted, start)
            counted = start
            inner = self._pattern.search(line)
            if inner is not None and self.line != self._last:
                self._last = self.line
                yield self.line, *excerpt(line, inner.start(), inner.end())
            position = start + len(line) + 1
        self.line += block.count(b"\n", counted)


def excerpt(line: bytes, start: int, end: int) -> tuple[str, str, str]:
    """What stands before, in and behind a match, as much as fits a line of results."""
    first = max(start - _AROUND_BYTES, 0)
    stop = min(end, start + _MATCH_BYTES)
    after = line[stop : stop + _AROUND_BYTES].decode("utf-8", "replace")
    before = line[first:start].decode("utf-8", "replace")
    # what a cut has made of a character is nothing to show
    before = before.lstrip("\ufffd") if first else before
    after = after.rstrip("\ufffd") if stop + _AROUND_BYTES < len(line) else after.removesuffix("\r")
    return before, line[start:stop].decode("utf-8", "replace"), after


def frames(stream: BinaryIO) -> Iterator[bytes]:
    """The bodies of frames until the stream ends."""
    while len(header := stream.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(header)
        body = stream.read(length)
        if len(body) < length:
            return
        yield body


def blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """One text, up to its empty chunk, as blocks that end with a line wherever that is possible."""
    rest = b""
    for chunk in chunks:
        if not chunk:
            break
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
        if len(rest) >= PIECE_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer one Question."""

    def tell(word: Word, *what: Any) -> None:
        outgoing.write(json.dumps([word, *what]).encode() + b"\n")
        outgoing.flush()

    bodies = frames(incoming)
    question = Question(**json.loads(next(bodies)))
    confinement.limit_cpu(question.cpu_seconds)
    try:
        pattern = compiled(question)
    except Refused as refusal:
        tell("refused", str(refusal))
        return
    left, line = question.limit, question.line
    for first in bodies:
        finder = Finder(pattern, line)
        for block in blocks(chain([first], bodies)):
            for found in finder.find(block):
                tell("found", *found)
                left -= 1
                if not left:
                    tell("done")
                    return
            tell("passed", finder.line)
        tell("text")
        line = 1
    tell("done")


def main() -> None:
    confinement.confine(int(sys.argv[1]))
    with os.fdopen(os.dup(1), "wb") as outgoing, suppress(BrokenPipeError):
        serve(sys.stdin.buffer, outgoing)


if __name__ == "__main__":
    main()
