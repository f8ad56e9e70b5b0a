"""Real Varnish before an origin that the test plays, and the target by which a worker would purge it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from multidict import CIMultiDictProxy
from yarl import URL

from pastebin.cdn.targets import Equipment
from pastebin.cdn.targets.varnish import Varnish as VarnishTarget
from tests.cdn.targets.provider import Provider, Reply, equipment
from tests.varnish import Varnish, varnish_before

__all__ = ["equipment"]

KEPT = {"Cache-Control": "no-cache", "CDN-Cache-Control": "max-age=60"}
_SLUGS = itertools.count()


@dataclass(frozen=True)
class Got:
    """What a reader got, and how Varnish came by it."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def how(self) -> str:
        return self.headers["Cache-Status"].removeprefix("varnish; ")


@dataclass
class Pair:
    """Varnish, the origin behind it, and the target that a worker would use."""

    varnish: Varnish
    origin: Provider
    http: aiohttp.ClientSession
    target: VarnishTarget

    async def get(self, path: str, method: str = "GET", **headers: str) -> Got:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, URL(self.varnish.url + path, encoded=True), headers=named) as response:
            return Got(response.status, response.headers, await response.read())

    async def bodies(self, path: str, count: int = 20) -> set[bytes]:
        return {got.body for got in await asyncio.gather(*(self.get(path) for _ in range(count)))}

    def answers(self, slug: str, body: bytes, **headers: str) -> Reply:
        """What the origin says about a paste."""
        return Reply(200, body, {**KEPT, "Surrogate-Key": f"p-{slug} all", **headers})


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[Provider]:
    async with Provider.opened() as provider:
        yield provider


@pytest.fixture(scope="module")
async def varnish(origin: Provider) -> AsyncIterator[Varnish]:
    async with varnish_before(origin.port) as varnish:
        yield varnish


@pytest.fixture
def slug() -> str:
    """One that no other test has, with a last letter of its own kind."""
    number = next(_SLUGS)
    return f"paste{number}{chr(ord('a') + number % 26)}"


@pytest.fixture
async def pair(varnish: Varnish, origin: Provider, equipment: Equipment) -> AsyncIterator[Pair]:
    origin.reset(Reply())
    async with aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60)) as http:
        yield Pair(varnish, origin, http, VarnishTarget(varnish.section(), equipment))
