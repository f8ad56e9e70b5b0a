"""How long a paste lives, as people write it: `600`, `10m`, `1h30m`, `2w`, ISO 8601 `P1DT12H`, `never`."""

from __future__ import annotations

import re
from datetime import timedelta

ALLOWED = "seconds, 10m, 2h, 7d, 2w, an ISO 8601 duration such as P1DT12H, or never"
LONGEST = timedelta(days=36_525)  # a century: past that, databases and calendars disagree

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SHORT = re.compile(r"(?:[0-9]{1,12}[smhdw])+", re.ASCII)
_PART = re.compile(r"([0-9]{1,12})([smhdw])", re.ASCII)
_N = r"([0-9]{1,9}(?:[.,][0-9]{1,6})?)"
# ISO 8601-1, 5.5.2; a year counts 365 days and a month 30, which is what an expiry needs.
_ISO = re.compile(
    rf"P(?=.)(?:{_N}Y)?(?:{_N}M)?(?:{_N}W)?(?:{_N}D)?(?:T(?=.)(?:{_N}H)?(?:{_N}M)?(?:{_N}S)?)?",
    re.ASCII | re.IGNORECASE,
)
_ISO_SECONDS = (365 * 86_400, 30 * 86_400, 604_800, 86_400, 3600, 60, 1)


def parse_lifetime(text: str | int) -> timedelta | None:
    """The lifetime, or None for `never`. Raises ValueError that says what is allowed."""
    word = str(text).strip()
    if word.lower() == "never":
        return None
    seconds: float
    if word.isascii() and word.isdigit() and len(word) <= 12:
        seconds = int(word)
    elif _SHORT.fullmatch(word.lower()):
        seconds = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(word.lower()))
    elif match := _ISO.fullmatch(word):
        numbers = (float((group or "0").replace(",", ".")) for group in match.groups())
        seconds = sum(number * unit for number, unit in zip(numbers, _ISO_SECONDS, strict=True))
    else:
        raise ValueError(f"must be {ALLOWED}")
    if not 1 <= seconds <= LONGEST.total_seconds():
        raise ValueError(f"must be between one second and {LONGEST.days} days, or never")
    return timedelta(seconds=seconds)
