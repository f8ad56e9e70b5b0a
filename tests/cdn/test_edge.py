"""The edge before the node's own application: what is kept, what never is, and who must not decide about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pastebin.cdn import edge
from pastebin.cdn.cache import Cache
from pastebin.cdn.figures import Figures
from pastebin.cdn.generations import Generations
from pastebin.sections import DEFAULT_ROLES, EdgeSection
from tests.nodes import Node, directory, started

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Site": "none"}


@contextmanager
def caught(caches: list[Cache]) -> Iterator[None]:
    """Every cache that is opened while the block lasts."""

    class Caught(Cache):
        @classmethod
        @asynccontextmanager
        async def opened(
            cls, section: EdgeSection, directory: Path, generations: Generations, figures: Figures
        ) -> AsyncIterator[Cache]:
            async with Cache.opened(section, directory, generations, figures) as cache:
                caches.append(cache)
                yield cache

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, "Cache", Caught)
        yield


@pytest.fixture(scope="module")
async def caches() -> list[Cache]:
    """The cache of the node."""
    return []


@pytest.fixture(scope="module")
async def cached(session_database_dsn: str, caches: list[Cache]) -> AsyncIterator[Node]:
    """A node with an edge, whose cache can be looked into."""
    with caught(caches):
        async with directory() as path, started(session_database_dsn, path, node__roles=DEFAULT_ROLES) as node:
            while "hit" not in (await ask(node, "/api/v1/limits"))[2]["Cache-Status"]:
                pass  # the worker has not told it yet that it knows everything
            yield node


async def ask(node: Node, path: str, method: str = "GET", **options: Any) -> tuple[int, bytes, Any]:
    async with node.http.request(method, node.url + path, allow_redirects=False, **options) as response:
        return response.status, await response.read(), response.headers


def kept(caches: list[Cache], node: Node, path: str) -> list[bytes]:
    """What is stored under an address, in memory."""
    (cache,) = caches
    host = node.url.removeprefix("http://")
    return [stored.body for stored in cache.peek(f"{host}{path}") if isinstance(stored.body, bytes)]


async def test_what_everybody_may_see_is_kept(cached: Node, caches: list[Cache]) -> None:
    slug = (await cached.paste("for everybody\n"))["slug"]
    for _ in range(2):
        status, body, headers = await ask(cached, f"/{slug}/raw")
        assert (status, body) == (200, b"for everybody\n")
    assert "fwd=uri-miss" not in headers["Cache-Status"]
    assert kept(caches, cached, f"/{slug}/raw") == [b"for everybody\n"]


@pytest.mark.parametrize(
    "options", [{"burn": True}, {"password": "open sesame"}, {"visibility": "private"}, {"max_reads": 3}], ids=str
)
async def test_secrets_are_never_kept(cached: Node, caches: list[Cache], options: dict[str, Any]) -> None:
    made = await cached.paste("a secret\n", **options)
    slug, owner = made["slug"], {"Authorization": f"Bearer {made['token']}"}
    addresses = [f"/{slug}", f"/{slug}/raw", f"/raw/{slug}", f"/api/v1/pastes/{slug}", f"/{slug}.txt"]
    for address in (*addresses, f"/api/v1/pastes/{slug}?content=true"):
        for headers in ({}, BROWSER, owner, {"Cookie": f"owner={made['token']}"}):
            await ask(cached, address, headers=headers)
    reveal = await ask(cached, f"/{slug}/reveal", "POST", data={"password": options.get("password", "")})
    assert reveal[0] in (200, 403, 404)
    (cache,) = caches
    host = cached.url.removeprefix("http://")
    for stored in [one for address in addresses for one in cache.peek(f"{host}{address}")]:
        body = stored.body if isinstance(stored.body, bytes) else b""
        assert b"a secret" not in body


async def test_what_an_owner_sees_is_his(cached: Node, caches: list[Cache]) -> None:
    made = await cached.paste("mine\n")
    slug, token = made["slug"], made["token"]
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"owner={token}"}):
        status, _, told = await ask(cached, f"/{slug}?created", headers={**BROWSER, **headers})
        assert status == 200
        assert "; stored" not in told["Cache-Status"]
    assert kept(caches, cached, f"/{slug}?created") == []


async def test_credentials_go_straight_to_the_application(cached: Node, caches: list[Cache]) -> None:
    """From the first time on, whatever is stored for others; the answer is the same as behind a fetch."""
    private, public = [await cached.paste("mine\n", visibility=one) for one in ("private", "unlisted")]
    await ask(cached, f"/{public['slug']}/raw")
    for made, others in ((private, []), (public, [b"mine\n"])):
        path, owner = f"/{made['slug']}/raw", {"Authorization": f"Bearer {made['token']}"}
        for _ in range(2):
            status, body, headers = await ask(cached, path, headers=owner)
            assert (status, body) == (200, b"mine\n")
            assert headers["Cache-Status"] == "pastebin; fwd=uri-miss; detail=uncacheable"
            assert "no-store" in headers["Cache-Control"]
        assert kept(caches, cached, path) == others
        asked = {**owner, "Cache-Control": "only-if-cached"}
        assert (await ask(cached, path, headers=asked))[0] == 504


async def test_every_answer_says_how_it_was_come_by(cached: Node) -> None:
    slug = (await cached.paste("told\n"))["slug"]
    for path, method, said in [
        (f"/{slug}/raw", "GET", "fwd=uri-miss"),
        ("/nothing-here", "GET", "fwd=uri-miss"),
        ("/nothing-here", "HEAD", "hit"),
        ("/", "POST", "fwd=method"),
        (f"/api/v1/pastes/{slug}", "DELETE", "fwd=method"),
        ("/api/v1/limits", "GET", "hit"),
    ]:
        _, _, headers = await ask(cached, path, method)
        assert said in headers["Cache-Status"], (method, path)
        assert headers["Cache-Status"].startswith("pastebin; ")
        assert "Surrogate-Key" not in headers


async def test_an_id_is_of_one_answer(cached: Node) -> None:
    slug = (await cached.paste("ids\n"))["slug"]
    ids = [(await ask(cached, f"/{slug}/raw"))[2]["X-Request-Id"] for _ in range(3)]
    assert len(set(ids)) == 3
    given = await ask(cached, f"/{slug}/raw", headers={"X-Request-Id": "given-by-the-client"})
    assert given[2]["X-Request-Id"] == "given-by-the-client"


async def test_only_if_cached_asks_nobody(cached: Node) -> None:
    slug = (await cached.paste("not yet\n"))["slug"]
    for method in ("GET", "HEAD"):
        status, *_ = await ask(cached, f"/{slug}/raw", method, headers={"Cache-Control": "only-if-cached"})
        assert status == 504
    body = (await ask(cached, f"/{slug}/raw", headers={"Cache-Control": "only-if-cached"}))[1]
    assert b"/problems/not-stored" in body


POISON = [
    {"X-Forwarded-Host": "evil.example"},
    {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "444"},
    {"Forwarded": "host=evil.example;proto=https"},
    {"X-Original-URL": "/evil"},
    {"X-Rewrite-URL": "/evil"},
    {"X-HTTP-Method-Override": "DELETE"},
    {"X-Host": "evil.example"},
    {"Range": "bytes=0-0"},
    {"If-None-Match": "*"},
    {"If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"},
    {"Accept-Encoding": "identity;q=0"},
    {"Cookie": "consistency=forged"},
    {"Pastebin-Consistency": "forged"},
    {"Pastebin-Min-LSN": "forged"},
    {"Authorization": "Bearer forged"},
    {"Cookie": "a=b"},
    {"Expect": "100-continue"},
    {"Connection": "close, Host"},
    {"TE": "trailers"},
]


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: next(iter(poison)))
async def test_nobody_decides_what_others_get(cached: Node, poison: dict[str, str]) -> None:
    """Whatever the first one says besides the address, the second one gets the whole and true answer."""
    made = await cached.paste("the truth\n")
    for path in (f"/{made['slug']}/raw", f"/{made['slug']}", f"/api/v1/pastes/{made['slug']}"):
        await ask(cached, path, headers=poison)
        status, body, headers = await ask(cached, path)
        assert status == 200
        assert b"the truth\n" in body or made["slug"].encode() in body
        assert b"evil" not in body
        assert "Content-Range" not in headers


async def test_a_body_has_no_say_in_what_is_kept(cached: Node, caches: list[Cache]) -> None:
    """A GET with a body is passed and never stored."""
    slug = (await cached.paste("thin\n"))["slug"]
    _, body, headers = await ask(cached, f"/{slug}/raw", data=b"fat")
    assert body == b"thin\n"
    assert headers["Cache-Status"].startswith("pastebin; fwd=bypass; detail=body")
    assert kept(caches, cached, f"/{slug}/raw") == []


async def test_hosts_do_not_share_what_is_kept(cached: Node) -> None:
    """The application builds addresses of the Host it was asked for."""
    slug = (await cached.paste("hosts\n"))["slug"]
    for host in ("a.example", "b.example:8080", "A.example", "a.example:80"):
        _, body, headers = await ask(cached, f"/api/v1/pastes/{slug}", headers={"Host": host})
        assert f'"url":"http://{host}/'.encode() in body.replace(b'": "', b'":"') or "; hit" in headers["Cache-Status"]
        assert (b"b.example" in body) == host.startswith("b")


async def test_a_query_is_part_of_the_address(cached: Node) -> None:
    made = await cached.paste("one\ntwo\nthree\n")
    whole = await ask(cached, f"/{made['slug']}/raw")
    part = await ask(cached, f"/{made['slug']}/raw?lines=2-2")
    assert (whole[1], part[1]) == (b"one\ntwo\nthree\n", b"two\n")


async def test_cold_reads_at_the_same_time_are_one(cached: Node) -> None:
    """500 of them ask the application once."""
    slug = (await cached.paste("hot\n" * 100))["slug"]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as http:

        async def read() -> tuple[bytes, str]:
            async with http.get(f"{cached.url}/{slug}/raw") as response:
                return await response.read(), response.headers["Cache-Status"]

        told = await asyncio.gather(*(read() for _ in range(500)))
    assert {body for body, _ in told} == {b"hot\n" * 100}
    assert len([status for _, status in told if "fwd=uri-miss" in status and "collapsed" not in status]) == 1


async def test_a_change_is_seen_at_once_where_it_came_through(cached: Node) -> None:
    made = await cached.paste("old\n")
    path, owner = f"/{made['slug']}/raw", {"Authorization": f"Bearer {made['token']}"}
    for number in range(5):
        await ask(cached, path)
        content = f"new {number}\n"
        url = f"/api/v1/pastes/{made['slug']}"
        status, _, _ = await ask(cached, url, "PATCH", json={"content": content}, headers=owner)
        assert status == 200
        assert (await ask(cached, path))[1] == content.encode()
    assert (await ask(cached, f"/api/v1/pastes/{made['slug']}", "DELETE", headers=owner))[0] == 204
    assert (await ask(cached, path))[0] == 404


async def test_who_has_just_written_reads_past_the_cache(cached: Node) -> None:
    """Unless the edge is known to have heard of it."""
    async with cached.http.post(f"{cached.url}/", data=b"written\n") as response:
        token, address = response.headers["Pastebin-Consistency"], (await response.text()).split()[0]
    path = address.removeprefix(cached.url) + "/raw"
    _, body, headers = await ask(cached, path, headers={"Pastebin-Consistency": token})
    assert body == b"written\n"
    assert headers["Cache-Status"].startswith(("pastebin; fwd=bypass; detail=consistency", "pastebin; hit"))


async def test_figures_tell_of_hits_and_misses(cached: Node) -> None:
    slug = (await cached.paste("figures\n"))["slug"]
    await ask(cached, f"/{slug}/raw", headers={"Cookie": "owner=x"})
    await ask(cached, f"/{slug}/raw")
    async with cached.http.get(f"{cached.internal}/metrics") as response:
        text = await response.text()
    for line in ('pastebin_edge_answers_total{kind="pass"}', 'pastebin_edge_answers_total{kind="miss"}'):
        assert float(text.split(line)[1].split()[0]) >= 1
    assert 'pastebin_edge_fetch_duration_seconds_count{outcome="2xx"}' in text


async def test_a_worker_tells_the_edge_of_its_node_at_once(session_database_dsn: str) -> None:
    """Not only when it renews its claims, every 20 s here: until it is told an edge has to ask before each answer."""
    roles = ["cdn-worker", "read", "write", "edge"]
    settings = {"node__roles": roles, "cdn__lease_seconds": 60}
    async with directory() as path, started(session_database_dsn, path, **settings) as node:
        paste = await node.paste()
        async with asyncio.timeout(15):
            while "; hit" not in (await ask(node, f"/{paste['slug']}/raw"))[2]["Cache-Status"]:
                pass
