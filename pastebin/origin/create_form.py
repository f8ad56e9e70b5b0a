"""What the create form offers and shows."""

from __future__ import annotations

from typing import Any

from pastebin.errors import Problem
from pastebin.sections import LimitsSection
from pastebin.services import syntaxes

_LIFETIMES = (
    ("10m", "In 10 minutes", 600),
    ("1h", "In an hour", 3600),
    ("1d", "In a day", 86_400),
    ("1w", "In a week", 604_800),
    ("30d", "In 30 days", 2_592_000),
    ("365d", "In a year", 31_536_000),
)


def create_context(
    limits: LimitsSection, values: dict[str, str], problems: list[Problem], *, has_credentials: bool = False
) -> dict[str, Any]:
    """The context of `create.html`; `values` is what the user typed before.

    `has_credentials` asks whether what looks like one is to be published all the same.
    """
    longest = limits.max_lifetime_seconds
    lifetimes = [(value, label) for value, label, seconds in _LIFETIMES if not longest or seconds <= longest]
    if limits.default_lifetime_seconds or longest:
        lifetimes.insert(0, ("", "As usual here"))
    if not longest:
        lifetimes.insert(0, ("never", "Never"))
    return {
        "limits": {
            "max_bytes": limits.max_paste_bytes,
            "max_files": limits.max_files,
            "max_lifetime_seconds": longest,
        },
        "syntaxes": [(syntax.name, syntax.label) for syntax in syntaxes.ALL],
        "lifetimes": lifetimes,
        "values": values,
        "problems": problems,
        "has_credentials": has_credentials,
    }
