"""Cloudflare: the calls as its API wants them, and answers that say no with status 200."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pastebin.cdn.targets import Equipment, TargetBusy, TargetRefused, TargetUnreachable
from pastebin.cdn.targets.cloudflare import Cloudflare, opened
from tests.cdn.targets.provider import TOKEN, Provider, Reply, batch, equipment, section

__all__ = ["equipment"]

DONE = Reply(body={"success": True, "errors": [], "messages": [], "result": {"id": "some-id"}})


def failed(code: int, message: str, **options: Any) -> Reply:
    errors = [{"code": code, "message": message}]
    return Reply(body={"success": False, "errors": errors, "messages": [], "result": None}, **options)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider.opened(DONE) as provider:
        yield provider


@pytest.fixture
def cloudflare(provider: Provider, equipment: Equipment) -> Cloudflare:
    return Cloudflare(section("cloudflare", provider.url), equipment)


async def test_tags(provider: Provider, cloudflare: Cloudflare) -> None:
    await cloudflare.purge(batch("p-abc", "p-def", soft=True))
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("POST", "/client/v4/zones/some-id/purge_cache")
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.json == {"tags": ["p-abc", "p-def"]}
    assert len(provider.asked) == 1


async def test_addresses(provider: Provider, cloudflare: Cloudflare) -> None:
    await cloudflare.purge(batch("p-abc", urls=("https://p.example/abc",)))
    await cloudflare.purge_urls(["https://p.example/a", "https://p.example/b"])
    assert [asked.json for asked in provider.asked] == [
        {"tags": ["p-abc"]},
        {"files": ["https://p.example/abc"]},
        {"files": ["https://p.example/a", "https://p.example/b"]},
    ]


async def test_everything(provider: Provider, cloudflare: Cloudflare) -> None:
    await cloudflare.purge(batch("p-abc", flush=True))
    assert [asked.json for asked in provider.asked] == [{"purge_everything": True}]


async def test_the_limits_are_those_of_the_plan(provider: Provider, equipment: Equipment) -> None:
    free = section("cloudflare", provider.url, calls_per_second=5 / 600, burst=2)
    async with opened(free, equipment) as target:
        assert target.limits.keys_per_call == 100
        await target.purge(batch("p-a"))
        await target.purge(batch("p-b"))
        with pytest.raises(TargetBusy) as caught:
            await target.purge(batch("p-c"))
        assert 50 < caught.value.retry_after_seconds <= 120
    assert len(provider.asked) == 2


async def test_one_refused_tag_does_not_hold_up_the_others(provider: Provider, cloudflare: Cloudflare) -> None:
    provider.replies += [failed(1093, "tag is too long"), DONE, failed(1093, "tag is too long", status=400)]
    with pytest.raises(TargetRefused, match="tag is too long") as caught:
        await cloudflare.purge(batch("p-bad", "p-good"))
    assert caught.value.keys == ("p-bad",)
    assert [asked.json["tags"] for asked in provider.asked] == [["p-bad", "p-good"], ["p-good"], ["p-bad"]]


@pytest.mark.parametrize("code", [10000, 9109, 7003])
@pytest.mark.parametrize("status", [200, 403])
async def test_what_is_wrong_with_the_token_is_not_wrong_with_the_tags(
    code: int, status: int, provider: Provider, cloudflare: Cloudflare
) -> None:
    provider.replies.append(failed(code, "Authentication error", status=status))
    with pytest.raises(TargetUnreachable):
        await cloudflare.purge(batch("p-abc"))
    assert len(provider.asked) == 1


async def test_throttled_with_status_200(provider: Provider, cloudflare: Cloudflare) -> None:
    provider.replies.append(failed(971, "Please wait and consider throttling your request speed"))
    with pytest.raises(TargetBusy) as caught:
        await cloudflare.purge(batch("p-abc"))
    assert caught.value.retry_after_seconds == 5


@pytest.mark.parametrize(
    "body",
    [
        {"success": False},
        {"success": "true"},
        {},
        [],
        {"success": False, "errors": None},
        {"success": False, "errors": ["x", {"code": [1]}]},
    ],
)
async def test_an_answer_that_explains_nothing(body: Any, provider: Provider, cloudflare: Cloudflare) -> None:
    provider.replies.append(Reply(body=body))
    with pytest.raises(TargetUnreachable):
        await cloudflare.purge(batch("p-abc"))


async def test_health(provider: Provider, cloudflare: Cloudflare) -> None:
    assert await cloudflare.check() is None
    assert provider.asked[0].json == {"tags": ["pastebin-check"]}
    provider.replies.append(failed(10000, "Authentication error"))
    assert await cloudflare.check() == "10000 Authentication error"


async def test_a_push_is_a_visit(provider: Provider, cloudflare: Cloudflare) -> None:
    await cloudflare.push([f"{provider.url}/abc/raw"])
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("GET", "/abc/raw")
    assert "Authorization" not in asked.headers
