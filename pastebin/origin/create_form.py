"""What the create form offers and shows, and what was typed into it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from pastebin import slugs
from pastebin.errors import Problem
from pastebin.origin import lifetimes
from pastebin.origin.refusals import Place
from pastebin.sections import LimitsSection
from pastebin.services import syntaxes
from pastebin.services.intake import NAME_BYTES
from pastebin.services.wishes import TITLE_CHARACTERS

# Places for text without a script; more where more was typed.
_TEXTS = 4
_MOST_TEXTS = 1000
_NUMBERED = re.compile(r"(name|syntax|content)-([1-9][0-9]{0,4})")


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
            asked["expires_at"] = lifetimes.moment(moment)
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
    offered = lifetimes.offered(limits)
    if limits.default_lifetime_seconds or longest:
        offered.insert(offered.count("never"), "")
    return {
        "limits": {
            "max_bytes": limits.max_paste_bytes,
            "max_files": limits.max_files,
            "max_lifetime_seconds": longest,
            "max_name_bytes": NAME_BYTES,
            "max_title_characters": TITLE_CHARACTERS,
        },
        "syntaxes": [(syntax.name, syntax.label) for syntax in syntaxes.ALL],
        "lifetimes": offered,
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
