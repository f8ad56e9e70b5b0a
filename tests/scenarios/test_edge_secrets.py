"""What is secret, personal or true only once: through an edge, but never in it. Looked up in the cache itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.nodes import Node, directory, started
from tests.ports import free_port
from tests.postgres import Server, fresh_database
from tests.scenarios.points import ORIGIN_ROLES, Point, client, local_point, point

pytestmark = pytest.mark.scenario

TOKEN = "Pastebin-Consistency"


@dataclass(frozen=True)
class Service:
    """A node with every role, one without an edge, and an edge before that one."""

    origin: Node
    points: tuple[Point, ...]


@pytest.fixture(scope="module")
async def service(postgres: Server, _template: str) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(fresh_database(postgres, _template))
        path = await stack.enter_async_context(directory())
        port = free_port()
        options = {
            "blobs__directory": str(path / "blobs"),
            "cdn__confirm_seconds": 5.0,
            "cdn__targets": [{"name": "edge", "kind": "edge", "url": f"http://127.0.0.1:{port}"}],
        }
        origin = await stack.enter_async_context(
            started(dsn, path / "origin", node__name="origin", node__roles=ORIGIN_ROLES, **options)
        )
        whole = await stack.enter_async_context(
            started(dsn, path / "whole", node__name="whole", node__roles=[*ORIGIN_ROLES, "edge"], **options)
        )
        remote = await stack.enter_async_context(point("edge", [origin.url], port, path / "edge"))
        http = await stack.enter_async_context(client())
        yield Service(origin, (remote, local_point(whole, path / "whole", http)))


@dataclass(frozen=True)
class Secret:
    """Options of a paste, and the headers of those who ask for it."""

    options: dict[str, Any]
    headers: tuple[dict[str, str], ...] = ({},)
    needs_reveal: bool = False


_SECRETS = {
    "burn": Secret({"burn": True}, needs_reveal=True),
    "password": Secret({"password": "open sesame"}, needs_reveal=True),
    "private": Secret({"visibility": "private"}, ({"Authorization": "Bearer {token}"}, {})),
    "authorised": Secret({}, ({"Authorization": "Bearer {token}"},)),
    "owner": Secret({}, ({"Cookie": "owner={token}"}, {"Cookie": "a=b; owner=x"})),
    "session": Secret({}, ({TOKEN: "rubbish"}, {"Cookie": "consistency=rubbish"})),
    "do not store": Secret({}, ({"Cache-Control": "no-store"},)),
}


@pytest.mark.parametrize("size", [1, 12_000], ids=["small", "large"])
@pytest.mark.parametrize("name", _SECRETS)
async def test_what_is_not_for_everybody_is_never_stored(name: str, size: int, service: Service) -> None:
    secret = _SECRETS[name]
    phrase = f"the {name} phrase of size {size}"
    paste = await service.origin.paste(f"{phrase}\n" * size, **secret.options)
    slug = paste["slug"]
    paths = [
        f"/{slug}",
        f"/{slug}/raw",
        f"/raw/{slug}",
        f"/api/v1/pastes/{slug}?content=true",
        f"/{slug}/raw?lines=1-1",
    ]
    shown = 0
    for at in service.points:
        for headers in secret.headers:
            lines = {name: value.format(token=paste["token"]) for name, value in headers.items()}
            for path in paths:
                for accept in ("text/html", "*/*"):
                    answers = await asyncio.gather(
                        *(at.get(path, method, **lines, Accept=accept) for method in ("GET", "HEAD", "GET"))
                    )
                    shown += sum(phrase.encode() in answer.body for answer in answers)
        if secret.needs_reveal:
            answer = await at.http.post(
                f"{at.url}/api/v1/pastes/{slug}/reveal", json={"password": secret.options.get("password")}
            )
            shown += phrase.encode() in await answer.read()
        await at.get(f"/{slug}/raw", **lines)
    assert shown, "nobody was shown anything"
    for at in service.points:
        stored = [stored for stored in at.stored(slug) if stored.status == 200]
        assert not stored, [(one.key, one.headers) for one in stored]
        assert not await at.holds(phrase.encode())


async def test_what_is_for_everybody_is_found_where_secrets_are_looked_for(service: Service) -> None:
    for size in (1, 12_000):
        phrase = f"what everybody may read, size {size}"
        paste = await service.origin.paste(f"{phrase}\n" * size)
        for at in service.points:
            await at.get(f"/{paste['slug']}/raw")
            await at.get(f"/{paste['slug']}/raw", Accept_Encoding="gzip")
            async with asyncio.timeout(60):
                while not at.stored(paste["slug"]):  # noqa: ASYNC110  (nothing announces it)
                    await asyncio.sleep(0.01)
            assert await at.holds(phrase.encode())
