"""My pastes: which ones this browser has made, with their owner tokens, in a cookie that only their list gets.

A cookie holds some eighty; with scripts the browser keeps any number of them, in the same form as the list of the
command line client. Nobody needs an account, and the server keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from pastebin import slugs
from pastebin.models import Paste

PATH = "/mine"
COOKIE = "mine"
_SECONDS = 365 * 86_400
# Browsers keep 4096 bytes of name, value and attributes (RFC 6265, section 6.1).
_COOKIE_BYTES = 3800
MOST = 5000
_TOKEN = re.compile(r"[A-Za-z0-9]{16,64}")


class Kept(NamedTuple):
    """One paste of this browser, and what changes it."""

    slug: str
    token: str


def remembered(request: web.Request) -> list[Kept]:
    """What the cookie says, the newest first; without what it cannot have got from here."""
    return parse(request.cookies.get(COOKIE, ""))


def remember(response: web.StreamResponse, kept: Sequence[Kept], *, secure: bool) -> None:
    """Let the browser keep so many of them as a cookie holds."""
    response.set_cookie(
        COOKIE, written(kept), path=PATH, max_age=_SECONDS, httponly=True, samesite="Lax", secure=secure
    )


def parse(text: str) -> list[Kept]:
    found: dict[str, Kept] = {}
    for part in text[:_COOKIE_BYTES].split("."):
        slug, _, token = part.partition(":")
        if is_kept(slug, token):
            found.setdefault(slug, Kept(slug, token))
    return list(found.values())


def written(kept: Sequence[Kept]) -> str:
    """As a cookie's value (RFC 6265, section 4.1.1); the oldest ones are left out where it would be too long."""
    parts: list[str] = []
    room = _COOKIE_BYTES
    for one in kept:
        part = f"{one.slug}:{one.token}"
        room -= len(part) + 1
        if room < 0:
            break
        parts.append(part)
    return ".".join(parts)


def added(kept: Iterable[Kept], newer: Iterable[Kept]) -> list[Kept]:
    """With the `newer` ones in front; of a paste that is there twice its newer token counts."""
    found: dict[str, Kept] = {}
    for one in (*newer, *kept):
        found.setdefault(one.slug, one)
    return list(found.values())


def is_kept(slug: object, token: object) -> bool:
    """Whether this can be a paste and its owner token."""
    return (
        isinstance(slug, str)
        and isinstance(token, str)
        and slugs.is_slug(slug)
        and not slugs.is_reserved(slug)
        and _TOKEN.fullmatch(token) is not None
    )


def exported(pastes: Iterable[tuple[Paste, str]], base: str) -> bytes:
    """Pastes and their tokens, the oldest first, as the list of the command line client has them: one on a line."""
    lines = [
        orjson.dumps(
            {
                "server": base,
                "slug": paste.slug,
                "url": f"{base}/{paste.slug}",
                "token": token,
                "created_at": paste.created_at,
                "expires_at": paste.expires_at,
                "title": paste.title,
                "name": paste.files[0].name if len(paste.files) == 1 else None,
            },
            option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_APPEND_NEWLINE,
        )
        for paste, token in sorted(pastes, key=lambda one: one[0].created_at)
    ]
    return b"".join(lines)


def imported(content: bytes, base: str) -> tuple[list[Kept], int]:
    """The pastes of an exported list, the newest first; and how many of its lines are none of this site's.

    What a line says beside slug, token, moment and address does not matter.
    """
    found: list[tuple[float, int, Kept]] = []
    foreign = 0
    for number, line in enumerate(content.splitlines()):
        if not line.strip():
            continue
        entry: Any = None
        with suppress(ValueError):
            entry = orjson.loads(line)
        if isinstance(entry, dict) and is_kept(entry.get("slug"), entry.get("token")) and _is_here(entry, base):
            found.append((_moment(entry.get("created_at")), number, Kept(entry["slug"], entry["token"])))
        else:
            foreign += 1
    found.sort(reverse=True)  # of one moment the last in the list is the newest
    return added([], [kept for *_, kept in found[:MOST]]), foreign


def _is_here(entry: dict[str, Any], base: str) -> bool:
    """Whether a line speaks of this site: by its address, or by the server it was sent to."""
    told = [value for value in (entry.get("url"), entry.get("server")) if isinstance(value, str)]
    here = urlsplit(base).netloc
    for address in told:
        with suppress(ValueError):
            if urlsplit(address).netloc == here:
                return True
    return not told


def _moment(text: object) -> float:
    with suppress(ValueError, OverflowError):
        if isinstance(text, str):
            return datetime.fromisoformat(text).timestamp()
    return 0.0
