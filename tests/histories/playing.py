"""Many clients at once, each doing what its dice say: from a seed, for a while."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.histories.access import Access
from tests.histories.clients import LARGE_BYTES, Client, Ledger, Subject, Way

_FEWEST = 24  # pastes that are being read and changed at a time
_WRONG = "open barley"
# What a new paste is like, and how often.
_KINDS: Sequence[tuple[int, dict[str, Any]]] = [
    (10, {}),
    (3, {"expires_in": 8}),
    (3, {"burn": True}),
    (2, {"max_reads": 3}),
    (2, {"password": "open sesame"}),
]


@dataclass
class Play:
    """The clients, and the pastes that they share; those that have ended are looked at as well."""

    seed: int
    ledger: Ledger
    accesses: tuple[Access, ...]
    clients: int = 12
    pause_seconds: float = 0.5
    live: list[Subject] = field(default_factory=list)
    ended: list[Subject] = field(default_factory=list)
    _made: int = 0
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, seconds: float) -> None:
        """Act for so long; then everybody finishes what is under way."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self.clients):
                    tasks.create_task(self._live(self.client(number), random.Random(self.seed * 1000 + number)))  # noqa: S311
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), seconds)
                self._over.set()
        finally:
            self._over.clear()

    def stop(self) -> None:
        """Before its time."""
        self._over.set()

    def client(self, number: int) -> Client:
        """Every second one has a session, and every fourth of those goes from region to region with it."""
        home = number % len(self.accesses)
        roams = number % 8 == 0
        ways = (*self.accesses[home:], *self.accesses[:home]) if roams else (self.accesses[home],)
        return Client(f"client-{number}", tuple(ways), self.ledger, in_session=number % 2 == 0)

    async def _live(self, client: Client, chance: random.Random) -> None:
        await asyncio.sleep(chance.uniform(0, self.pause_seconds))
        while not self._over.is_set():
            began = time.monotonic()
            await self._act(client, chance)
            pause = chance.expovariate(1 / self.pause_seconds) - (time.monotonic() - began)
            if pause > 0:
                await asyncio.sleep(min(pause, 10 * self.pause_seconds))

    async def _act(self, client: Client, chance: random.Random) -> None:
        roll = chance.random()
        self._sort_out()
        if len(self.live) < _FEWEST or roll < 0.10:
            await self._create(client, chance)
        elif roll < 0.70:
            among = self.ended[-50:] if roll < 0.20 and self.ended else self.live
            await self._look(client, chance, chance.choice(among))
        elif roll < 0.84:
            await self._change(client, chance.choice(self.live), ends=False)
        elif roll < 0.89:
            await self._change(client, chance.choice(self.live), ends=True)
        else:
            await self._reveal(client, chance)

    def _sort_out(self) -> None:
        now = time.monotonic()
        for subject in self.live[:]:
            if subject.is_over or (subject.paste.expires_at or now) < now:
                self.live.remove(subject)
                self.ended.append(subject)

    async def _create(self, client: Client, chance: random.Random) -> None:
        self._made += 1
        key = f"{self.seed}-{self._made}"
        options = dict(chance.choices([kind for _, kind in _KINDS], [weight for weight, _ in _KINDS])[0])
        size = chance.randint(LARGE_BYTES, 600_000) if chance.random() < 0.15 else chance.randint(256, 4000)
        if options.pop("burn", False):
            options["max_reads"] = 1
        access = client.access
        sent = [client.create(key, size, options, access)]
        if chance.random() < 0.2:  # the same once more, at the same moment, from elsewhere
            twin = Client(client.name + "-twin", (chance.choice(self.accesses),), self.ledger, in_session=False)
            sent.append(twin.create(key, size, options))
        made = await asyncio.gather(*sent, return_exceptions=True)
        for one in made:
            if isinstance(one, Subject):
                self.live.append(one)
                break
            if not isinstance(one, LookupError):
                raise one

    async def _look(self, client: Client, chance: random.Random, subject: Subject) -> None:
        ways: list[Way] = ["raw", "raw", "api"] if subject.size >= LARGE_BYTES else ["raw", "raw", "api", "page"]
        await client.read(subject, chance.choice(ways))

    async def _change(self, client: Client, subject: Subject, *, ends: bool) -> None:
        async with subject.lock:
            if subject.is_over:
                return
            if ends:
                await client.delete(subject)
            elif not subject.paste.is_sealed:
                await client.revise(subject)

    async def _reveal(self, client: Client, chance: random.Random) -> None:
        """Several clients at once want the one read that there is; one in ten goes away before the answer comes."""
        sealed = [subject for subject in (*self.live, *self.ended[-20:]) if subject.paste.is_sealed]
        if not sealed:
            await self._create(client, chance)
            return
        subject = chance.choice(sealed)
        others = [self.client(chance.randrange(self.clients)) for _ in range(2 if subject.paste.max_reads else 0)]
        for number, other in enumerate(others):
            other.name, other.in_session = f"{client.name}-rival-{number}", False
        password = _WRONG if chance.random() < 0.1 else "open sesame"
        patience = 0.02 if chance.random() < 0.1 else None
        await asyncio.gather(client.reveal(subject, password, patience), *(other.reveal(subject) for other in others))

    async def look_everywhere(self, most: int = 150) -> None:
        """Once more at everything, in every region, without and with a session."""
        async with asyncio.TaskGroup() as tasks:
            for number, access in enumerate(self.accesses * 2):
                client = Client(f"last-{number}", (access,), self.ledger, in_session=number < len(self.accesses))
                tasks.create_task(_look_at(client, (*self.live, *self.ended)[-most:]))


async def _look_at(client: Client, subjects: Sequence[Subject]) -> None:
    for subject in subjects:
        await client.read(subject, "raw")
