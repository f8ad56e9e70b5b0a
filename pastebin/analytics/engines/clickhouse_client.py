"""ClickHouse over its HTTP interface: statements of ours, values of others only as data in the body.

A statement is text of this package and whole numbers. Whatever came from outside travels in an external table (a part
of a multipart body, which every version understands) or as the rows of an insert, so that no text is ever quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec

from pastebin.errors import ConfigError, Problem, Unavailable
from pastebin.sections import Secret

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_CODE = re.compile(r"\bCode: (\d+)")
# src/Common/ErrorCodes.cpp of ClickHouse; what is not listed is told by its number.
_REASONS = {
    60: "one of its tables is missing",
    81: "its database is missing",
    159: "it did not answer in time",
    192: "it refuses the user or the password",
    193: "it refuses the user or the password",
    194: "it refuses the user or the password",
    202: "it has too much to do",
    241: "it has not enough memory",
    243: "its disk is full",
    252: "it has too much to do",
    497: "the user may not do this",
    516: "it refuses the user or the password",
}
_SLACK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ClickHouse is, and as whom it is asked."""

    url: str
    database: str
    user: str
    key: Secret = field(default_factory=Secret)

    @classmethod
    def parsed(cls, text: str) -> Place:
        """From http(s)://user:password@host:port/name. Raises ConfigError, which does not repeat the text."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port or (8443 if parts.scheme == "https" else 8123)
        except ValueError:
            raise _wrong("the host or port of ClickHouse is malformed") from None
        database = parts.path.strip("/")
        if not host or not _NAME.fullmatch(database):
            allowed = "http(s)://user:password@host:8123/name; the name has letters, digits and '_'"
            raise _wrong(f"for ClickHouse it must be {allowed}")
        host = f"[{host}]" if ":" in host else host
        user = unquote(parts.username or "default")
        return cls(f"{parts.scheme}://{host}:{port}/", database, user, Secret(unquote(parts.password or "")))


@dataclass(frozen=True, slots=True)
class Table:
    """An external table: rows that go along with one question, as if they were in the database."""

    name: str
    structure: str
    rows: Sequence[Mapping[str, Any]]


class Client:
    """Asks one server. Every method raises Unavailable, which says in words what is wrong."""

    def __init__(self, http: aiohttp.ClientSession, place: Place) -> None:
        self._http = http
        self._place = place
        self.settings: dict[str, str] = {}

    async def ask(self, sql: str, tables: Sequence[Table] = (), *, seconds: float, nowhere: bool = False) -> list[Any]:
        """The rows of a question, each a list. `nowhere`: the database may not exist yet."""
        params = {"query": f"{' '.join(sql.split())} format JSONCompact"} | self._given(seconds, nowhere=nowhere)
        if not tables:
            return _rows(await self._post(params, b"", seconds))
        # a filename makes it a file for the server, and thereby a table
        body = aiohttp.MultipartWriter("form-data")
        for table in tables:
            params |= {f"{table.name}_structure": table.structure, f"{table.name}_format": "JSONEachRow"}
            part = body.append(msgspec.json.Encoder().encode_lines(table.rows))
            part.set_content_disposition("form-data", name=table.name, filename=table.name)
        return _rows(await self._post(params, body, seconds))

    async def insert(self, table: str, rows: Sequence[Any], *, seconds: float) -> None:
        """Keep rows, in as many parts as they have partitions; each is kept whole or not at all."""
        params = {"query": f"insert into {table} format JSONEachRow"} | self._given(seconds)
        await self._post(params, msgspec.json.Encoder().encode_lines(rows), seconds)

    async def command(self, sql: str, *, seconds: float, nowhere: bool = False) -> None:
        """A statement without an answer."""
        await self._post(self._given(seconds, nowhere=nowhere), sql.encode(), seconds)

    def _given(self, seconds: float, *, nowhere: bool = False) -> dict[str, str]:
        """`wait_end_of_query`: the status is that of the whole answer, not of its beginning."""
        given = {
            "wait_end_of_query": "1",
            "max_execution_time": str(ceil(seconds)),
            "output_format_json_quote_64bit_integers": "0",
            "join_use_nulls": "0",
        }
        return given | ({} if nowhere else {"database": self._place.database} | self.settings)

    async def _post(self, params: dict[str, str], body: bytes | aiohttp.MultipartWriter, seconds: float) -> bytes:
        headers = {"X-ClickHouse-User": self._place.user, "X-ClickHouse-Key": self._place.key.reveal()}
        timeout = aiohttp.ClientTimeout(total=seconds + _SLACK_SECONDS)
        try:
            async with self._http.post(
                self._place.url, params=params, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                said = await answer.read()
        except TimeoutError:
            raise Unavailable("the analytics database does not answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError):  # ValueError: a header that cannot be sent
            raise Unavailable("the analytics database cannot be reached") from None
        if answer.status == 200:
            return said
        raise _refusal(answer.status, said)


def _wrong(message: str) -> ConfigError:
    return ConfigError([Problem("analytics.database", message)])


def _refusal(status: int, said: bytes) -> Unavailable:
    """What the server says may repeat what it was given: only its number is told on."""
    text = said.decode(errors="replace")
    match = _CODE.search(text)
    code = int(match[1]) if match else 0
    if "No space left on device" in text:
        reason = "its disk is full"
    else:
        reason = _REASONS.get(
            code, f"ClickHouse error {code}" if match else f"status {status} is no answer of ClickHouse"
        )
    return Unavailable(f"the analytics database cannot be used: {reason}")


def _rows(said: bytes) -> list[Any]:
    try:
        answer = msgspec.json.decode(said)
        return list(answer["data"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise Unavailable("the analytics database's answer cannot be understood") from None
