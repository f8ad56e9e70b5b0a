"""The SQL of the ClickHouse engine, in what 18.16 and today's servers both understand.

Only whole numbers and words of this module are put into a statement; text of others is in the table `asked`. Long lists
are in tables too, `raw` and `chosen`: a statement with tables is part of an address, and these are short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pastebin.analytics.engines import Audience, Dimension
from pastebin.analytics.engines.clickhouse_intake import REACH_HOURS
from pastebin.analytics.engines.clickhouse_plan import Plan
from pastebin.analytics.engines.clickhouse_schema import MEASURES
from pastebin.analytics.engines.grains import HOUR_MINUTES

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
ALL = "all"
CHANGE = "change"

_COLUMNS = (
    *("slug", "file", "kind", "cache", "region", "pop", "country", "referrer", "agent", "agent_class", "is_bot"),
    "status",
)
_AUDIENCES: dict[Audience, str] = {"people": "is_bot = 0", "bots": "is_bot = 1", "all": "1"}
_OF_SLUG = "slug = (select slug from asked)"
_NOTHING = "toUInt64(0)"
# A petabyte for one event: beyond it nothing is true, and the sum of a few would not fit.
_LARGEST = 2**50

STATE = """
select 'kept' as what, toUInt32(max(since_day) * 24) as at, toUInt64(0) as known, toInt64(0) as made from kept
union all
select 'marks' as what, hour as at, toUInt64(sum(marks)) as known, toInt64(0) as made from marks
where hour between {first} and {last} and hour + {reach} >= (select max(since_day) * 24 from kept) group by hour
union all
select 'rolled' as what, hour as at, toUInt64(max(covers)) as known, max(tuple(covers, generation)).2 as made
from rolled where hour between {since} and {last} and hour >= (select max(since_day) * 24 from kept) group by hour
"""

# A newcomer is the first visit of a pseudonym, unless the one before was last seen no more than an hour earlier.
_VISITS = """
select hour, at_ms, {columns}, toUInt64(weight) as visits,
    toUInt64(tuple(at_ms, node, number) = tuple(first.1, first.2, first.3) and last_ms < first.1 - 3600000) as visitors,
    least(bytes * visits, {largest}) as volume, visits * (cache in ('hit', 'stale')) as hits,
    visits * (status >= 500) as errors, least(duration_us * visits, {largest}) as spent
from (select * from visits final where {chosen}) as event
any left join (
    select period, visitor, first, last_ms
    from (
        select period, visitor, min(tuple(at_ms, node, number, visitor_before)) as first, first.4 as before from visits
        where hour between {since} and {until} and visitor != 0
        and (period, visitor) in (select period, visitor from visits where {chosen}) group by period, visitor
    ) as found
    any left join (
        select following as period, before, last_ms
        from (
            select toInt32(period + 1) as following, visitor as before, max(at_ms) as last_ms from visits
            where hour between {since} and {until} and visitor != 0
            and (toInt32(period + 1), visitor) in (select period, visitor_before from visits where {chosen})
            group by following, before
        ) as seen
    ) as earlier using (period, before)
) as newcomer using (period, visitor)
"""

_CHANGES = """
select hour, at_ms, slug, kind, syntax, toUInt64(1) as visits, toUInt64(size) as volume
from changes final where {chosen}
"""


def state(since: int, until: int) -> str:
    """Marks and generations of the hours from `since` to `until`, end included."""
    return STATE.format(first=max(0, since - REACH_HOURS), since=since, last=until, reach=REACH_HOURS)


def visits(hours: Sequence[int], chosen: str) -> str:
    """Every visit of the `chosen` once, which are in these hours, with what it adds to sums."""
    return _VISITS.format(
        columns=", ".join(_COLUMNS),
        chosen=chosen,
        since=max(0, min(hours) - REACH_HOURS),
        until=max(hours) + REACH_HOURS,
        largest=f"toUInt64({_LARGEST})",
    )


def _among(hours: Sequence[int], which: str) -> str:
    return f"hour between {min(hours)} and {max(hours)} and hour in ({which})"


def roll(hours: Sequence[int], generation: int) -> list[str]:
    """Make the sums of these hours, as another generation."""
    made, given = int(generation), "hour, dimension, value, is_bot, generation"
    by_one = ", ".join(f"tuple('{name}', toString({name}))" for name in DIMENSIONS if name != "syntax")
    states = ", ".join(f"sumState({name})" for name in MEASURES)
    few = f"sumState(visits), sumState({_NOTHING}), sumState(volume)" + f", sumState({_NOTHING})" * 3
    measures, columns = ", ".join(MEASURES), ", ".join(_COLUMNS)
    chosen = _among(hours, ", ".join(str(int(hour)) for hour in hours))
    seen = visits(hours, chosen)
    return [
        f"insert into sums ({given}, {measures}) select hour, pair.1, pair.2, is_bot, toInt64({made}), {states}"
        f" from (select hour, is_bot, {measures}, arrayJoin([tuple('{ALL}', ''), {by_one}]) as pair"
        f" from ({seen}) as seen) as told group by hour, pair, is_bot",
        f"insert into facts (hour, {columns}, generation, {measures})"
        f" select hour, {columns}, toInt64({made}), {states} from ({seen}) as seen group by hour, {columns}",
        f"insert into sums ({given}, {measures}) select hour, pair.1, pair.2, 0, toInt64({made}), {few}"
        f" from (select hour, visits, volume, arrayJoin(arrayFilter(one -> one.1 = '{CHANGE}' or kind = 'created',"
        f" [tuple('{CHANGE}', toString(kind)), tuple('syntax', toString(syntax))])) as pair"
        f" from ({_CHANGES.format(chosen=chosen)}) as seen) as told group by hour, pair",
    ]


def pieces(plan: Plan, dimension: str, *, of_slug: bool, audience: Audience, in_time: bool) -> list[str]:
    """Selects of (moment, value, sums...) that make up an answer; `moment` is a minute, or 0 unless `in_time`."""
    source = _source_of(dimension)
    found = [_raw(plan, source, dimension, of_slug, audience, in_time)] if plan.raw else []
    # changes are few and kept as long as sums are: of one paste they are read as they came
    if of_slug and source == "changes":
        return [_raw(plan, source, dimension, of_slug, audience, in_time, everything=True)]
    if plan.rolled:
        which = "(hour, generation) in (select hour, generation from chosen)"
        bounds = (plan.rolled[0][0], plan.rolled[-1][0] + 1)
        found.append(_rolled(bounds, which, dimension, of_slug, audience, in_time))
    if plan.final is not None:
        lo, hi = plan.final
        newest = (
            f"select hour, newest.2 from (select hour, max(tuple(covers, generation)) as newest from rolled"
            f" where hour >= {lo} and hour < {hi} group by hour)"
        )
        found.append(_rolled(plan.final, f"(hour, generation) in ({newest})", dimension, of_slug, audience, in_time))
    return found


def _source_of(dimension: str) -> str:
    return "changes" if dimension in (CHANGE, "syntax") else "visits"


def _raw(
    plan: Plan, source: str, dimension: str, of_slug: bool, audience: Audience, in_time: bool, everything: bool = False
) -> str:
    value = {ALL: "''", CHANGE: "toString(kind)"}.get(dimension, f"toString({dimension})")
    moment = "intDiv(at_ms, 60000)" if in_time else "0"
    if everything:
        chosen = f"hour between {plan.since // HOUR_MINUTES} and {plan.until // HOUR_MINUTES}"
    else:
        chosen = _among(plan.raw, "select hour from raw")
    if of_slug:
        chosen += f" and {_OF_SLUG}"
    if source == "visits":
        events, where = visits(plan.raw, chosen), _AUDIENCES[audience]
        sums: Sequence[str] = MEASURES
    else:
        events = _CHANGES.format(chosen=chosen)
        sums = ("visits", _NOTHING, "volume", *[_NOTHING] * 3)
        where = "kind = 'created'" if dimension == "syntax" else "1"
    told = ", ".join(f"sum({name}) as s{index}" for index, name in enumerate(sums))
    return (
        f"select toUInt32({moment}) as moment, {value} as value, {told} from ({events}) as seen"
        f" where {where} and at_ms >= {plan.since * 60_000} and at_ms < {plan.until * 60_000} group by moment, value"
    )


def _rolled(
    hours: tuple[int, int], which: str, dimension: str, of_slug: bool, audience: Audience, in_time: bool
) -> str:
    moment = "hour * 60" if in_time else "0"
    told = ", ".join(f"sumMerge({name}) as s{index}" for index, name in enumerate(MEASURES))
    if of_slug:
        table, where = "facts", _OF_SLUG
        value = "''" if dimension == ALL else f"toString({dimension})"
    else:
        table, where, value = "sums", f"dimension = '{dimension}'", "value"
    bots = "1" if _source_of(dimension) == "changes" else _AUDIENCES[audience]
    return (
        f"select toUInt32({moment}) as moment, {value} as value, {told} from {table}"
        f" where {where} and {bots} and hour >= {hours[0]} and hour < {hours[1]} and {which} group by moment, value"
    )


def summed(
    parts: Sequence[str], *, by: str, order: str = "", limit: int | None = None, after: int | None = None
) -> str:
    """Add pieces up. `after`: only what follows the row with so many visits and the value in `asked`, in the order."""
    sums = ", ".join(f"sum(s{index}) as t{index}" for index in range(len(MEASURES)))
    where = "" if after is None else f" having t0 < {after} or (t0 = {after} and value > (select value from asked))"
    end = (f" order by {order}" if order else "") + ("" if limit is None else f" limit {int(limit)}")
    return f"select {by}, {sums} from ({' union all '.join(parts)}) as piece group by {by}{where}{end}"
