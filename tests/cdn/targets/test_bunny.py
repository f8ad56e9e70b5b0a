"""Bunny: the calls as its API wants them, one tag or address in each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pastebin.cdn.targets import Equipment, TargetRefused
from pastebin.cdn.targets.bunny import Bunny, opened
from tests.cdn.targets.provider import TOKEN, Provider, Reply, batch, equipment, section

__all__ = ["equipment"]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider.opened(Reply(204)) as provider:
        yield provider


@pytest.fixture
def bunny(provider: Provider, equipment: Equipment) -> Bunny:
    return Bunny(section("bunny", provider.url, id="4711"), equipment)


async def test_a_tag(provider: Provider, bunny: Bunny) -> None:
    assert bunny.limits.keys_per_call == 1
    await bunny.purge(batch("p-abc"))
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("POST", "/pullzone/4711/purgeCache")
    assert asked.headers["AccessKey"] == TOKEN
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.json == {"CacheTag": "p-abc"}
    assert len(provider.asked) == 1


async def test_everything(provider: Provider, bunny: Bunny) -> None:
    await bunny.purge(batch("p-abc", flush=True))
    assert [(asked.target, asked.body) for asked in provider.asked] == [("/pullzone/4711/purgeCache", b"")]


async def test_an_empty_tag_would_be_everything(provider: Provider, bunny: Bunny) -> None:
    for key in ("", "x" * 1025):
        with pytest.raises(TargetRefused) as caught:
            await bunny.purge(batch(key))
        assert caught.value.keys == (key,)
    assert provider.asked == []


async def test_addresses(provider: Provider, bunny: Bunny) -> None:
    await bunny.purge_urls(["https://p.example/abc/raw/a%20b?lines=1-2&x"])
    asked = provider.asked[0]
    url = "https%3A%2F%2Fp.example%2Fabc%2Fraw%2Fa%2520b%3Flines%3D1-2%26x"
    assert (asked.method, asked.target) == ("POST", f"/purge?url={url}&async=false&exactPath=true")
    assert asked.headers["AccessKey"] == TOKEN


async def test_a_tag_that_is_refused(provider: Provider, bunny: Bunny) -> None:
    provider.replies.append(Reply(400, {"ErrorKey": "validation_error", "Message": "no such tag"}))
    with pytest.raises(TargetRefused, match="no such tag") as caught:
        await bunny.purge(batch("p-abc"))
    assert caught.value.keys == ("p-abc",)


async def test_health(provider: Provider, bunny: Bunny) -> None:
    assert await bunny.check() is None
    assert provider.asked[0].json == {"CacheTag": "pastebin-check"}
    provider.replies.append(Reply(401))
    assert await bunny.check() == "refuses the credentials (HTTP 401)"


async def test_a_push_is_a_visit(provider: Provider, equipment: Equipment) -> None:
    async with opened(section("bunny", provider.url), equipment) as target:
        await target.push([f"{provider.url}/abc/raw"])
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("GET", "/abc/raw")
    assert "AccessKey" not in asked.headers
