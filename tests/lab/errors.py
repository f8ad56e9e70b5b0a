"""What goes wrong with a lab, in words for the person at the terminal."""

from __future__ import annotations

import os


class LabError(Exception):
    """Its text says what is wrong and what to try."""


def reason(error: BaseException) -> str:
    """Why something does not answer; not every error has words of its own."""
    if isinstance(error, TimeoutError):
        return "not in time"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number > 0 else str(error) or type(error).__name__
