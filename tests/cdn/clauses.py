"""How a clause of an RFC is put to an edge: requests one after the other, and what its origin and its client see."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from tests.cdn.origins import Answer, Fields, Origin, answer

_addresses = itertools.count()
_DATE = re.compile(r"\{([+-][0-9]+)\}")


@dataclass(frozen=True)
class Turn:
    """One request to the edge. `gives` or `answer` is what the origin has for it: without, it must not be asked.

    One that bears a date is made when it is its turn: the suite may have been running for longer than it is fresh.

    In `shows` and `sends`, what the client and the origin get to see, None means: not there. The body has to be that
    of the origin's answer; where it is not asked, or has none to give, that of the turn before, or of the turn `like`.
    `content` is the origin's, where it matters; `may_ask` says that it may be asked behind the answer. A request may
    come twice where it finds a connection closed that was idle. An Age may be up to a minute older.

    In values "{+60}" stands for the date a minute from now, and "{address}" and
    "{relative}" for the address of the turns, with and without its first slash.
    """

    gives: Fields | None = None
    gives_status: int = 200
    answer: Answer | Callable[[], Answer] | None = None
    method: str = "GET"
    target: str = ""
    headers: Fields = ()
    data: bytes | None = None
    status: int = 200
    shows: Mapping[str, str | None] = field(default_factory=dict)
    sends: Mapping[str, str | None] = field(default_factory=dict)
    like: int | None = None
    body: bytes | None = None
    content: bytes | None = None
    may_ask: bool = False


@dataclass(frozen=True)
class Seen:
    """What a client got."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


@dataclass(frozen=True)
class Client:
    """Speaks to an edge, and adds nothing of its own to what it is told to say."""

    http: aiohttp.ClientSession
    url: str

    async def ask(self, target: str, headers: Fields = (), *, method: str = "GET", data: bytes | None = None) -> Seen:
        """One request, and the whole answer."""
        lines = CIMultiDict(headers)
        async with self.http.request(
            method,
            f"{self.url}{target}",
            headers=lines,
            data=data,
            allow_redirects=False,
            skip_auto_headers={"Accept", "Accept-Encoding", "User-Agent", "Content-Type"},
        ) as response:
            return Seen(response.status, CIMultiDict(response.headers), await response.read())


async def play(client: Client, origin: Origin, turns: Sequence[Turn]) -> None:
    """Go through the turns on an address that nobody has used."""
    address = f"/clause-{next(_addresses)}"
    start = datetime.now(UTC)

    def put(fields: Fields | Mapping[str, str | None]) -> list[tuple[str, Any]]:
        return [(name, value if value is None else _filled(value, start, address)) for name, value in _items(fields)]

    bodies: list[bytes] = []
    for number, turn in enumerate(turns):
        target = address + turn.target
        given = turn.answer() if callable(turn.answer) else turn.answer
        if given is None and turn.gives is not None:
            body = f"turn {number} of {target}".encode() if turn.content is None else turn.content
            given = answer(turn.gives_status, put(turn.gives), body, is_head=turn.method == "HEAD")
        if given is not None:
            origin.script(target, given)
        before = len(origin.asked(target))
        seen = await client.ask(target, put(turn.headers), method=turn.method, data=turn.data)
        asked = origin.asked(target)[before:]
        is_lost = given is not None and not given.steps
        expected = {1, 2} if is_lost else {0, 1} if turn.may_ask else {int(given is not None)}
        assert len(asked) in expected, f"turn {number}: the origin was asked {len(asked)} times: {seen}"
        assert seen.status == turn.status, f"turn {number}: {seen}"
        _compare(number, seen.headers, dict(put(turn.shows)))
        if asked:
            _compare(number, asked[-1].headers, dict(put(turn.sends)))
        is_own = given is not None and given.body and turn.status == turn.gives_status and turn.gives_status != 304
        bodies.append(given.body if is_own and given is not None else bodies[-1] if bodies else b"")
        wanted = turn.body if turn.body is not None else bodies[number if turn.like is None else turn.like]
        if turn.method == "HEAD" or turn.status in (204, 304):
            wanted = b""
        assert seen.body == wanted or turn.status not in (turn.gives_status, 200), f"turn {number}: {seen}"


def _items(fields: Fields | Mapping[str, str | None]) -> list[tuple[str, str | None]]:
    return list(fields.items() if isinstance(fields, Mapping) else fields)


def _filled(value: str, start: datetime, address: str) -> str:
    def date(found: re.Match[str]) -> str:
        return format_datetime(start + timedelta(seconds=int(found[1])), usegmt=True)

    return _DATE.sub(date, value).replace("{address}", address).replace("{relative}", address[1:])


def _compare(number: int, headers: CIMultiDict[str], expected: Mapping[str, str | None]) -> None:
    for name, value in expected.items():
        found = ", ".join(headers.getall(name)) if name in headers else None
        if name == "Age" and value is not None:
            assert int(value) <= int(found or -1) < int(value) + 60, f"turn {number}: {name} is {found!r}"
        else:
            assert found == value, f"turn {number}: {name} is {found!r}"


def clause(section: str, says: str, *turns: Turn) -> Any:
    """A parameter of a test: these turns, under a name that tells where the rule stands."""
    return pytest.param(turns, id=f"{section}: {says}")


def miss(gives: Fields, **more: Any) -> Turn:
    """A request that the origin gets to answer."""
    return Turn(gives=gives, **more)


def hit(**more: Any) -> Turn:
    """A request that the origin does not get to see."""
    return Turn(**more)


def unchanged(gives: Fields = (), **more: Any) -> Turn:
    """A request for which the origin is asked whether something has changed, and says no."""
    return Turn(gives=gives, gives_status=304, **more)
