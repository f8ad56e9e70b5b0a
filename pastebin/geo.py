"""Where an address is: by networks that the operator names, else by a database in MaxMind's format."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import maxminddb

from pastebin.errors import ResourceUnavailable
from pastebin.leaves import ELSEWHERE, Leaves
from pastebin.ranges import Ranges, flattened, overlaid
from pastebin.sections import GeoSection

log = logging.getLogger(__name__)

V = TypeVar("V")

_REMEMBERED = 8192
_MOST_KINDS = 65_536
CHECK_SECONDS = 30.0


class Place(NamedTuple):
    """Where an address is; "" and None for unknown.

    `country` is ISO 3166-1 alpha-2, `continent` one of AF, AN, AS, EU, NA, OC, SA. All addresses that share their
    first `prefix_length` bits with the one asked for (of 32 or 128, as it has) get the same answer.
    """

    country: str = ""
    continent: str = ""
    latitude: float | None = None
    longitude: float | None = None
    prefix_length: int = 0


# By the codes of ISO 3166-1, sorted as the UN's M49 regions are: databases of countries alone do not say it.
_CONTINENTS = {
    "AF": "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA"
    " NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    "AN": "AQ BV GS HM TF",
    "AS": "AE AF AM AZ BD BH BN BT CC CN CX CY GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY"
    " NP OM PH PK PS QA SA SG SY TH TJ TL TM TR TW UZ VN YE",
    "EU": "AD AL AT AX BA BE BG BY CH CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK"
    " MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    "NA": "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC"
    " TT US VC VG VI",
    "OC": "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS",
    "SA": "AR BO BR CL CO EC FK GF GY PE PY SR UY VE",
}
_CONTINENT_OF = {country: continent for continent, text in _CONTINENTS.items() for country in text.split()}


class Networks:
    """Networks and their countries, or other labels: the longest that holds an address counts."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        named = {ip_network(text): label for text, label in labels.items()}
        self._ranges = {bits: Ranges(bits, flattened(named, bits)) for bits in (32, 128)}
        self._named = named

    def find(self, address: IPv4Address | IPv6Address) -> tuple[str, int]:
        """The label, or "", and how many bits of the address tell it from all that have another one."""
        label, prefix = self._ranges[address.max_prefixlen].find(int(address))
        return label or "", prefix

    def stretches(self, bits: int) -> Iterator[tuple[int, str | None]]:
        """The same from the first address to the last."""
        return flattened(self._named, bits)


class Database(NamedTuple):
    """One version of the file, and its bytes once more for who wants to see all of it."""

    reader: maxminddb.Reader
    content: mmap
    version: tuple[int, int, int]


class Geo:
    """Answers from memory; a database that is replaced is taken up by `check`, or by `watch` within CHECK_SECONDS."""

    def __init__(self, section: GeoSection) -> None:
        self._path = Path(section.database).expanduser() if section.database else None
        self._networks = Networks(section.networks)
        self._database: Database | None = None
        self._found = lru_cache(_REMEMBERED)(self._find)

    @classmethod
    @contextmanager
    def opened(cls, section: GeoSection) -> Iterator[Geo]:
        """Raises ResourceUnavailable for a database that is missing or is none."""
        geo = cls(section)
        geo._take(geo._read())
        try:
            yield geo
        finally:
            geo._database = None
            geo._found.cache_clear()

    def place(self, address: str) -> Place:
        """Where it is. Never raises: what is no address is nowhere."""
        return self._found(address)

    def check(self) -> bool:
        """Take up the database if its file is another one by now, and say whether it was; blocks while it is read.

        One that cannot be used changes nothing.
        """
        try:
            return self._take(self._read())
        except ResourceUnavailable as error:
            log.warning("the previous database stays in use: %s", error)
            return False

    async def watch(self) -> None:
        """Look for another file for ever."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self._path is None:
                continue
            try:
                self._take(await asyncio.to_thread(self._read))
            except ResourceUnavailable as error:
                log.warning("the previous database stays in use: %s", error)

    @property
    def database(self) -> Database | None:
        """The one that is in use; another object as soon as another one is."""
        return self._database

    def stretches(self, bits: int, kind: Callable[[Place], V]) -> Iterator[tuple[int, V | None]]:
        """What kinds of places there are from the first address of so many bits to the last.

        `kind` is asked once for each record, not for each address. None: to be asked for one by one. May raise what
        a damaged database raises.
        """
        named = (
            (start, None if country is None else kind(_named(country)))
            for start, country in self._networks.stretches(bits)
        )
        found: Iterator[tuple[int, V | None]] = iter([(0, kind(Place()))])
        if self._database is not None:
            found = _walked(self._database, bits, kind)
        return overlaid(named, found)

    def _read(self) -> Database | None:
        """The file as it is now; None where that one is in use. Raises ResourceUnavailable.

        It reads a copy that nobody knows the name of: a file that is written over, not replaced, would end the process.
        """
        if self._path is None:
            return None
        try:
            with self._path.open("rb") as file, tempfile.NamedTemporaryFile(prefix="pastebin-geo-") as copy:
                status = os.fstat(file.fileno())
                version = (status.st_ino, status.st_size, status.st_mtime_ns)
                if self._database is not None and version == self._database.version:
                    return None
                shutil.copyfileobj(file, copy, 1024**2)
                copy.flush()
                reader = maxminddb.open_database(copy.name)
                content = mmap(copy.fileno(), 0, access=ACCESS_READ)
        except OSError as error:
            raise ResourceUnavailable(f"geo.database: {self._path} cannot be read: {error.strerror}") from None
        except maxminddb.InvalidDatabaseError:
            raise ResourceUnavailable(f"geo.database: {self._path} is no database in MaxMind's format") from None
        return Database(reader, content, version)

    def _take(self, read: Database | None) -> bool:
        if read is None:
            return False
        self._database = read
        self._found.cache_clear()
        return True

    def _find(self, text: str) -> Place:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return Place()
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        country, length = self._networks.find(address)
        if country:
            return _named(country)._replace(prefix_length=length)
        record, database_length = self._look_up(address)
        place = _place_of(record)
        return place._replace(prefix_length=max(length, database_length))

    def _look_up(self, address: IPv4Address | IPv6Address) -> tuple[Any, int]:
        if self._database is None:
            return None, 0
        try:
            return self._database.reader.get_with_prefix_len(address)
        except (ValueError, maxminddb.InvalidDatabaseError):  # of IPv4 only; damaged within
            return None, 0


def _named(country: str) -> Place:
    return Place(country, _CONTINENT_OF.get(country, ""))


def _walked(database: Database, bits: int, kind: Callable[[Place], V]) -> Iterator[tuple[int, V | None]]:
    """The kinds of the database's places, each asked for once for as long as there are not too many."""
    about = database.reader.metadata()
    leaves = Leaves(
        database.content, node_count=about.node_count, record_size=about.record_size, ip_version=about.ip_version
    )
    nothing = kind(Place())
    known: dict[int, V | None] = {}
    for start, record in leaves.walk(bits):
        if record not in known:
            if len(known) >= _MOST_KINDS:
                known.clear()
            known[ELSEWHERE], known[about.node_count] = None, nothing
            if record not in known:
                address = IPv4Address(start) if bits == 32 else IPv6Address(start)
                known[record] = kind(_place_of(database.reader.get(address)))
        yield start, known[record]


def _place_of(record: Any) -> Place:
    """From the layout of GeoLite2 and DB-IP, or the flat one of smaller databases; all else in it is ignored."""
    if not isinstance(record, dict):
        return Place()
    location = record.get("location")
    flat = location if isinstance(location, dict) else record
    latitude, longitude = _degrees(flat.get("latitude"), 90), _degrees(flat.get("longitude"), 180)
    if latitude is None or longitude is None:
        latitude = longitude = None
    country = _code(record.get("country"), "iso_code") or _code(record.get("registered_country"), "iso_code")
    country = country or _code(record.get("country_code"), "")
    continent = _code(record.get("continent"), "code") or _CONTINENT_OF.get(country, "")
    return Place(country, continent, latitude, longitude)


def _code(value: Any, member: str) -> str:
    found = value.get(member) if isinstance(value, dict) else value
    if not isinstance(found, str):
        return ""
    return found.upper() if len(found) == 2 and found.isascii() and found.isalpha() else ""


def _degrees(value: Any, limit: int) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and -limit <= value <= limit else None
