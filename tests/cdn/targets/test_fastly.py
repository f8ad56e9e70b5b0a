"""Fastly: the calls as its API wants them, and everything twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pastebin.cdn.targets import Equipment, TargetRefused, TargetUnreachable
from pastebin.cdn.targets.fastly import Fastly, opened
from pastebin.cdn.targets.repeats import Repeated, when_replicas_know
from tests.cdn.targets.provider import TOKEN, Provider, Reply, batch, equipment, section

__all__ = ["equipment"]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider.opened(Reply(body={"p-abc": "108-1391560174-974124"})) as provider:
        yield provider


@pytest.fixture
def fastly(provider: Provider, equipment: Equipment) -> Fastly:
    return Fastly(section("fastly", provider.url), equipment)


async def test_keys(provider: Provider, fastly: Fastly) -> None:
    await fastly.purge(batch("p-abc", "p-def"))
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("POST", "/service/some-id/purge")
    assert asked.headers["Fastly-Key"] == TOKEN
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Accept"] == "application/json"
    assert "Fastly-Soft-Purge" not in asked.headers
    assert asked.json == {"surrogate_keys": ["p-abc", "p-def"]}
    assert len(provider.asked) == 1


async def test_soft(provider: Provider, fastly: Fastly) -> None:
    await fastly.purge(batch("p-abc", soft=True, urls=("https://p.example/abc",)))
    assert [asked.headers["Fastly-Soft-Purge"] for asked in provider.asked] == ["1", "1"]


async def test_everything_is_never_soft(provider: Provider, fastly: Fastly) -> None:
    await fastly.purge(batch("p-abc", soft=True, flush=True))
    asked = provider.asked[0]
    assert (asked.method, asked.target, asked.body) == ("POST", "/service/some-id/purge_all", b"")
    assert "Fastly-Soft-Purge" not in asked.headers
    assert len(provider.asked) == 1


async def test_addresses(provider: Provider, fastly: Fastly) -> None:
    await fastly.purge_urls(["https://p.example/abc/raw/a%20b?lines=1-2"])
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("POST", "/purge/p.example/abc/raw/a%20b?lines=1-2")
    assert asked.headers["Fastly-Key"] == TOKEN


def test_a_call_takes_256_keys(fastly: Fastly) -> None:
    assert fastly.limits.keys_per_call == 256


async def test_a_service_id_cannot_lead_elsewhere(provider: Provider, equipment: Equipment) -> None:
    await Fastly(section("fastly", provider.url, id="../tokens?x#"), equipment).purge(batch("p-abc"))
    assert provider.asked[0].target == "/service/..%2Ftokens%3Fx%23/purge"


async def test_one_refused_key_does_not_hold_up_the_others(provider: Provider, fastly: Fastly) -> None:
    refused = Reply(400, {"msg": "Bad request", "detail": "invalid surrogate key"})
    provider.replies += [refused, Reply(body={}), refused]
    with pytest.raises(TargetRefused, match="invalid surrogate key") as caught:
        await fastly.purge(batch("p-bad", "p-good"))
    assert caught.value.keys == ("p-bad",)
    assert [asked.json["surrogate_keys"] for asked in provider.asked] == [["p-bad", "p-good"], ["p-good"], ["p-bad"]]


async def test_an_unknown_service_keeps_the_batch_waiting(provider: Provider, fastly: Fastly) -> None:
    provider.replies.append(Reply(404, {"msg": "Record not found"}))
    with pytest.raises(TargetUnreachable, match="Record not found"):
        await fastly.purge(batch("p-abc"))


async def test_health(provider: Provider, fastly: Fastly) -> None:
    assert await fastly.check() is None
    provider.replies.append(Reply(401, {"msg": "Provided credentials are missing or invalid"}))
    assert await fastly.check() == "refuses the credentials (HTTP 401)"


async def test_a_push_is_a_visit(provider: Provider, fastly: Fastly) -> None:
    await fastly.push([f"{provider.url}/abc/raw"])
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("GET", "/abc/raw")
    assert "Fastly-Key" not in asked.headers


async def test_everything_is_said_twice(provider: Provider, equipment: Equipment) -> None:
    """Only what has been taken, and once more only."""
    fastly = Fastly(section("fastly", provider.url), equipment)
    async with Repeated.opened(fastly, equipment.loops, keys_seconds=[0.05], flush_seconds=[0.05]) as repeated:
        await repeated.purge(batch())
        provider.replies.append(Reply(500))
        with pytest.raises(TargetUnreachable):
            await repeated.purge(batch("p-never"))
        await repeated.purge(batch("p-abc", "p-def"))
        await repeated.purge_urls(["https://p.example/abc"])
        await repeated.purge(batch(flush=True))
        await provider.heard(7)
    # how soon it is repeated, and what comes in between, is a matter of how busy the machine is
    said = Counter((asked.target, asked.body) for asked in provider.asked)
    keys, url, everything = "/service/some-id/purge", "/purge/p.example/abc", "/service/some-id/purge_all"
    assert {(target, b"never" in body): times for (target, body), times in said.items()} == {
        (keys, True): 1,
        (keys, False): 2,
        (url, False): 2,
        (everything, False): 2,
    }


async def test_again_for_shields_and_again_for_replicas(provider: Provider, equipment: Equipment) -> None:
    lagging = replace(equipment, lag_seconds=10.0)
    assert when_replicas_know(equipment) == 2
    assert when_replicas_know(lagging) == 12
    fastly = Fastly(section("fastly", provider.url), equipment)
    async with Repeated.opened(fastly, equipment.loops, keys_seconds=[0.02, 0.04], flush_seconds=[]) as repeated:
        await repeated.purge(batch("p-abc"))
        await repeated.purge(batch(flush=True))
        await provider.heard(4)
    assert Counter(asked.target.rpartition("/")[2] for asked in provider.asked) == {"purge": 3, "purge_all": 1}


async def test_as_configured(provider: Provider, equipment: Equipment) -> None:
    async with opened(section("fastly", provider.url, calls_per_second=3.0, burst=7), equipment) as target:
        assert (target.name, target.limits.calls_per_second, target.limits.burst) == ("somewhere", 3.0, 7)
        await target.purge(batch("p-abc"))
    assert len(provider.asked) == 1
