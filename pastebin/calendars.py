"""Names of days, months and countries in the language of the answer at hand: those of the CLDR."""

from __future__ import annotations

from datetime import datetime

from babel.dates import format_skeleton, get_day_names

from pastebin.catalogues import ENGLISH, locale
from pastebin.languages import current


def weekdays(*, is_short: bool = False) -> list[str]:
    """Monday first."""
    names = get_day_names("abbreviated" if is_short else "wide", "stand-alone", locale(current()))
    return [names[day] for day in range(7)]


def day(at: datetime) -> str:
    """A day of a year that need not be named, in few letters."""
    return f"{at.day} {at:%b}" if current() == ENGLISH else format_skeleton("MMMd", at, locale=locale(current()))


def month(at: datetime) -> str:
    """A month and its year, in few letters."""
    return f"{at:%b %Y}" if current() == ENGLISH else format_skeleton("yMMM", at, locale=locale(current()))


def country(code: str, name: str) -> str:
    """A country by its code (ISO 3166-1 alpha-2), by its English name if it has no other one."""
    return name if current() == ENGLISH else locale(current()).territories.get(code, name)
