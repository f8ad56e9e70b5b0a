"""Answers by who asks: a subnet in every question, 10,000 of them, looked up in a database of 5000 networks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery

from tests.bench import nameservers
from tests.bench.harness import Case, Contest, WrongAnswer, as_client

SUBNETS = 10_000
_LOOKED_AT = 200
_LATENCY_SECONDS = 5.0


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    world = nameservers.World()
    world.write(directory / "world.mmdb")
    subnets = world.subnets(SUBNETS)
    queries = directory / "queries"
    nameservers.write_queries(queries, subnets)
    rates: dict[int, list[float]] = {}
    async with nameservers.node(directory) as (port, pid), nameservers.gdnsd(directory) as (other, other_pid):

        async def measure(asked: int, seconds: float) -> float:
            async with as_client():
                found = nameservers.rate(await nameservers.dnsperf(asked, queries, seconds))
            rates.setdefault(asked, []).append(found)
            return found

        async def check() -> None:
            for subnet in subnets[:_LOOKED_AT]:
                answers = [
                    await dns.asyncquery.udp(nameservers.query(subnet), "127.0.0.1", port=each, timeout=5)
                    for each in (port, other)
                ]
                if answers[0].answer != answers[1].answer:
                    raise WrongAnswer(f"for {subnet}: {answers[0].answer} is not {answers[1].answer}")
            for name, each in (("ours", port), ("gdnsd", other)):
                half = max(rates[each]) / 2
                async with as_client():
                    text = await nameservers.dnsperf(each, queries, _LATENCY_SECONDS, "-v", "-Q", str(round(half)))
                told = sorted(float(found) for found in re.findall(r"^> NOERROR .* ([0-9.]+)$", text, re.MULTILINE))
                if not told:
                    raise WrongAnswer(f"dnsperf told no latencies: {text[:500]}")
                p50, p99 = (1000 * told[int(len(told) * share)] for share in (0.5, 0.99))
                print(
                    f"  {name} at half of its peak, {half:,.0f} queries/s: p50 {p50:.2f} ms, p99 {p99:.2f} ms (goal 2)"
                )

        for each in (
            port,
            other,
        ):  # gdnsd looks networks up before it starts, a node when it is asked for the first time
            await nameservers.dnsperf(each, queries, 60.0, "-n", "1")
        yield Contest(
            lambda seconds: measure(port, seconds),
            lambda seconds: measure(other, seconds),
            check,
            {"ours": pid, "gdnsd": other_pid},
        )


CASE = Case(
    name="geodns",
    unit="queries/s",
    ours=f"A records by who asks, {SUBNETS} client subnets, dnsperf",
    reference="gdnsd with one thread and the same map, on the same processor",
    goal=0.25,
    prepared=prepared,
)
