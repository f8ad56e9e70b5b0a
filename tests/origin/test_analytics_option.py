"""Who may see how often a paste is read, and that nothing is counted of one that is off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.nodes import Node, directory, started

# As an edge asks: clients do not get to see the header.
_AS_EDGE = {"Pastebin-Counted": "1"}


@pytest.fixture(scope="module")
async def origin(session_database_dsn: str) -> AsyncIterator[Node]:
    async with directory() as path, started(session_database_dsn, path, node__roles=["web", "read", "write"]) as node:
        yield node


async def told(node: Node, slug: str) -> Any:
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
        return (await response.json())["analytics"]


@pytest.mark.parametrize("value", ["owner", "public", "off"])
async def test_it_can_be_asked_for_in_every_way(origin: Node, value: str) -> None:
    created = [await origin.paste("text", analytics=value)]
    form = aiohttp.FormData({"content": "text", "analytics": value}, default_to_multipart=True)
    for data, query in ((form, ""), (b"text", f"?analytics={value}")):
        async with origin.http.post(f"{origin.url}/api/v1/pastes{query}", data=data) as response:
            assert response.status == 201
            created.append(await response.json())
    assert [await told(origin, one["slug"]) for one in created] == [value] * 3


async def test_the_owner_alone_unless_said_otherwise_and_no_other_word(origin: Node) -> None:
    paste = await origin.paste("text")
    assert paste["analytics"] == "owner"
    async with origin.http.post(
        f"{origin.url}/api/v1/pastes", json={"content": "text", "analytics": "everybody"}
    ) as response:
        assert response.status == 422
        assert "analytics" in await response.text()


async def test_it_can_be_changed_and_taken_back(origin: Node) -> None:
    paste = await origin.paste("text")
    headers = {"Authorization": f"Bearer {paste['token']}"}
    for given, expected in (("off", "off"), ("public", "public"), (None, "owner")):
        async with origin.http.patch(
            f"{origin.url}/api/v1/pastes/{paste['slug']}", json={"analytics": given}, headers=headers
        ) as response:
            assert (await response.json())["analytics"] == expected
        async with origin.http.patch(
            f"{origin.url}/api/v1/pastes/{paste['slug']}", json={"title": "other"}, headers=headers
        ) as response:
            assert (await response.json())["analytics"] == expected


async def test_every_answer_about_a_paste_that_is_off_says_so(origin: Node) -> None:
    paste = await origin.paste("text", analytics="off")
    other = await origin.paste("text")
    for path, accept in (
        ("/{}", "text/html"),
        ("/{}", "*/*"),
        ("/{}/raw", "*/*"),
        ("/raw/{}?lines=1-1", "*/*"),
        ("/api/v1/pastes/{}", "*/*"),
        ("/api/v1/pastes/{}?content=true", "*/*"),
    ):
        for slug, expected in ((paste["slug"], "off"), (other["slug"], None)):
            address = origin.url + path.format(slug)
            async with origin.http.get(address, headers={**_AS_EDGE, "Accept": accept}) as response:
                assert (response.status, response.headers.get("Pastebin-Analytics")) == (200, expected)
                tag = response.headers.get("ETag")
            if tag is not None:
                headers = {**_AS_EDGE, "Accept": accept, "If-None-Match": tag}
                async with origin.http.get(address, headers=headers) as response:
                    assert (response.status, response.headers.get("Pastebin-Analytics")) == (304, expected)


async def test_so_does_what_a_protected_one_shows(origin: Node) -> None:
    paste = await origin.paste("text", analytics="off", max_reads=5)
    async with origin.http.get(
        f"{origin.url}/{paste['slug']}", headers={**_AS_EDGE, "Accept": "text/html"}
    ) as response:
        assert (response.status, response.headers.get("Pastebin-Analytics")) == (200, "off")
    for accept in ("application/json", "*/*"):
        async with origin.http.post(
            f"{origin.url}/api/v1/pastes/{paste['slug']}/reveal", headers={**_AS_EDGE, "Accept": accept}
        ) as response:
            assert (response.status, response.headers.get("Pastebin-Analytics")) == (200, "off")
    async with origin.http.post(
        f"{origin.url}/{paste['slug']}/reveal", headers={**_AS_EDGE, "Accept": "text/html", "Origin": origin.url}
    ) as response:
        assert (response.status, response.headers.get("Pastebin-Analytics")) == (200, "off")


async def test_a_key_makes_one_paste_of_equal_requests_only(origin: Node) -> None:
    async def create(**options: str) -> int:
        headers = {"Idempotency-Key": "the same key every time"}
        async with origin.http.post(
            f"{origin.url}/api/v1/pastes", json={"content": "text", **options}, headers=headers
        ) as response:
            return response.status

    assert [await create(analytics="off"), await create(analytics="off"), await create()] == [201, 201, 422]
