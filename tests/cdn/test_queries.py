"""Parameters that an origin does not read: no keys of their own, and no way to have another answer stored."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

import pastebin
from pastebin.cdn.queries import OWN, Queries
from pastebin.http.payloads import ReadQuery, WindowQuery
from pastebin.origin.embedding import EmbedQuery, OembedQuery
from tests.cdn.edges import edge_before
from tests.cdn.origins import answer, scripted
from tests.nodes import Node, directory, started

FRESH = {"Cache-Control": "max-age=600"}


@pytest.mark.parametrize(
    ("target", "known"),
    [
        ("/a", "/a"),
        ("/a?", "/a"),
        ("/a?1", "/a"),
        ("/a?lines=1-2&utm=x", "/a?lines=1-2"),
        ("/a?utm=x&lines", "/a?lines"),
        ("/a?name=b&lines=1&name=c", "/a?name=b&lines=1&name=c"),
        ("/a?%6cines=1&l%69nes=2", "/a?%6cines=1&l%69nes=2"),
        ("/a?utm;lines=1", "/a"),
        ("/a?utm=?lines=1", "/a"),
        ("/a?&&", "/a"),
    ],
)
def test_what_is_taken_off(target: str, known: str) -> None:
    queries = Queries(["lines", "name"], is_local=False)
    assert queries.known(target) == known
    assert queries.known(f"host:1{target}") == f"host:1{known}"
    assert Queries(["*"], is_local=False).known(target) == target


@pytest.mark.parametrize(
    ("target", "is_strict"),
    [
        ("/abc?since=7d", False),
        ("/abc/raw?format=csv", False),
        ("/abc/stats", False),
        ("/abc/stats?since=7d", True),
        ("/abc/stats?lines=1", False),
        ("/admin/analytics?since=7d", True),
        ("/%61dmin/analytics?since=7d", True),
        ("/api/v1/analytics/top?by=slug", True),
        ("/?h8Kq2ZtV0aB", True),
        ("/?utm=a", False),
    ],
)
def test_where_other_parameters_are_read(target: str, is_strict: bool) -> None:
    assert Queries(["*"], is_local=True).is_strict(target) == is_strict
    assert not Queries(["*"], is_local=False).is_strict(target)


async def test_an_unknown_parameter_is_neither_in_the_key_nor_sent() -> None:
    async with scripted() as origin, edge_before(origin.url, edge__query=["page"]) as client:
        origin.script("/x", answer(200, FRESH, b"x"))
        origin.script("/x?page=2", answer(200, FRESH, b"two"), answer(200, FRESH, b"changed"))
        for number in range(5):
            assert (await client.ask(f"/x?{number}")).body == b"x"
            assert (await client.ask(f"/x?utm={number}&page=2")).body == b"two"
        assert [request.target for request in origin.requests] == ["/x", "/x?page=2"]
        origin.script("/x?page=2&utm=9", answer(200))
        await client.ask("/x?page=2&utm=9", method="POST")
        assert (await client.ask("/x?page=2")).body == b"changed"


async def test_every_parameter_counts_unless_told_otherwise() -> None:
    async with scripted() as origin, edge_before(origin.url) as client:
        for number in range(2):
            origin.script(f"/x?{number}", answer(200, FRESH, b"%d" % number))
            assert (await client.ask(f"/x?{number}")).body == b"%d" % number


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def node(session_database_dsn: str) -> AsyncIterator[Node]:
    async with directory() as path:
        roles = ["web", "read", "write", "cdn-worker", "edge"]
        async with started(session_database_dsn, path, node__roles=roles) as running:
            while "hit" not in (await said(running, "/api/v1/limits"))[0].headers["Cache-Status"]:
                pass  # the worker has not told it yet that it knows everything
            yield running


async def said(node: Node, target: str) -> tuple[aiohttp.ClientResponse, bytes]:
    async with node.http.get(f"{node.url}{target}") as response:
        return response, await response.read()


async def test_copies_of_one_answer_are_one(node: Node) -> None:
    slug = (await node.paste("one\ntwo\n"))["slug"]
    for path in (f"/{slug}/raw", f"/{slug}"):
        await said(node, path)
        for number in range(3):
            response, _ = await said(node, f"{path}?{number}&utm=a")
            assert response.headers["Cache-Status"].startswith("pastebin; hit"), path
    assert (await said(node, f"/{slug}/raw?x&lines=2"))[1] == b"two\n"
    assert (await said(node, f"/{slug}/raw"))[1] == b"one\ntwo\n"
    response, _ = await said(node, f"/{slug}/raw?x&download")
    assert response.headers["Content-Disposition"].startswith("attachment")
    response, _ = await said(node, f"/api/v1/pastes/{slug}")
    assert response.status == 200
    response, _ = await said(node, f"/api/v1/pastes/{slug}?utm=a")
    assert (response.status, response.headers["Cache-Status"]) == (422, "pastebin; fwd=bypass; detail=query")


def test_what_the_origin_reads_is_known() -> None:
    """Of every handler of a GET whose answer may be kept: what is missing here would be taken off before it is read."""
    pattern = re.compile(r'request\.query(?:\.get\(|\[)"(\w+)"|"(\w+)" in request\.query')
    origin = Path(pastebin.__file__).parent / "origin"
    files = set(origin.glob("*.py")) - {origin / "stats.py", origin / "privatebin.py"}  # see is_strict
    found = {one or other for path in files for one, other in pattern.findall(path.read_text("utf-8"))}
    structs = (ReadQuery, WindowQuery, EmbedQuery, OembedQuery)
    assert found.union(*(struct.__struct_fields__ for struct in structs)) == OWN


@pytest.mark.parametrize("target", ["/aslug/stats?since=7d", "/admin/analytics?zone=UTC", "/api/v1/limits?utm=a"])
def test_questions_go_to_the_origin_as_they_are(target: str) -> None:
    queries = Queries(["*"], is_local=True)
    assert queries.is_strict(target)
    assert not queries.is_strict(target.partition("?")[0])
    assert not queries.is_strict("/statistics?since=7d")
