"""What goes wrong with a lab, in words for the person at the terminal."""

from __future__ import annotations


class LabError(Exception):
    """Its text says what is wrong and what to try."""
