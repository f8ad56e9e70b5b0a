"""A million packets that were good once, by UDP, against good ones; every answer is looked at.

What the rounds leave of the million comes after them. A packet that should be answered and is not, or an answer that is
longer than it may be, fails the case.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.message

from pastebin.geodns import keys
from tests.bench import nameservers
from tests.bench.harness import Case, Contest, WrongAnswer, as_client
from tests.geodns import storm

PACKETS = 1_000_000
SEED = 1
_AT_ONCE = 5000
_LOOKED_AT = 10


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    world = nameservers.World()
    world.write(directory / "world.mmdb")
    keys.make(directory / "key.pem")
    hostile = storm.packets(SEED)
    good = itertools.cycle([nameservers.query(subnet).to_wire() for subnet in world.subnets(1000)])
    total = storm.Tally()
    async with nameservers.node(directory, f"--set=geodns.dnssec_keys=['{directory}/key.pem']") as (port, pid):

        async def measure(source: Iterable[bytes], seconds: float, tally: storm.Tally, most: int) -> float:
            until, spent, sent = time.perf_counter() + seconds, 0.0, 0
            async with as_client():
                while time.perf_counter() < until and tally.sent < most:
                    batch = list(itertools.islice(source, _AT_ONCE))
                    began = time.perf_counter()
                    try:
                        found = await asyncio.to_thread(
                            storm.datagrams, ("127.0.0.1", port), batch, looks_at_every=_LOOKED_AT
                        )
                    except (AssertionError, KeyError) as error:
                        raise WrongAnswer(f"{type(error).__name__}: {error}") from error
                    spent, sent = spent + time.perf_counter() - began, sent + found.sent
                    tally.add(found)
            return sent / spent

        async def check() -> None:
            await measure(hostile, 3600.0, total, PACKETS)
            query = dns.message.make_query("p.example", "TXT")
            answer = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=5)
            if [str(rrset) for rrset in answer.answer] != ['p.example. 300 IN TXT "hello"']:
                raise WrongAnswer(f"after it: {answer}")
            print(
                f"  {total.sent:,} mutated packets, {total.answered:,} answers,"
                f" the largest {total.worst:.1f} times as long as its question; all answers right afterwards"
            )

        yield Contest(
            lambda seconds: measure(hostile, seconds, total, 2**62),
            lambda seconds: measure(good, seconds, storm.Tally(), 2**62),
            check,
            {"node": pid},
        )


CASE = Case(
    name="geodns_hostile",
    unit="packets/s",
    ours=f"{PACKETS:,} mutated packets by UDP, 64 at once, every answer looked at",
    reference="questions for 1000 client subnets, by the same client",
    goal=0.25,
    prepared=prepared,
)
