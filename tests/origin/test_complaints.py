"""Complaints: from anybody, few from one address, kept until somebody has decided; and pastes that are taken down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.nodes import Node, directory, started


@pytest.fixture(scope="module")
async def site(session_database_dsn: str) -> AsyncIterator[Node]:
    """Behind a proxy, so that tests can be anybody."""
    async with (
        directory() as path,
        started(session_database_dsn, path, doors__trusted_proxies=["127.0.0.1"]) as running,
    ):
        yield running


async def report(node: Node, slug: str, client: str = "192.0.2.1", **body: Any) -> int:
    async with node.http.post(
        f"{node.url}/api/v1/pastes/{slug}/report",
        json={"reason": "spam"} | body,
        headers={"X-Forwarded-For": client},
    ) as response:
        if response.status == 429:
            assert 1 <= int(response.headers["Retry-After"]) <= 30
        return response.status


async def kept(node: Node, slug: str) -> list[tuple[str, str | None]]:
    rows = await node.sql("select reason, details from reports where slug = $1 order by id", slug)
    return [(row["reason"], row["details"]) for row in rows]


async def test_a_complaint_is_kept_and_noted_in_the_outbox(site: Node) -> None:
    slug = (await site.paste("text"))["slug"]
    assert await report(site, slug, reason="phishing", details="my\nbank") == 204
    assert await report(site, slug) == 204
    assert await kept(site, slug) == [("phishing", "my\nbank"), ("spam", None)]
    rows = await site.sql("select kind, tell from outbox where slug = $1 and kind = 'report'", slug)
    assert [tuple(row) for row in rows] == [("report", False)] * 2


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "dislike"},
        {"reason": 1},
        {"details": "x" * 2001},
        {"details": "\0"},
        {"other": 1},
        {"details": "\ud800"},
    ],
)
async def test_what_is_no_complaint_is_refused(site: Node, body: dict[str, Any]) -> None:
    slug = (await site.paste("text"))["slug"]
    assert await report(site, slug, client="192.0.2.2", **body) == 422
    assert await kept(site, slug) == []


async def test_there_are_complaints_only_about_what_a_stranger_can_know(site: Node) -> None:
    private = (await site.paste("text", visibility="private"))["slug"]
    for slug in (private, "nosuchpaste", "..", "%00"):
        assert await report(site, slug, client="192.0.2.3") == 404
    assert await kept(site, private) == []


async def test_from_one_address_come_only_so_many(site: Node) -> None:
    slug = (await site.paste("text"))["slug"]
    answers = [await report(site, slug, client="2001:db8::1") for _ in range(12)]
    assert answers == [204] * 10 + [429] * 2
    assert await report(site, slug, client="2001:db8::2") == 429  # a /64 is one client
    assert await report(site, slug, client="2001:db9::1") == 204


async def test_what_is_taken_down_is_gone_for_good_and_says_so(site: Node) -> None:
    paste = await site.paste("text")
    private = await site.paste("text", visibility="private")
    slug = paste["slug"]
    await report(site, slug, client="192.0.2.4")
    moderated = "update pastes set state = 'taken-down', ended_at = now() where slug = any($1)"
    await site.sql(moderated, [slug, private["slug"]])
    owner = {"Authorization": f"Bearer {paste['token']}"}
    for path, accept in ((f"/{slug}", "text/html"), (f"/{slug}/raw", "*/*"), (f"/api/v1/pastes/{slug}", "*/*")):
        async with site.http.get(site.url + path, headers={"Accept": accept}) as response:
            assert response.status == 451
    async with site.http.patch(f"{site.url}/api/v1/pastes/{slug}", json={"title": "x"}, headers=owner) as response:
        assert (response.status, (await response.json())["type"]) == (451, "/problems/paste-taken-down")
    async with site.http.get(f"{site.url}/{private['slug']}/raw") as response:
        assert response.status == 404  # nobody is told that it was there
    async with site.http.post(f"{site.url}/api/v1/pastes", json={"content": "mine", "slug": slug}) as response:
        assert response.status == 409
