"""How long a paste may live, as forms offer it: words of `expires_in`, and moments as browsers send them."""

from __future__ import annotations

import re

from pastebin.sections import LimitsSection

_SECONDS = {"10m": 600, "1h": 3600, "1d": 86_400, "1w": 604_800, "30d": 2_592_000, "365d": 31_536_000}
# What `input type=datetime-local` sends, and what people type where that is a mere text field. It is in UTC here.
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?")


def offered(limits: LimitsSection) -> list[str]:
    """From now on, the longest last; `never` comes first where that is allowed."""
    longest = limits.max_lifetime_seconds
    usual = [value for value, seconds in _SECONDS.items() if not longest or seconds <= longest]
    return usual if longest else ["never", *usual]


def moment(typed: str) -> str:
    """What was typed as RFC 3339 has it, or as it is where it is no such moment."""
    found = _MOMENT.fullmatch(typed.strip())
    return f"{found[1]}T{found[2]}{found[3] or ':00'}Z" if found else typed
