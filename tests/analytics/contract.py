"""What every engine promises, as one class: an engine's tests inherit from it and say how theirs is opened."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pastebin.analytics.engines import Audience, Dimension, Engine, Filter, Span, Stock, Totals
from pastebin.visits import Batch, Visit
from tests.analytics.oracle import MIDNIGHT, SALT_LATENESS, Generator, Oracle, change, visit

# Opens an engine on the database of the test; again for another node, or after a death.
Opening = Callable[..., AbstractAsyncContextManager[Engine]]

SINCE, UNTIL = MIDNIGHT - timedelta(hours=3), MIDNIGHT + timedelta(hours=2)
WHOLE = Span(SINCE, UNTIL)
LATER = UNTIL + timedelta(hours=1)
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
AUDIENCES: tuple[Audience, ...] = get_args(Audience)
EVERYBODY = Filter(audience="all")
PERIOD = int(MIDNIGHT.timestamp()) // 86400


def one_batch(*visits: Visit, name: str = "one", node: str = "node") -> Batch:
    return Batch(name, node, visits=list(visits))


async def agree(engine: Engine, oracle: Oracle, *, slugs: tuple[str | None, ...] = (None, "paste3")) -> None:
    """Everything that can be asked about these five hours has the oracle's answer."""
    quarters = [SINCE + timedelta(minutes=15 * step) for step in range(21)]
    odd = [SINCE + timedelta(minutes=minute) for minute in (0, 7, 60, 61, 121, 179, 180, 181, 240, 299, 300)]
    for slug in slugs:
        for audience in AUDIENCES:
            which = Filter(slug, audience)
            assert await engine.totals(WHOLE, which) == oracle.totals(WHOLE, which)
            for edges in (quarters, odd, [SINCE, MIDNIGHT, UNTIL]):
                assert await engine.series(edges, which) == oracle.series(edges, which)
        for dimension in DIMENSIONS:
            which = Filter(slug)
            for span in (WHOLE, Span(odd[1], odd[-3])):
                asked = (dimension, span, which, 1000)
                assert await engine.breakdown(*asked) == oracle.breakdown(*asked), dimension
    assert await engine.stock(odd) == oracle.stock(odd)


class EngineContract:
    """Subclasses have a fixture `opening`."""

    async def test_nothing_taken_is_nothing_told(self, opening: Opening) -> None:
        async with opening() as engine:
            assert await engine.totals(WHOLE, Filter()) == Totals()
            assert await engine.series([SINCE, MIDNIGHT, UNTIL], Filter("abc")) == [Totals(), Totals()]
            assert await engine.breakdown("country", WHOLE, Filter(), 10) == []
            assert await engine.stock([SINCE, UNTIL]) == [Stock()]
            await engine.roll(LATER)
            await engine.retain(LATER)
            assert await engine.totals(WHOLE, Filter()) == Totals()

    @pytest.mark.parametrize("seed", [1, 2])
    async def test_answers_are_those_of_the_oracle(self, opening: Opening, seed: int) -> None:
        """Duplicates, late and disordered batches, rolled at odd moments, by two nodes."""
        made = Generator(seed)
        batches = made.batches(25, 40, SINCE, UNTIL)
        oracle, chance = Oracle(), random.Random(seed)  # noqa: S311
        async with opening() as one, opening() as other:
            for batch in made.shuffled(batches, duplicates=0.3, disorder=0.1):
                engine = chance.choice([one, other])
                assert await engine.take(batch, UNTIL) == oracle.take(batch)
                if chance.random() < 0.2:
                    await engine.roll(chance.choice([MIDNIGHT, UNTIL, LATER]))
            await agree(one, oracle)
            await other.roll(LATER)
            await agree(one, oracle)
            await agree(other, oracle, slugs=(None,))

    async def test_a_batch_is_taken_once(self, opening: Opening) -> None:
        batch = Batch("b", "node", [visit(1, MIDNIGHT), visit(2, MIDNIGHT)], [change(1, MIDNIGHT)])
        async with opening() as engine, opening() as other:
            assert await engine.take(batch, UNTIL) is True
            before = await engine.totals(WHOLE, Filter())
            assert before.visits == 2
            for again in (engine, other, engine):
                assert await again.take(batch, LATER) is False
            await engine.roll(LATER)
            assert await engine.take(batch, LATER) is False
            assert await engine.totals(WHOLE, Filter()) == before
            assert await engine.stock([SINCE, UNTIL]) == [Stock({"created": 1}, 100)]

    async def test_the_same_batch_many_times_at_once_is_taken_once(self, opening: Opening) -> None:
        batch = one_batch(*(visit(number, MIDNIGHT) for number in range(50)))
        async with opening() as engine, opening() as other:
            taken = await asyncio.gather(*(each.take(batch, UNTIL) for each in (engine, other) * 4))
            assert sum(taken) == 1
            assert (await other.totals(WHOLE, Filter())).visits == 50

    async def test_an_event_is_known_by_node_and_number(self, opening: Opening) -> None:
        """Sent again in another batch, or twice in one, it counts once; the same number of another node is another."""
        first, second, third = (visit(number, MIDNIGHT) for number in (1, 2, 3))
        async with opening() as engine:
            await engine.take(one_batch(first, second, name="a"), UNTIL)
            await engine.take(one_batch(second, third, third, name="b"), UNTIL)
            await engine.take(one_batch(second, third, name="c", node="other"), UNTIL)
            await engine.take(Batch("d", "history", changes=[change(1, MIDNIGHT), change(1, MIDNIGHT)]), UNTIL)
            await engine.take(Batch("e", "history", changes=[change(1, MIDNIGHT), change(2, MIDNIGHT)]), UNTIL)
            assert (await engine.totals(WHOLE, Filter())).visits == 5
            assert await engine.stock([SINCE, UNTIL]) == [Stock({"created": 2}, 200)]

    async def test_an_empty_batch_is_a_batch(self, opening: Opening) -> None:
        async with opening() as engine:
            assert await engine.take(one_batch(), UNTIL) is True
            assert await engine.take(one_batch(), UNTIL) is False

    async def test_weights_count(self, opening: Opening) -> None:
        sample = visit(1, MIDNIGHT, weight=1000, status=503, bytes=7, duration_us=3, visitor=5)
        async with opening() as engine:
            await engine.take(one_batch(sample, visit(2, MIDNIGHT, cache="miss")), UNTIL)
            assert await engine.totals(WHOLE, Filter()) == Totals(1001, 1, 8000, 1000, 1000, 3500)

    async def test_audiences_are_kept_apart(self, opening: Opening) -> None:
        async with opening() as engine:
            await engine.take(
                one_batch(visit(1, MIDNIGHT, is_bot=True, visitor=1), visit(2, MIDNIGHT, visitor=2, weight=2)), UNTIL
            )
            for audience, visits, visitors in (("people", 2, 1), ("bots", 1, 1), ("all", 3, 2)):
                totals = await engine.totals(WHOLE, Filter(audience=audience))  # type: ignore[arg-type]
                assert (totals.visits, totals.visitors) == (visits, visitors)

    async def test_a_late_event_changes_what_was_rolled(self, opening: Opening) -> None:
        """Also whose first visit it was: the visitor moves to the earlier minute."""
        early, late = MIDNIGHT - timedelta(hours=2), MIDNIGHT - timedelta(hours=1)
        edges = [SINCE, early, late, MIDNIGHT]
        async with opening() as engine:
            await engine.take(one_batch(visit(1, late, visitor=9), name="a"), UNTIL)
            await engine.roll(LATER)
            assert [one.visitors for one in await engine.series(edges, Filter())] == [0, 0, 1]
            await engine.take(one_batch(visit(2, early, visitor=9), name="b"), UNTIL)
            assert [one.visitors for one in await engine.series(edges, Filter())] == [0, 1, 0]
            await engine.roll(LATER)
            assert [one.visitors for one in await engine.series(edges, Filter())] == [0, 1, 0]
            assert [one.visitors for one in await engine.series(edges, Filter("abc"))] == [0, 1, 0]

    async def test_order_and_rolling_leave_no_trace(self, opening: Opening) -> None:
        """The same events in any order, rolled whenever, any number of times: the same answers."""
        batches = Generator(7).batches(10, 30, SINCE, UNTIL)
        oracle = Oracle()
        for batch in batches:
            oracle.take(batch)
        async with opening() as engine:
            for batch in reversed(batches):
                await engine.take(batch, UNTIL)
                await engine.roll(UNTIL)
                await engine.roll(UNTIL)
            await agree(engine, oracle)
            await asyncio.gather(*(engine.roll(LATER) for _ in range(3)))
            await agree(engine, oracle)

    @pytest.mark.parametrize("is_rolled", [False, True])
    async def test_who_reads_across_midnight_is_one_visitor(self, opening: Opening, is_rolled: bool) -> None:
        """Through four regions, one of which hears of the new salt late; counted on the first day."""
        minutes = (-50, -1, 1, 3, 5, 30)
        late_minutes = SALT_LATENESS.total_seconds() / 60
        async with opening() as engine:
            for number, minute in enumerate(minutes):
                is_new = minute >= 0 and not (number % 4 == 3 and minute < late_minutes)
                names = {"period": PERIOD, "visitor": 20, "visitor_before": 10}
                if not is_new:
                    names = {"period": PERIOD - 1, "visitor": 10, "visitor_before": 1}
                seen = visit(1, MIDNIGHT + timedelta(minutes=minute), region=f"region-{number % 4}", **names)
                await engine.take(one_batch(seen, name=f"batch-{number}", node=f"node-{number}"), UNTIL)
                if is_rolled:
                    await engine.roll(LATER)
            days = await engine.series([SINCE, MIDNIGHT, UNTIL], Filter())
            assert [(day.visits, day.visitors) for day in days] == [(2, 1), (4, 0)]

    @pytest.mark.parametrize("is_rolled", [False, True])
    async def test_who_left_an_hour_before_the_new_day_is_new_in_it(self, opening: Opening, is_rolled: bool) -> None:
        """Unless it turns out later that she had not left."""
        came, back = MIDNIGHT - timedelta(minutes=50), MIDNIGHT + timedelta(minutes=11)
        async with opening() as engine:
            await engine.take(one_batch(visit(1, came, period=PERIOD - 1, visitor=10), name="a"), UNTIL)
            await engine.take(one_batch(visit(2, back, period=PERIOD, visitor=20, visitor_before=10), name="b"), UNTIL)
            if is_rolled:
                await engine.roll(LATER)
            assert [one.visitors for one in await engine.series([SINCE, MIDNIGHT, UNTIL], Filter())] == [1, 1]
            stayed = visit(3, MIDNIGHT - timedelta(minutes=49), period=PERIOD - 1, visitor=10)
            await engine.take(one_batch(stayed, name="c"), UNTIL)
            if is_rolled:
                await engine.roll(LATER)
            assert [one.visitors for one in await engine.series([SINCE, MIDNIGHT, UNTIL], Filter())] == [1, 0]

    async def test_daily_visitors_add_up(self, opening: Opening) -> None:
        """Who comes on two days counts twice; nobody in particular counts as a visit only."""
        noon = MIDNIGHT - timedelta(hours=12)
        async with opening() as engine:
            for number, day in enumerate((0, 0, 1)):
                at = noon + timedelta(days=day, minutes=number)
                seen = visit(number, at, visitor=100 + day, visitor_before=99 + day)
                await engine.take(one_batch(seen, visit(number + 100, at), name=f"{number}"), UNTIL)
            span = Span(noon, noon + timedelta(days=2))
            assert await engine.totals(span, Filter()) == Totals(6, 2, 6000, 6, 0, 3000)

    async def test_pages_of_a_breakdown_are_the_whole(self, opening: Opening) -> None:
        made = Generator(11, slugs=40)
        oracle = Oracle()
        async with opening() as engine:
            for batch in made.batches(8, 40, SINCE, UNTIL):
                oracle.take(batch)
                await engine.take(batch, UNTIL)
            for dimension, limit in (("slug", 7), ("country", 1), ("file", 3)):
                found: list[tuple[str, Totals]] = []
                after = None
                while page := await engine.breakdown(dimension, WHOLE, EVERYBODY, limit, after):  # type: ignore[arg-type]
                    assert len(page) <= limit
                    found += page
                    after = (page[-1][1].visits, page[-1][0])
                assert found == oracle.breakdown(dimension, WHOLE, EVERYBODY, 1000)  # type: ignore[arg-type]

    async def test_days_of_a_time_zone_have_23_to_25_hours(self, opening: Opening) -> None:
        """Edges as reports make them: of New York, and of a zone that is 45 minutes off the hour, rolled long ago."""
        made = Generator(5, slugs=3)
        since, until = MIDNIGHT - timedelta(days=3), MIDNIGHT + timedelta(days=3)
        oracle = Oracle()
        async with opening() as engine:
            for batch in made.batches(10, 60, since, until):
                oracle.take(batch)
                await engine.take(batch, until)
            await engine.roll(until + timedelta(days=1))
            for zone in (ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")):
                edges = [datetime(2026, 3, 27 + day, tzinfo=zone) for day in range(5)]
                for which in (Filter(), Filter("paste1", "all")):
                    assert await engine.series(edges, which) == oracle.series(edges, which)

    async def test_what_is_older_than_is_kept_goes_and_the_sums_stay(self, opening: Opening) -> None:
        old, recent = MIDNIGHT - timedelta(days=5), MIDNIGHT - timedelta(days=1)
        span = Span(MIDNIGHT - timedelta(days=10), UNTIL)
        async with opening(raw_days=3, rollup_days=8) as engine:
            await engine.take(one_batch(visit(1, old, visitor=1), name="a"), old)
            await engine.take(one_batch(visit(2, recent, visitor=2), name="b"), recent)
            await engine.take(Batch("c", "history", changes=[change(1, old)]), old)
            await engine.roll(MIDNIGHT)
            await engine.retain(MIDNIGHT)
            for which in (Filter(), Filter("abc")):
                assert await engine.totals(span, which) == Totals(2, 2, 2000, 2, 0, 1000)
            assert await engine.breakdown("country", span, Filter(), 9) == [("IL", Totals(2, 2, 2000, 2, 0, 1000))]
            assert await engine.stock([span.since, span.until]) == [Stock({"created": 1}, 100)]
            await engine.retain(MIDNIGHT + timedelta(days=40))
            assert await engine.totals(span, Filter()) == Totals()
            assert await engine.stock([span.since, span.until]) == [Stock()]

    async def test_retention_loses_nothing_that_was_not_rolled(self, opening: Opening) -> None:
        old = MIDNIGHT - timedelta(days=5)
        async with opening(raw_days=3) as engine:
            await engine.take(one_batch(visit(1, old)), old)
            await engine.retain(MIDNIGHT)
            await engine.roll(MIDNIGHT)
            await engine.retain(MIDNIGHT)
            assert (await engine.totals(Span(old, UNTIL), Filter())).visits == 1

    async def test_hostile_text_is_text(self, opening: Opening) -> None:
        """In a batch by itself, and beside any other."""
        words = "'; drop table visits; --", "\\N", '"{}"', "a\tb", "é\u200bא😀", "%s $1 {x:String}"
        words = *words, "a],[b", ",1,2\n", "null", " a, b ", "\\."
        visits = [
            visit(number, MIDNIGHT, slug=word, file=word, referrer=word, agent=word)
            for number, word in enumerate(words)
        ]
        async with opening() as engine:
            await engine.take(Batch("'\\", "n'\\", visits), UNTIL)
            for one in visits:
                await engine.take(Batch(f"alone {one.number}", "alone", [one]), UNTIL)
            await engine.roll(LATER)
            for dimension in ("slug", "file", "referrer", "agent"):
                told = await engine.breakdown(dimension, WHOLE, Filter(), 100)  # type: ignore[arg-type]
                assert {value for value, _ in told} == set(words)
            for word in words:
                assert (await engine.totals(WHOLE, Filter(word))).visits == 2

    async def test_the_largest_numbers_fit(self, opening: Opening) -> None:
        """However many of them: no sum may be too large to be kept, or a minute could never be rolled."""
        largest = 2**63 - 1
        huge = visit(largest, MIDNIGHT, bytes=2**40, duration_us=2**37, weight=2**20, visitor=largest)
        async with opening() as engine:
            batch = one_batch(*(msgspec.structs.replace(huge, number=largest - step) for step in range(20)))
            assert await engine.take(batch, UNTIL) is True
            await engine.roll(LATER)
            assert (await engine.totals(WHOLE, Filter())).visits == 20 * 2**20
