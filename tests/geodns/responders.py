"""The answering part of a name server without sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pastebin.geo import Place
from pastebin.geodns.answers import Answers
from pastebin.geodns.cookies import Cookies
from pastebin.geodns.limits import Limits
from pastebin.geodns.responding import Facts, Responder, Rules
from pastebin.geodns.zone import load
from pastebin.sections_regions import GeodnsSection, RegionSection
from pastebin.steering import Steering
from tests.geodns.dns_client import REGIONS, ZONE

NOW = 1_700_000_000.0
KEY = bytes(range(16))


def responder(
    directory: Path,
    *,
    per_second: int = 0,
    slip: int = 2,
    regions: dict[str, Any] = REGIONS,
    place: Callable[[str], Place] = lambda _address: Place(),
    health: Mapping[str, float] = {},
    **settings: Any,
) -> Responder:
    """One for the zone of the tests."""
    (directory / "zone").write_text(ZONE)
    section = GeodnsSection(zone="p.example", file=str(directory / "zone"), names=["@", "www"], **settings)
    tables = {name: msgspec.convert(table, RegionSection) for name, table in regions.items()}
    answers = Answers(load(section), {name: table.addresses for name, table in tables.items()}, section.ttl_seconds)
    rules = Rules(Cookies(KEY), Limits(per_second, slip), b"dns-1", section.client_subnet)
    return Responder(rules, Facts(answers, Steering(tables), health), place, lambda _outcome, _many: None)
