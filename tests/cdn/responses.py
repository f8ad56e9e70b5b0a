"""Responses of an origin for the rules of the edge: all at one moment, NOW."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from multidict import CIMultiDict

from pastebin.cdn import freshness
from pastebin.cdn.freshness import Policy

NOW = 1_800_000_000.0


@dataclass
class Asked:
    method: str = "GET"
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)


def date(seconds: float = 0.0) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


def policy(
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    status: int = 200,
    request: Asked | None = None,
    delay: float = 0.0,
    heuristics: bool = False,
) -> Policy | None:
    return freshness.may_store(
        request or Asked(),
        status,
        CIMultiDict(headers),
        requested_at=NOW - delay,
        responded_at=NOW,
        heuristics=heuristics,
    )


def control(value: str, **headers: str) -> dict[str, str]:
    return {"Cache-Control": value, **headers}
