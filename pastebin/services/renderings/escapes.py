"""The control sequences of terminals (ECMA-48), found and taken out."""

from __future__ import annotations

import re

# No sequence is longer: what goes on after so much was none. A bound for what a stream has to hold back.
_LIMIT = 4096 + 16

# Control sequences (5.4), control strings (5.6) up to their end or, as xterm takes it, BEL, and escapes of a few
# characters. Each part is possessive, so that nothing is read twice.
SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]{0,4096}+[ -/]{0,8}+[@-~]|[\]PX^_][^\x07\x1b]{0,4096}+(?:\x07|\x1b\\)|[ -/]{0,8}+[0-Z\\-~])"
)
_BYTES = re.compile(SEQUENCE.pattern.encode())
# The beginning of a sequence whose end has not come yet.
_OPEN = re.compile(rb"\x1b(?:\[[0-?]*+[ -/]*+|[\]PX^_][^\x07\x1b]*+\x1b?|[ -/]*+)\Z")


class Stripper:
    """Takes the sequences out of a stream of chunks; what is left is byte for byte what stood between them."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """The text of the next chunk, as far as it is certain to be text."""
        data = self._held + chunk
        opened = _OPEN.search(data, max(len(data) - _LIMIT, 0))
        end = opened.start() if opened else len(data)
        self._held = data[end:]
        return _BYTES.sub(b"", data[:end])

    def end(self) -> bytes:
        """What was held back and has turned out to be no whole sequence."""
        held, self._held = self._held, b""
        return _BYTES.sub(b"", held)
