"""Zone files (RFC 1035, 5), read to their end: a mistake in one line hides none in the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.zonefile
from dns.rdata import Rdata
from dns.rrset import RRset

from pastebin.errors import ConfigError, Problem
from pastebin.geodns.mistakes import explained

_FILE_BYTES = 16 * 1024**2
_NAME = "zone"  # what the reader calls the file before the number of a line
# whatever can hold a parenthesis that is none, and parentheses
_PARTS = re.compile(r'\\.|"(?:\\.|[^"\\])*"|;.*|[()]')

# $UNICODE changes how names are read, for a reader that has said it may, and $INCLUDE reads other files
_DIRECTIVES = ("$GENERATE", "$ORIGIN", "$TTL")


@dataclass(frozen=True, slots=True)
class Contents:
    """The records of a file, the lines on which those of a name and type begin, and lines with what is wrong there."""

    rrsets: list[RRset]
    lines: dict[tuple[dns.name.Name, int], int] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)


def read(path: str, origin: dns.name.Name) -> Contents:
    """Every record of a file, those outside the zone too.

    Blocks. Raises ConfigError for a file that cannot be read at all.
    """
    collector = _Collector(origin)
    transaction: Any = collector  # as much of one as the reader uses
    tokens = dns.tokenizer.Tokenizer("", _NAME)
    reader = dns.zonefile.Reader(tokens, dns.rdataclass.IN, transaction, allow_directives=_DIRECTIVES)
    reader.zone_origin = dns.name.root  # else it leaves out, without a word, what lies outside the zone
    for line, entry in _entries(_text(Path(path).expanduser())):
        collector.line = line
        reader.tok = dns.tokenizer.Tokenizer(entry, _NAME)
        try:
            reader.read()
        except (dns.exception.DNSException, ValueError) as error:
            collector.tell(explained(entry, error))
    return Contents(list(collector.rrsets.values()), collector.lines, collector.mistakes)


class _Collector:
    """Takes what the reader finds: what dnspython's own do, but for refusing and replacing records without a word."""

    def __init__(self, origin: dns.name.Name) -> None:
        self.rrsets: dict[tuple[dns.name.Name, int, int], RRset] = {}
        self.lines: dict[tuple[dns.name.Name, int], int] = {}
        self.line = 0
        self.manager = self
        self._origin = origin
        self.mistakes: list[tuple[int, str]] = []

    def tell(self, wrong: str) -> None:
        self.mistakes.append((self.line, wrong))

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return self._origin, False, self._origin

    def check_put_rdataset(self, _check: Any) -> None:
        """What goes together is looked at when all of it is known."""

    def _set_origin(self, _origin: dns.name.Name) -> None:
        """The reader knows it."""

    def add(self, name: dns.name.Name, ttl: int, rdata: Rdata) -> None:
        type_, covers = rdata.rdtype, rdata.covers()
        key = (name, int(type_), int(covers))
        if (rrset := self.rrsets.get(key)) is None:
            rrset = self.rrsets[key] = RRset(name, dns.rdataclass.IN, type_, covers)
            self.lines.setdefault((name, int(type_)), self.line)
        if dns.rdatatype.is_singleton(type_) and len(rrset) and rdata not in rrset:
            self.tell(f"{name} {dns.rdatatype.to_text(type_)} stands there more than once")
            return
        rrset.add(rdata, ttl)


def _text(place: Path) -> str:
    try:
        if place.stat().st_size > _FILE_BYTES:
            raise ConfigError([Problem("geodns.file", f"{place} is larger than {_FILE_BYTES} bytes")])
        text = place.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem("geodns.file", f"{place} cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem("geodns.file", f"{place} is no text")]) from None
    if "\0" in text:
        raise ConfigError([Problem("geodns.file", f"{place} is no text")])
    return text


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those between parentheses as one."""
    first, pending, depth = 1, "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if not pending:
            first = number
        pending += line + "\n"
        for part in _PARTS.findall(line):
            depth += (part == "(") - (part == ")")
        if depth <= 0:
            yield first, pending
            pending, depth = "", 0
    if pending:
        yield first, pending
