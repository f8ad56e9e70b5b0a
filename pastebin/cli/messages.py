"""Lines for the person at the terminal, on standard error. Standard output is for results only."""

from __future__ import annotations

import sys

from pastebin.cli.failures import as_local_error


def printable(text: str) -> str:
    """`text` without what could steer a terminal: control, bidirectional and other unprintable characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def show(text: str) -> None:
    """A result, on standard output. Raises LocalFileError, BrokenPipeError."""
    with as_local_error("standard output"):
        print(text, flush=True)


def tell(text: str) -> None:
    """Each line of `text` on standard error, after the program's name."""
    for line in text.splitlines():
        print(f"pastebin: {printable(line)}", file=sys.stderr, flush=True)
