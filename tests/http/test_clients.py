"""Whose address counts: the peer's, or behind proxies that are trusted the one that they name."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.capacity import Capacity
from pastebin.http.clients import Clients
from tests.http import doors

_CLIENTS = Clients(["10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        # nobody is believed who is not trusted
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("192.0.2.1", [], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        # what the client wrote itself stands to the left
        ("10.0.0.1", ["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7", "10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("2001:db8::1", ["2001:db9::7"], "2001:db9::7"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        # as some proxies write it
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db9::7]:4711"], "2001:db9::7"),
        # what is no address is not believed, nor what stands before it
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, <script>, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("local", ["198.51.100.7"], "local"),
    ],
)
def test_the_rightmost_address_that_is_not_trusted_counts(peer: str, forwarded: list[str], expected: str) -> None:
    assert _CLIENTS.address(peer, forwarded) == expected


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert Clients().address("10.0.0.1", ["198.51.100.7"]) == "10.0.0.1"


@given(st.text(), st.ip_addresses(v=4, network="198.51.100.0/24"))
def test_whatever_a_client_writes_does_not_change_its_address(written: str, client: object) -> None:
    assert _CLIENTS.address("10.0.0.1", [written, f"{client}, 10.0.0.2"]) == str(client)


async def remote(request: web.Request) -> web.Response:
    body = b"".join([chunk async for chunk in request.content.iter_any()])
    return web.Response(text=f"{request.remote} {body.decode()}")


async def test_a_request_has_the_address_of_its_client() -> None:
    routes = [web.get("/", remote), web.post("/", remote)]
    headers = {"X-Forwarded-For": "6.6.6.6, 198.51.100.7"}
    async with doors.behind(routes, trusted_proxies=["127.0.0.0/8"]) as door:
        async with door.http.get(door.url, headers=headers) as response:
            assert await response.text() == "198.51.100.7 "
        async with door.http.post(door.url, headers=headers, data=b"x" * 1500) as response:
            assert await response.text() == f"198.51.100.7 {'x' * 1500}"
    async with doors.behind(routes) as door, door.http.get(door.url, headers=headers) as response:
        assert await response.text() == "127.0.0.1 "


def test_a_proxy_is_not_held_to_the_limit_of_one_client() -> None:
    capacity = Capacity(5, 2, is_shared=_CLIENTS.is_trusted)
    assert [capacity.admit("10.0.0.1") for _ in range(6)] == [True] * 5 + [False]
    for _ in range(5):
        capacity.release("10.0.0.1")
    assert [capacity.admit("192.0.2.1") for _ in range(3)] == [True, True, False]


async def test_the_limit_of_connections_counts_clients_and_not_their_proxy() -> None:
    routes = [web.get("/", remote)]
    async with doors.behind(routes, trusted_proxies=["127.0.0.1"], max_connections_per_address=1) as door:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:

            async def ask(number: int) -> str:
                async with http.get(door.url, headers={"X-Forwarded-For": f"192.0.2.{number}"}) as response:
                    return await response.text()

            answers = await asyncio.gather(*(ask(number) for number in range(4)))
    assert answers == [f"192.0.2.{number} " for number in range(4)]
