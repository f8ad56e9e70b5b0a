"""The header Cache-Status (RFC 9211): how the edge came by an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pastebin import visits

CACHE = "pastebin"

Forward = Literal["bypass", "method", "uri-miss", "vary-miss", "request", "stale"]


@dataclass(slots=True)
class CacheStatus:
    """What happened to one request. `forwarded` is None for a hit."""

    forwarded: Forward | None = None
    forward_status: int | None = None
    ttl: float | None = None
    is_stored: bool = False
    is_collapsed: bool = False
    detail: str = ""

    def value(self) -> str:
        """This cache's member of the list. A ttl below zero is that of a stale answer."""
        parts = [CACHE, "hit" if self.forwarded is None else f"fwd={self.forwarded}"]
        if self.forward_status is not None:
            parts.append(f"fwd-status={self.forward_status}")
        if self.ttl is not None:
            parts.append(f"ttl={int(self.ttl // 1)}")
        if self.is_stored:
            parts.append("stored")
        if self.is_collapsed:
            parts.append("collapsed")
        if self.detail:
            parts.append(f"detail={self.detail}")
        return "; ".join(parts)

    def kind(self) -> visits.CacheStatus:
        """The word for figures."""
        if self.forwarded is None:
            return "hit" if self.ttl is None or self.ttl > 0 else "stale"
        return "pass" if self.forwarded in ("bypass", "method") else "miss"


def appended(before: str | None, value: str) -> str:
    """The whole header: the caches nearer to the origin come first (RFC 9211, section 2)."""
    return f"{before}, {value}" if before else value
