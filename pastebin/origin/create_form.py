"""What the create form offers and shows, and what was typed into it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from pastebin import slugs
from pastebin.errors import Problem
from pastebin.origin.refusals import Place
from pastebin.sections import LimitsSection
from pastebin.services import syntaxes
from pastebin.services.intake import NAME_BYTES
from pastebin.services.publishing import TITLE_CHARACTERS

# How long a paste may live, by the option `expires_in`.
_LIFETIMES = {"10m": 600, "1h": 3600, "1d": 86_400, "1w": 604_800, "30d": 2_592_000, "365d": 31_536_000}
# Places for text without a script; more where more was typed.
_TEXTS = 4
_MOST_TEXTS = 1000
_NUMBERED = re.compile(r"(name|syntax|content)-([1-9][0-9]{0,4})")
# What `input type=datetime-local` sends, and what people type where that is a mere text field.
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?")


class Typed:
    """What a form was filled in with, kept until it is known whether it has to be shown again.

    Of its texts, `room` bytes are kept in all; `is_whole` says that this was everything. `places` are those of its
    files, in order.
    """

    def __init__(self, room: int) -> None:
        self.fields: dict[str, str] = {}
        self.is_whole = True
        self.places: list[Place] = []
        self._room = room
        self._texts: dict[str, bytearray] = {}

    async def noting(self, field: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a text on, and remember it."""
        text = self._texts.setdefault(field, bytearray())
        async for chunk in chunks:
            if len(chunk) <= self._room:
                self._room -= len(chunk)
                text += chunk
            else:
                self._room, self.is_whole = 0, False
            yield chunk

    def values(self) -> dict[str, str]:
        """Every field with what it held; a text that was too long is left out, for half of it would be a trap."""
        texts = {field: text.decode(errors="replace") for field, text in self._texts.items()} if self.is_whole else {}
        return {**texts, **self.fields}

    def options(self, parts: Collection[str]) -> dict[str, str]:
        """The fields that ask for something of the paste; `parts` are the names of those that brought its files.

        On a page of ours an exact moment of expiry stands beside the usual choices and goes before them; it has no
        time zone there, and is in UTC. A second button publishes what looks like a secret all the same.
        """
        is_ours = self.fields.get("newlines") == "lf"
        numbers = {part.partition("-")[2] for part in parts}
        asked = {name: value for name, value in self.fields.items() if name != "newlines"}
        for name in self.fields:
            found = _NUMBERED.fullmatch(name)
            if found and (is_ours or found[2] in numbers):
                del asked[name]
        if is_ours and (moment := asked.get("expires_at")):
            asked.pop("expires_in", None)
            if found := _MOMENT.fullmatch(moment.strip()):
                asked["expires_at"] = f"{found[1]}T{found[2]}{found[3] or ':00'}Z"
        if is_ours and asked.pop("publish", ""):
            asked.pop("reject_secrets", None)
        return asked


def create_context(
    limits: LimitsSection,
    values: Mapping[str, str],
    problems: list[Problem],
    *,
    has_credentials: bool = False,
    has_lost_files: bool = False,
    is_whole: bool = True,
) -> dict[str, Any]:
    """The context of `create.html`; `values` is what was typed before, `name-2` and `content-2` a second text.

    `has_credentials` asks whether what looks like one is to be published all the same; `has_lost_files` that files be
    chosen again; not `is_whole` says that what was typed is too long to be shown again.
    """
    longest = limits.max_lifetime_seconds
    lifetimes = [value for value, seconds in _LIFETIMES.items() if not longest or seconds <= longest]
    if limits.default_lifetime_seconds or longest:
        lifetimes.insert(0, "")
    if not longest:
        lifetimes.insert(0, "never")
    return {
        "limits": {
            "max_bytes": limits.max_paste_bytes,
            "max_files": limits.max_files,
            "max_lifetime_seconds": longest,
            "max_name_bytes": NAME_BYTES,
            "max_title_characters": TITLE_CHARACTERS,
        },
        "syntaxes": [(syntax.name, syntax.label) for syntax in syntaxes.ALL],
        "lifetimes": lifetimes,
        "slug_pattern": slugs.PATTERN,
        "texts": _texts(values),
        "values": values,
        "problems": problems,
        "has_credentials": has_credentials,
        "has_lost_files": has_lost_files,
        "is_whole": is_whole,
    }


def _texts(values: Mapping[str, str]) -> range:
    """The numbers of the texts beside the first."""
    found = (_NUMBERED.fullmatch(name) for name, value in values.items() if value)
    return range(2, 1 + max([_TEXTS, *(min(int(one[2]), _MOST_TEXTS) for one in found if one)]))
