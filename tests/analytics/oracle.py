"""What an engine should answer, computed from the events in the plainest way; and events made from a seed."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec

from pastebin.analytics.engines import Dimension, Filter, Span, Stock, Totals
from pastebin.visits import Batch, Change, Visit

MIDNIGHT = datetime(2026, 3, 29, tzinfo=UTC)
SALT_LATENESS = timedelta(minutes=7)
_HOUR_MS = 3_600_000


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class Oracle:
    """Remembers every event that was taken, once, by its node and number."""

    def __init__(self) -> None:
        self.visits: dict[tuple[str, int], Visit] = {}
        self.changes: dict[tuple[str, int], Change] = {}
        self.batches: set[str] = set()
        self._known: tuple[int, set[tuple[str, int]]] = (0, set())

    def take(self, batch: Batch) -> bool:
        if batch.id in self.batches:
            return False
        self.batches.add(batch.id)
        for visit in batch.visits:
            self.visits.setdefault((batch.node, visit.number), visit)
        for change in batch.changes:
            self.changes.setdefault((batch.node, change.number), change)
        return True

    def totals(self, span: Span, which: Filter) -> Totals:
        return _sum(self._chosen(span, which), self._newcomers())

    def series(self, edges: Sequence[datetime], which: Filter) -> list[Totals]:
        return [self.totals(Span(*pair), which) for pair in pairwise(edges)]

    def breakdown(
        self, dimension: Dimension, span: Span, which: Filter, limit: int, after: tuple[int, str] | None = None
    ) -> list[tuple[str, Totals]]:
        groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
        if dimension == "syntax":
            found = self._syntaxes(span, which)
        else:
            for key in self._chosen(span, which):
                groups[str(getattr(self.visits[key], dimension))].append(key)
            newcomers = self._newcomers()
            found = [(value, self._sum_of(keys, newcomers)) for value, keys in groups.items()]
        found.sort(key=lambda one: (-one[1].visits, one[0].encode()))
        if after is not None:
            found = [one for one in found if (-one[1].visits, one[0].encode()) > (-after[0], after[1].encode())]
        return found[:limit]

    def stock(self, edges: Sequence[datetime]) -> list[Stock]:
        answers = []
        for since, until in pairwise(edges):
            counts: dict[str, int] = defaultdict(int)
            created = 0
            for change in self.changes.values():
                if milliseconds(since) <= change.at_ms < milliseconds(until):
                    counts[change.kind] += 1
                    created += change.size if change.kind == "created" else 0
            answers.append(Stock(dict(counts), created))
        return answers

    def _sum_of(self, keys: Iterable[tuple[str, int]], newcomers: set[tuple[str, int]]) -> Totals:
        return _sum({key: self.visits[key] for key in keys}, newcomers)

    def _chosen(self, span: Span, which: Filter) -> dict[tuple[str, int], Visit]:
        since, until = milliseconds(span.since), milliseconds(span.until)
        return {
            key: visit
            for key, visit in self.visits.items()
            if since <= visit.at_ms < until
            and (which.slug is None or visit.slug == which.slug)
            and (which.audience == "all" or visit.is_bot == (which.audience == "bots"))
        }

    def _newcomers(self) -> set[tuple[str, int]]:
        """The visits that are the first of a visitor in a period, unless she was still there from the one before."""
        if self._known[0] != len(self.visits):
            self._known = (len(self.visits), self._found_newcomers())
        return self._known[1]

    def _found_newcomers(self) -> set[tuple[str, int]]:
        first: dict[tuple[int, int], tuple[str, int]] = {}
        last_at: dict[tuple[int, int], int] = defaultdict(int)
        for key, visit in self.visits.items():
            if not visit.visitor:
                continue
            who = (visit.period, visit.visitor)
            last_at[who] = max(last_at[who], visit.at_ms)
            if who not in first or visit.at_ms < self.visits[first[who]].at_ms:
                first[who] = key
        return {
            key
            for (period, _), key in first.items()
            if not (before := self.visits[key].visitor_before)
            or (period - 1, before) not in last_at
            or last_at[period - 1, before] < self.visits[key].at_ms - _HOUR_MS
        }

    def _syntaxes(self, span: Span, which: Filter) -> list[tuple[str, Totals]]:
        found: dict[str, Totals] = defaultdict(Totals)
        for change in self.changes.values():
            inside = milliseconds(span.since) <= change.at_ms < milliseconds(span.until)
            if inside and change.kind == "created" and which.slug in (None, change.slug):
                old = found[change.syntax]
                found[change.syntax] = Totals(visits=old.visits + 1, bytes=old.bytes + change.size)
        return list(found.items())


def _sum(visits: dict[tuple[str, int], Visit], newcomers: set[tuple[str, int]]) -> Totals:
    return Totals(
        visits=sum(visit.weight for visit in visits.values()),
        visitors=sum(key in newcomers for key in visits),
        bytes=sum(visit.bytes * visit.weight for visit in visits.values()),
        hits=sum(visit.weight for visit in visits.values() if visit.cache in ("hit", "stale")),
        errors=sum(visit.weight for visit in visits.values() if visit.status >= 500),
        duration_us=sum(visit.duration_us * visit.weight for visit in visits.values()),
    )


def visit(number: int, at: datetime, **changed: object) -> Visit:
    """An ordinary one, but for what is `changed`."""
    plain = Visit(
        number=number,
        at_ms=milliseconds(at),
        slug="abc",
        file="",
        kind="page",
        cache="hit",
        region="eu",
        pop="fra1",
        country="IL",
        referrer="",
        agent="Firefox",
        agent_class="browser",
        is_bot=False,
        status=200,
        bytes=1000,
        duration_us=500,
        weight=1,
        period=milliseconds(at) // (24 * _HOUR_MS),
        visitor=0,
        visitor_before=0,
    )
    return msgspec.structs.replace(plain, **changed)


def change(number: int, at: datetime, kind: str = "created", **changed: object) -> Change:
    plain = Change(number, milliseconds(at), kind, "abc", 100, "python")  # type: ignore[arg-type]
    return msgspec.structs.replace(plain, **changed)


class Generator:
    """Batches of several nodes around midnight, with visitors who stay, bots, samples, errors and changes.

    No two events bear the same time, so that the first visit of anybody is told by its time alone. Nodes of the region
    "us" learn of a new salt `SALT_LATENESS` after midnight.
    """

    def __init__(self, seed: int, *, nodes: int = 3, slugs: int = 12, readers: int = 60) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._nodes = [f"node-{number}" for number in range(nodes)]
        self._numbers = dict.fromkeys([*self._nodes, "history"], 0)
        self._slugs = [f"paste{number}" for number in range(slugs)]
        self._readers = readers
        self._seed = seed
        self._used: set[int] = set()

    def batches(self, count: int, events: int, since: datetime, until: datetime) -> list[Batch]:
        """Each node's in order, the nodes mixed."""
        made = []
        for index in range(count):
            if index % 5 == 4:
                changes = [self._change(since, until) for _ in range(events // 10 + 1)]
                made.append(Batch(f"changes-{index}", "history", changes=changes))
                continue
            node = self._random.choice(self._nodes)
            visits = [self._visit(node, since, until) for _ in range(events)]
            made.append(Batch(f"{node}:{index}", node, visits=visits))
        return made

    def shuffled(self, batches: Sequence[Batch], *, duplicates: float, disorder: float) -> list[Batch]:
        """As a bad network delivers them: some twice, some late, some events once more in a batch of another id."""
        late = [batch for batch in batches if self._random.random() < disorder]
        arriving = [batch for batch in batches if batch not in late]
        for batch in late:
            arriving.insert(self._random.randrange(len(arriving) + 1), batch)
        for batch in batches:
            if self._random.random() < duplicates:
                again = batch
                if self._random.random() < 0.5:
                    again = msgspec.structs.replace(
                        batch, id=f"{batch.id}:again", visits=batch.visits[::2], changes=batch.changes[::2]
                    )
                arriving.insert(self._random.randrange(len(arriving) + 1), again)
        return arriving

    def _number(self, node: str) -> int:
        self._numbers[node] += 1
        return self._numbers[node]

    def _moment(self, since: datetime, until: datetime) -> int:
        while (at := self._random.randrange(milliseconds(since), milliseconds(until))) in self._used:
            pass
        self._used.add(at)
        return at

    def _visit(self, node: str, since: datetime, until: datetime) -> Visit:
        choice, at = self._random.choice, self._moment(since, until)
        moment = datetime.fromtimestamp(at / 1000, UTC)
        reader, slug, region = self._random.randrange(self._readers), choice(self._slugs), choice(["eu", "us", "il"])
        period = milliseconds(moment - (SALT_LATENESS if region == "us" else timedelta())) // (24 * _HOUR_MS)
        is_nobody = reader % 10 == 0
        return visit(
            self._number(node),
            moment,
            at_ms=at,
            slug=slug,
            file=choice(["", "", "a.py", "b é.txt"]),
            kind=choice(["page", "raw", "api", "download", "embed"]),
            cache=choice(["hit", "hit", "stale", "miss", "pass", "none"]),
            region=region,
            pop=f"{region}1",
            country=choice(["IL", "DE", "US", ""]),
            referrer=choice(["", "news.example", "ä.example"]),
            agent=f"agent{reader % 4}",
            agent_class="bot" if reader % 7 == 0 else "browser",
            is_bot=reader % 7 == 0,
            status=choice([200, 200, 200, 206, 304, 503]),
            bytes=self._random.randrange(100_000),
            duration_us=self._random.randrange(50_000),
            weight=choice([1, 1, 1, 1, 20]),
            period=period,
            visitor=0 if is_nobody else self._pseudonym(reader, slug, period),
            visitor_before=0 if is_nobody else self._pseudonym(reader, slug, period - 1),
        )

    def _pseudonym(self, reader: int, slug: str, period: int) -> int:
        return random.Random(f"{self._seed}:{reader}:{slug}:{period}").getrandbits(63)  # noqa: S311

    def _change(self, since: datetime, until: datetime) -> Change:
        choice = self._random.choice
        kind = choice(["created", "created", "revised", "deleted", "expired", "burned", "reported", "taken_down"])
        return Change(
            self._number("history"),
            self._moment(since, until),
            kind,
            choice(self._slugs),
            self._random.randrange(10_000),
            choice(["python", "text", ""]),
        )
