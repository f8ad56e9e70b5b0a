"""A history of what clients did at several edges at once, and whether anything in it cannot have been."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from tests.nodes import Node
from tests.scenarios.points import Point

TOKEN = "Pastebin-Consistency"
_SECONDS = 10.0
_OPERATIONS_PER_SECOND = 80.0
_CLIENTS = 12
_PASTES = 24  # that are being read and changed at a time
_GONE = -1


@dataclass(frozen=True)
class Event:
    """One operation on one paste: its version after a write, or as it was read; _GONE if there is none."""

    kind: Literal["create", "revise", "delete", "read"]
    client: int
    place: str
    asked_at: float
    answered_at: float
    version: int
    in_session: bool = False
    how: str = ""


@dataclass
class Subject:
    """A paste, and the lock that keeps its writers apart, so that its versions have an order."""

    slug: str
    token: str
    version: int = 0
    is_gone: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    events: list[Event] = field(default_factory=list)


@dataclass
class History:
    """Clients that do things by chance, from a seed, each with a session of its own."""

    chance: random.Random
    nodes: tuple[Node, ...]
    points: tuple[Point, ...]
    subjects: list[Subject] = field(default_factory=list)
    live: list[Subject] = field(default_factory=list)
    sessions: dict[int, str] = field(default_factory=dict)
    busy: set[tuple[int, str]] = field(default_factory=set)

    async def act(self, client: int) -> None:
        roll = self.chance.random()
        if len(self.live) < _PASTES or roll < 0.05:
            await self._create(client)
        elif roll < 0.80:
            # mostly the latest: those change while edges ask for them
            among = self.live if roll < 0.65 else self.subjects
            await self.read(client, self.chance.choice(among), self.chance.choice(self.points))
        elif roll < 0.94:
            await self._revise(client, self.chance.choice(self.live))
        else:
            await self._delete(client, self.chance.choice(self.live))

    async def _create(self, client: int) -> None:
        node, asked_at = self.chance.choice(self.nodes), time.monotonic()
        paste = await node.paste("0 first\n")
        subject = Subject(paste["slug"], paste["token"])
        subject.events.append(Event("create", client, node.url, asked_at, time.monotonic(), 0))
        self.subjects.append(subject)
        self.live.append(subject)

    async def _revise(self, client: int, subject: Subject) -> None:
        node = self.chance.choice(self.nodes)
        async with subject.lock:
            if subject.is_gone:
                return
            version, asked_at = subject.version + 1, time.monotonic()
            async with node.http.patch(
                f"{node.url}/api/v1/pastes/{subject.slug}",
                json={"content": f"{version} text\n"},
                headers=self._headers(client, subject),
            ) as response:
                assert response.status == 200, await response.text()
                self.sessions[client] = response.headers[TOKEN]
            subject.version = version
            subject.events.append(Event("revise", client, node.url, asked_at, time.monotonic(), version))

    async def _delete(self, client: int, subject: Subject) -> None:
        node = self.chance.choice(self.nodes)
        async with subject.lock:
            if subject.is_gone:
                return
            asked_at = time.monotonic()
            async with node.http.delete(
                f"{node.url}/api/v1/pastes/{subject.slug}", headers=self._headers(client, subject)
            ) as response:
                assert response.status == 204, await response.text()
                assert response.headers["Pastebin-Purge"].startswith("confirmed")
            subject.is_gone = True
            subject.events.append(Event("delete", client, node.url, asked_at, time.monotonic(), _GONE))
            self.live.remove(subject)

    def _headers(self, client: int, subject: Subject) -> dict[str, str]:
        return {"Authorization": f"Bearer {subject.token}", TOKEN: self.sessions.get(client, "")}

    @property
    def events(self) -> list[Event]:
        return [event for subject in self.subjects for event in subject.events]

    async def read(self, client: int, subject: Subject, at: Point) -> None:
        in_session = client % 2 == 0
        headers: dict[str, str] = {TOKEN: self.sessions.get(client, "")} if in_session else {}
        asked_at = time.monotonic()
        answer = await at.get(f"/{subject.slug}/raw", **headers)
        assert answer.status in (200, 404), answer
        if in_session:
            self.sessions[client] = answer.headers.get(TOKEN, self.sessions.get(client, ""))
        version = int(answer.body.split()[0]) if answer.status == 200 else _GONE
        how = answer.headers["Cache-Status"]
        now = time.monotonic()
        subject.events.append(Event("read", client, at.name, asked_at, now, version, in_session, how))


def wrong(subject: Subject) -> list[str]:
    """What cannot have been: something older than was acknowledged, the return of what is gone, a session gone back."""
    found: list[str] = []
    writes = [event for event in subject.events if event.kind != "read"]
    latest: dict[int, float] = defaultdict(lambda: 0.0)
    for event in sorted((event for event in subject.events if event.kind == "read"), key=lambda read: read.asked_at):
        known = [write for write in writes if write.answered_at < event.asked_at]
        begun = [write for write in writes if write.asked_at < event.answered_at]
        rank = _rank(event)
        if known and rank < max(map(_rank, known)):
            found.append(f"older than what was acknowledged: {event}, {known[-1]}")
        if rank > max(map(_rank, begun)):
            found.append(f"newer than anything written: {event}")
        if event.in_session:
            if rank < latest[event.client]:
                found.append(f"a session went back from {latest[event.client]}: {event}")
            latest[event.client] = max(latest[event.client], rank)
    return found


def _rank(event: Event) -> float:
    """Versions follow each other, and nothing follows the end."""
    return float("inf") if event.version == _GONE else event.version


async def play(seed: int, nodes: tuple[Node, ...], points: tuple[Point, ...]) -> History:
    """Let clients act for some seconds; then look at everything once more, everywhere."""
    history = History(random.Random(seed), nodes, points)  # noqa: S311  (no secret)
    began = time.monotonic()
    turns = [asyncio.Lock() for _ in range(_CLIENTS)]  # a client does one thing after the other

    async def act(number: int) -> None:
        async with turns[number % _CLIENTS]:
            await history.act(number % _CLIENTS)

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(_SECONDS * _OPERATIONS_PER_SECOND)):
            tasks.create_task(act(number))
            await asyncio.sleep(began + number / _OPERATIONS_PER_SECOND - time.monotonic())
    for at in points:
        for subject in history.subjects:
            await history.read(0, subject, at)
    return history
