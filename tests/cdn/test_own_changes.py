"""Changes that come through an edge: what replaces what they made old must have seen them, before the feed tells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from pastebin.cdn.answers import Edge
from pastebin.cdn.generations import Generations
from pastebin.cdn.queries import Queries
from pastebin.http.consistency import HEADER, Tokens
from pastebin.positions import SESSION, Position
from tests.http.doors import behind
from tests.nodes import SECRET

BEFORE, CHANGED = Position(1, 1, 400), Position(1, 1, 500)
TOKENS = Tokens(SECRET.encode(), 60.0)


class Front:
    """An edge in the same process that has only to remember what was changed."""

    def __init__(self, generations: Generations) -> None:
        nothing: Any = SimpleNamespace(purge=lambda keys: 0, knows=lambda key: False, drop=lambda url: None)
        edge = Edge(
            nothing,
            generations,
            nothing,
            TOKENS,
            nothing,
            nothing,
            nothing,
            is_local=True,
            is_fed=True,
            bypass_cookies=frozenset(),
            queries=Queries(["*"], is_local=True),
            idle_seconds=5.0,
            hidden=frozenset(),
        )
        self.middleware, self.sign, self.changed = edge.middleware(), edge.sign, edge.changed

    def watch(self, _observer: object) -> None:
        pass


async def change(_request: web.Request) -> web.Response:
    session = SESSION.get()
    assert session is not None
    session.advance(CHANGED)
    return web.Response(status=204)


async def elsewhere(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers={HEADER: TOKENS.seal(CHANGED, now=2.0**33)})


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("headers", [{}, {HEADER: TOKENS.seal(BEFORE, now=2.0**33)}])
@pytest.mark.parametrize("handler", [change, elsewhere])
async def test_a_refill_must_have_seen_the_change(handler: Any, method: str, headers: dict[str, str]) -> None:
    generations = Generations(600.0)
    routes = [web.route(method, "/api/v1/pastes/slug", handler)]
    sessions = TOKENS if handler is change else None
    async with behind(routes, tokens=sessions, front=cast(Any, Front(generations))) as door:
        async with door.http.request(method, f"{door.url}/api/v1/pastes/slug", headers=headers) as response:
            assert response.status == 204
            assert TOKENS.unseal(response.headers[HEADER], now=0.0) == CHANGED
        assert generations.clock == 1
        assert generations.position_of({"p-slug"}) == CHANGED
