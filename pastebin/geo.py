"""Where an address is: by networks that the operator names, else by a database in MaxMind's format."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import maxminddb

from pastebin.errors import ResourceUnavailable
from pastebin.sections import GeoSection

log = logging.getLogger(__name__)

_REMEMBERED = 8192
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


class _Node:
    """A bit of a network; `country` is set where a network ends."""

    __slots__ = ("country", "one", "zero")

    def __init__(self) -> None:
        self.zero: _Node | None = None
        self.one: _Node | None = None
        self.country = ""


class Networks:
    """Networks and their countries: the longest that holds an address counts."""

    def __init__(self, countries: Mapping[str, str]) -> None:
        self._roots = {32: _Node(), 128: _Node()}
        for text, country in countries.items():
            network = ip_network(text)
            node = self._roots[network.max_prefixlen]
            bits = int(network.network_address)
            for place in range(network.max_prefixlen - 1, network.max_prefixlen - 1 - network.prefixlen, -1):
                node = _child(node, is_one=bool(bits >> place & 1))
            node.country = country

    def find(self, address: IPv4Address | IPv6Address) -> tuple[str, int]:
        """The country, or "", and how many bits of the address it took to know that no other network counts."""
        node: _Node | None = self._roots[address.max_prefixlen]
        bits, country, depth = int(address), "", 0
        for place in range(address.max_prefixlen - 1, -1, -1):
            assert node is not None  # noqa: S101  (the loop ends below where there is no child)
            country = node.country or country
            if node.zero is None and node.one is None:
                return country, depth
            node, depth = (node.one if bits >> place & 1 else node.zero), depth + 1
            if node is None:
                return country, depth
        return (node.country if node else "") or country, depth


def _child(node: _Node, *, is_one: bool) -> _Node:
    found = node.one if is_one else node.zero
    if found is None:
        found = _Node()
        if is_one:
            node.one = found
        else:
            node.zero = found
    return found


class Geo:
    """Answers from memory; a database that is replaced is taken up by `check`, or by `watch` within CHECK_SECONDS."""

    def __init__(self, section: GeoSection) -> None:
        self._path = Path(section.database).expanduser() if section.database else None
        self._networks = Networks(section.networks)
        self._reader: maxminddb.Reader | None = None
        self._version: tuple[int, int, int] | None = None
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
            geo._reader = None
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

    def _read(self) -> tuple[maxminddb.Reader, tuple[int, int, int]] | None:
        """A reader of the file, and which version it is; None where that one is in use. Raises ResourceUnavailable.

        It reads a copy that nobody knows the name of: a file that is written over, not replaced, would end the process.
        """
        if self._path is None:
            return None
        try:
            with self._path.open("rb") as file, tempfile.NamedTemporaryFile(prefix="pastebin-geo-") as copy:
                status = os.fstat(file.fileno())
                version = (status.st_ino, status.st_size, status.st_mtime_ns)
                if version == self._version:
                    return None
                shutil.copyfileobj(file, copy, 1024**2)
                copy.flush()
                reader = maxminddb.open_database(copy.name)
        except OSError as error:
            raise ResourceUnavailable(f"geo.database: {self._path} cannot be read: {error.strerror}") from None
        except maxminddb.InvalidDatabaseError:
            raise ResourceUnavailable(f"geo.database: {self._path} is no database in MaxMind's format") from None
        return reader, version

    def _take(self, read: tuple[maxminddb.Reader, tuple[int, int, int]] | None) -> bool:
        if read is None:
            return False
        self._reader, self._version = read
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
            return Place(country, _CONTINENT_OF.get(country, ""), prefix_length=length)
        record, database_length = self._look_up(address)
        place = _place_of(record)
        return place._replace(prefix_length=max(length, database_length))

    def _look_up(self, address: IPv4Address | IPv6Address) -> tuple[Any, int]:
        if self._reader is None:
            return None, 0
        try:
            return self._reader.get_with_prefix_len(address)
        except (ValueError, maxminddb.InvalidDatabaseError):  # of IPv4 only; damaged within
            return None, 0


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
