"""Texts with values in them, which can be said in other languages as well."""

from __future__ import annotations


class Phrase(str):
    """An English text, complete as it is: `Phrase("at most %(limit)s characters", limit=255)`.

    It remembers the pattern that catalogues know it by, and its values; numbers and Phrases among them are said in
    the other language, too. With a `plural` the form goes by the value `num`. Write `%%` for a percent sign.
    """

    __slots__ = ("pattern", "plural", "values")

    pattern: str
    plural: str
    values: dict[str, str | int | float]

    def __new__(cls, pattern: str, plural: str = "", **values: str | float) -> Phrase:
        form = plural if plural and values["num"] != 1 else pattern
        made = super().__new__(cls, form % values)
        made.pattern, made.plural, made.values = pattern, plural, values
        return made


def forms(singular: str, plural: str) -> tuple[str, str]:
    """Mark a text in both of its English forms for the catalogues, which is said elsewhere."""
    return singular, plural


def N_(text: str) -> str:  # noqa: N802  (the name that gettext's tools know)
    """Mark a text for the catalogues that is said elsewhere."""
    return text
