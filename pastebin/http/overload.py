"""How many requests are let in at once: as many as can be answered without making each other late.

The loop says how late it is: what it has to do in one turn is what a request waits for. Where answers are made, readers
most of whom wait say that the database is late. While that is more than it may be, the limit goes down (R. Jain,
"Congestion Avoidance in Computer Networks", 1988: slow increase, multiplicative decrease); what is above it is refused
at once, which costs much less than an answer that nobody waits for any more. One slow turn is no overload: only what
stays late for a while is (CoDel, RFC 8289, section 3).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import getrandbits
from typing import Literal

from pastebin.errors import Overloaded
from pastebin.http import problems

Kind = Literal["read", "write", "admin"]

KINDS: tuple[Kind, ...] = ("read", "write", "admin")
# Of the limit so much may be used by requests of a kind and of those that come before it.
_SHARES: dict[Kind, float] = {"read": 1.0, "write": 0.8, "admin": 0.5}
_WINDOW_SECONDS = 0.1
_PATIENCE_SECONDS = 0.5
_LEAST_DECREASE, _MOST_DECREASE, _INCREASE = 0.7, 0.1, 1.1
_FEWEST = 64.0
_FEWEST_ANSWERS = 8
_MOST = 8192.0

_FIRST_LINE = re.compile(rb"(GET|POST) (/[!-~]*+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n")
_FOR_ADMINISTRATORS = ("/admin", "/api/v1/admin", "/api/v1/analytics")
_ID = "{request-id}"


@dataclass(slots=True)
class Limit:
    """The limit, from how late the loop was of late. Pure: values and `now`, in seconds."""

    most_delay_seconds: float
    value: float = math.inf
    _least: float = math.inf  # delay of this window
    _peak: int = 0  # requests at once in this window
    _answers: int = 0  # of this window, and those of them that came late
    _slow: int = 0
    _late: int = 0  # windows in a row
    _late_since: float = math.inf
    _since: float = -math.inf

    def answered(self, seconds: float) -> None:
        """The answer to a reader began after so long."""
        self._answers += 1
        self._slow += seconds > self.most_delay_seconds

    def observe(self, delay: float, inside: int, now: float) -> None:
        """The loop was so late, with so many requests inside."""
        self._least = min(self._least, delay)
        self._peak = max(self._peak, inside)
        if now - self._since < _WINDOW_SECONDS:
            return
        is_slow = self._answers >= _FEWEST_ANSWERS and self._slow > self._answers / 2
        if self._least > self.most_delay_seconds or is_slow:
            self._late += 1
            self._late_since = min(self._late_since, now - self._least)
            if self.value < math.inf or (self._late > 1 and now - self._late_since >= _PATIENCE_SECONDS):
                wanted = self.most_delay_seconds / max(self._least, self.most_delay_seconds)
                decrease = max(min(wanted, _LEAST_DECREASE), _MOST_DECREASE)
                self.value = max(min(self.value, self._peak) * decrease, _FEWEST)
        else:
            self._late, self._late_since = 0, math.inf
            self.value = self.value * _INCREASE + 1
            if self.value > _MOST:
                self.value = math.inf
        self._least, self._peak, self._since = math.inf, 0, now
        self._answers = self._slow = 0

    def admits(self, kind: Kind, inside: dict[Kind, int]) -> bool:
        """Whether one more of its kind is let in: readers before writers before administrators."""
        before = sum(inside[other] for other in KINDS[: KINDS.index(kind) + 1])
        return before < self.value * _SHARES[kind]


@dataclass(slots=True)
class Load:
    """The requests inside a door until their answers begin, and the limit to them. `on_shed` hears of every refusal.

    Behind a door that is `final` answers are made, not fetched from elsewhere: there, late ones are a sign of overload,
    and what nobody waits for any more is given up.
    """

    limit: Limit
    on_shed: Callable[[Kind], None]
    is_final: bool = True
    inside: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    _is_looking: bool = False
    _refusal: tuple[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        document = problems.describe(Overloaded(), _ID)
        body = document.as_json().replace(_ID.encode(), b"0" * 16)
        fields = {
            **(document.headers or {}),
            "Content-Type": problems.MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Server": "pastebin",
            "X-Request-Id": "0" * 16,
        }
        lines = [f"HTTP/1.1 {document.status} {document.title}", *(f"{name}: {fields[name]}" for name in fields)]
        self._refusal = ("\r\n".join(lines) + "\r\n\r\n").encode(), body

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """See how long the loop takes for its turn, unless somebody looks already."""
        if not self._is_looking:
            self._is_looking = True
            loop.call_soon(loop.call_soon, self._seen, loop, loop.time())

    def enter(self, kind: Kind) -> None:
        self.inside[kind] += 1

    def leave(self, kind: Kind, seconds: float) -> None:
        """After so long its answer begins, or it will have none."""
        self.inside[kind] -= 1
        if self.is_final and kind == "read":
            self.limit.answered(seconds)

    def refuses(self, kind: Kind) -> bool:
        """Whether one more is too much; then it is counted as refused."""
        if self.limit.value == math.inf or self.limit.admits(kind, self.inside):
            return False
        self.on_shed(kind)
        return True

    def refusal(self, data: bytes) -> tuple[bytes, bool] | None:
        """The answer to one plain request that is here as a whole and is too much, and whether more may follow.

        None where it is let in, and where it takes more to understand it.
        """
        if self.limit.value == math.inf or (first := _FIRST_LINE.match(data)) is None:
            return None
        end = data.find(b"\r\n\r\n", first.end() - 2)
        if end < 0 or b"\n\n" in data:
            return None
        head = data[: end + 2].lower()
        length = _LENGTH.search(head)
        has_body = b"content-length" in head
        if b"transfer-encoding" in head or head.count(b"content-length") > 1 or (has_body and length is None):
            return None
        if len(data) != end + 4 + (int(length[1]) if length is not None else 0) or b"\r\nexpect:" in head:
            return None
        if not self.refuses(kind_of(first[1].decode(), first[2].decode())):
            return None
        identity = b"%016x" % getrandbits(64)
        answer, body = self._refusal
        return answer.replace(b"0" * 16, identity) + body.replace(b"0" * 16, identity), b"close" not in head

    def _seen(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        self._is_looking = False
        now = loop.time()
        self.limit.observe(now - began, sum(self.inside.values()), now)


def kind_of(method: str, target: str) -> Kind:
    """What kind of request it is, by its first line."""
    if target.startswith(_FOR_ADMINISTRATORS):
        return "admin"
    return "read" if method in ("GET", "HEAD", "OPTIONS") else "write"
