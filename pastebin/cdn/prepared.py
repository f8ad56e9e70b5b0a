"""Answers ready to be written: made from what is stored, given up when it changes.

What the full road decides anew for every request is decided here when an answer is prepared. Left to the request are
the variant, the condition, HEAD or GET, and whether the answer is still fresh. A test compares the two roads.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from multidict import CIMultiDict

from pastebin.cdn.cache import Cache
from pastebin.cdn.delivering import OF_304
from pastebin.cdn.freshness import current_age
from pastebin.cdn.grammar import Said, place, told_apart
from pastebin.cdn.objects import MOST_FREQUENT, Stored
from pastebin.cdn.statuses import CacheStatus, appended
from pastebin.cdn.variants import Variant, variant_of
from pastebin.http import languages

# Answers up to this size are copied into one piece with their head, which is cheaper than writing two pieces.
JOINED_BYTES = 32 * 1024

_SECOND = 1.0
_IDS_AT_ONCE = 512
_OVERHEAD = 1000  # of a Hit, and of its place with one address
_MOST_SELECTORS = 64
_MEMOISED = 1024
_MEMOISED_BYTES = 512
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~]*")
# Made here for every answer.
_OWN = frozenset({"age", "cache-status", "content-length", "server", "x-request-id"})
_STATUS = CacheStatus(ttl=0).value().removesuffix("0").encode("ascii")
_NOTHING: CIMultiDict[str] = CIMultiDict()
_LINES = b"Age: %d\r\nCache-Status: %b%d\r\nX-Request-Id: "

Written = bytes | tuple[bytes, bytes]  # all of an answer, or its head and a large body


class Lease(Protocol):
    """What has to be known of the feed of purges."""

    def held_until(self) -> float:
        """Until when, by `time.monotonic`, something that is stored may be served without asking its origin."""


@dataclass(slots=True, eq=False)
class Hit:
    """One stored response as it goes out. `lines` hold until the moment `until` of the monotonic clock."""

    stored: Stored
    fixed: bytes = b""  # the lines that stay the same, the first one among them; empty: it is left to the full road
    fixed_304: bytes = b""  # empty: conditions do not matter
    status: bytes = b""  # Cache-Status up to what is left of its freshness
    body: bytes = b""
    tag: bytes = b""  # without W/
    until: float = 0.0
    lines: bytes = b""  # those that change with time, up to the id
    lines_304: bytes = b""

    @property
    def footprint(self) -> int:
        """Bytes of memory beside the body."""
        return _OVERHEAD + len(self.fixed) + len(self.fixed_304) + 3 * len(self.status) + len(self.tag)

    def renew(self, now: float, wall: float) -> bool:
        """Bring the lines up to date that change with time; False if the answer is not fresh, as `freshness` says."""
        stored = self.stored
        policy = stored.policy
        age = current_age(policy, stored.responded_at, wall)
        left = policy.lifetime - age
        if left <= 0.0 or not self.fixed:
            return False
        self.lines = _LINES % (age, self.status, left)
        self.lines_304 = self.lines if self.status is _STATUS else _LINES % (age, _STATUS, left)
        self.until = now + min(1.0 - age % 1.0, left % 1.0 or 1.0)
        return True


class Selector:
    """Which variant a request gets, for the stored responses that vary on the same fields."""

    __slots__ = ("_has_language", "_known", "_names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._has_language = languages.FIELD in names
        self._known: dict[tuple[bytes | None, bytes | None, bytes | None], Variant] = {}

    def variant(self, accept: bytes | None, encoding: bytes | None, language: bytes | None) -> Variant:
        if not self._has_language:
            language = None
        known = self._known.get((accept, encoding, language))
        if known is not None:
            return known
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in (("Accept", accept), ("Accept-Encoding", encoding), ("Accept-Language", language)):
            if value is not None:
                headers[name] = value.decode("ascii").strip(" ")
        variant = variant_of(self._names, languages.introduced(headers))
        if len(accept or b"") + len(encoding or b"") + len(language or b"") <= _MEMOISED_BYTES:
            if len(self._known) >= _MEMOISED:
                self._known.clear()
            self._known[accept, encoding, language] = variant
        return variant


class Place:
    """The variants that are stored under one address; a request gets of them what `index.Family` would choose."""

    __slots__ = ("_hits", "_selectors")

    def __init__(self, hits: dict[Variant, Hit], selectors: list[Selector]) -> None:
        self._hits = hits
        self._selectors = selectors

    def choose(self, accept: bytes | None, encoding: bytes | None, language: bytes | None) -> Hit | None:
        """The one that matches; None if none does, or several do, which the full road has to weigh."""
        chosen: Hit | None = None
        for selector in self._selectors:
            hit = self._hits.get(selector.variant(accept, encoding, language))
            if hit is not None:
                if chosen is not None:
                    return None
                chosen = hit
        return chosen


class Prepared:
    """Finds the answer to a head of the grammar, or says that it has to take the full road.

    `hidden` are the lower-case names of headers that clients do not get. While `is_draining` says so every answer
    takes the full road, where it is told to close its connection. `given` is what the last answer was made of. Answers
    are counted: `wholes`, `heads` without a body, and `unmodified` ones.
    """

    def __init__(self, cache: Cache, lease: Lease, hidden: Collection[str]) -> None:
        self.is_draining: Callable[[], bool] = _never
        self.wholes = self.heads = self.unmodified = 0
        self.given: Stored | None = None
        self._cache = cache
        self._lease = lease
        self._left_out = _OWN.union(hidden)
        self._places: dict[bytes, Hit | Place] = {}
        self._addresses: dict[str, list[bytes]] = {}  # by key, so that a change finds what was made of it
        self._selectors: dict[tuple[str, ...], Selector] = {}
        self._until = 0.0
        self._ids = _ids()
        cache.watch(self._forget)

    def answer(self, method: bytes, address: bytes, said: Said, now: float) -> Written | None:
        """What to write; None: the full road. `now` is the monotonic clock."""
        _, accept, encoding, language, tag, since = said
        found = self._places.get(address)
        if found is None and (found := self._prepare(address)) is None:
            return None
        hit = found if isinstance(found, Hit) else found.choose(accept, encoding, language)
        if hit is None or (now >= hit.until and not hit.renew(now, time.time())):
            return None
        stored = hit.stored
        if (
            not stored.alive
            or (since is not None and tag is None)
            or (now >= self._until and not self._may_answer(now))
        ):
            return None
        if stored.frequency < MOST_FREQUENT:
            stored.frequency += 1
        self.given = stored
        if tag is not None and hit.fixed_304 and tag.removeprefix(b"W/") == hit.tag:
            self.unmodified += 1
            return b"".join((hit.fixed_304, hit.lines_304, next(self._ids)))
        if method == b"HEAD":
            self.heads += 1
            return b"".join((hit.fixed, hit.lines, next(self._ids)))
        self.wholes += 1
        body = hit.body
        if len(body) <= JOINED_BYTES:
            return b"".join((hit.fixed, hit.lines, next(self._ids), body))
        return b"".join((hit.fixed, hit.lines, next(self._ids))), body

    def figures(self) -> dict[str, int]:
        """How many answers of each kind were given."""
        return {"whole": self.wholes, "head": self.heads, "not-modified": self.unmodified}

    def _may_answer(self, now: float) -> bool:
        """Whether the edge is in touch and not about to go; asked once a second."""
        held_until = self._lease.held_until()
        if now >= held_until or self.is_draining():
            return False
        self._until = min(now + _SECOND, held_until)
        return True

    def _prepare(self, address: bytes) -> Hit | Place | None:
        host, target = place(address)
        key = f"{host.removesuffix(':80')}{target}"
        all_stored = self._cache.peek(key)
        groups = {tuple([name for name, _ in stored.variant]) for stored in all_stored}
        if not all_stored or not all(told_apart(names) for names in groups):
            return None
        if len(self._selectors) + len(groups) > _MOST_SELECTORS:
            self._selectors.clear()
        selectors = [self._selectors.setdefault(names, Selector(names)) for names in groups]
        fresh = [stored for stored in all_stored if stored.attached is None]
        for stored in fresh:
            stored.attached = _hit(stored, self._left_out)
        hits: dict[Variant, Hit] = {stored.variant: stored.attached for stored in all_stored}
        found = hits[()] if len(hits) == 1 and () in hits else Place(hits, selectors)
        self._places[address] = found
        self._addresses.setdefault(key, []).append(address)
        for stored in fresh:
            self._cache.charge(stored, stored.attached.footprint)
        return found

    def _forget(self, key: str) -> None:
        for address in self._addresses.pop(key, ()):
            del self._places[address]


def _hit(stored: Stored, left_out: Collection[str]) -> Hit:
    """What has to be asked for first, bodies on disk and odd headers are left to the full road."""
    headers = CIMultiDict(stored.headers)
    languages.reveal(headers, _NOTHING)
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in left_out]
    before = ", ".join(stored.headers.getall("Cache-Status", ()))
    is_plain = all(_FIELD.fullmatch(line) for line in (*lines, f"Cache-Status: {before}"))
    if stored.policy.always_revalidate or stored.soft_purged or not isinstance(stored.body, bytes) or not is_plain:
        return Hit(stored)
    if stored.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(stored.body)}")
    fixed = _joined(f"HTTP/1.1 {stored.status} {_phrase(stored.status)}", lines)
    status = appended(before, _STATUS.decode()).encode("ascii") if before else _STATUS
    if not 200 <= stored.status <= 299:
        return Hit(stored, fixed, status=status, body=stored.body)
    few = [f"{name}: {value}" for name in OF_304 for value in headers.getall(name, ())]
    tag = stored.headers.get("ETag", "").removeprefix("W/").encode("ascii")
    return Hit(stored, fixed, _joined("HTTP/1.1 304 Not Modified", few), status, stored.body, tag)


def _joined(first: str, lines: list[str]) -> bytes:
    return "\r\n".join([first, *lines, "Server: pastebin", ""]).encode("ascii")


def _never() -> bool:
    return False


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _ids() -> Iterator[bytes]:
    """Ids of answers as they are written: 64 bits of chance in hexadecimal, and the end of the head."""
    while True:
        digits = os.urandom(8 * _IDS_AT_ONCE).hex().encode("ascii")
        for at in range(0, len(digits), 16):
            yield digits[at : at + 16] + b"\r\n\r\n"
