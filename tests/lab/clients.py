"""Clients of one region as a process of its own: `python -m tests.lab.clients`, begun where the region's clients are.

They resolve, connect, create and read, check every byte, and do what a browser does when a server is gone: ask DNS
again and try the next address. Standard output has one JSON line for every second, standard input takes pastes that
others have made; both are lists of (path, text).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiodns
import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

_DNS_SECONDS = 1.0
_ATTEMPT_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_KNOWN = 500
_SHARED = 5
# Answers after which a client tries again: nothing is wrong with its request.
_LATER = (502, 503, 504)


class Resolver(AbstractResolver):
    """Asks the name servers of the region, keeps answers for their time to live, and forgets what does not work."""

    def __init__(self, servers: Sequence[tuple[str, int]], address: str) -> None:
        self._servers = [f"{host}:{port}" for host, port in servers]
        self._address = address
        self._kept: dict[str, tuple[float, list[str]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        until, found = self._kept.get(host, (0.0, []))
        if time.monotonic() >= until:
            found = await self._ask(host)
        return [
            ResolveResult(hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0) for one in found
        ]

    def forget(self) -> None:
        self._kept.clear()

    async def close(self) -> None:
        pass

    async def _ask(self, host: str) -> list[str]:
        options: dict[str, Any] = {"local_ip": self._address} if self._address else {}
        async with aiodns.DNSResolver(nameservers=self._servers, timeout=_DNS_SECONDS, tries=2, **options) as resolver:
            try:
                answer = await resolver.query_dns(host, "A")
            except aiodns.error.DNSError as error:
                raise OSError(None, f"{host} is not resolved: {error}") from error
        records = [record for record in answer.answer if hasattr(record.data, "addr")]
        if not records:
            raise OSError(None, f"{host} has no address")
        found = [str(record.data.addr) for record in records]
        self._kept[host] = time.monotonic() + min(record.ttl for record in records), found
        return found


@dataclass
class Figures:
    """What happened in a second."""

    creates: int = 0
    reads: int = 0
    retries: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    made: list[tuple[str, str]] = field(default_factory=list)

    def line(self, region: str) -> str:
        return json.dumps(
            {
                "region": region,
                "creates": self.creates,
                "reads": self.reads,
                "retries": self.retries,
                "failures": self.failures,
                "seconds": [round(one, 5) for one in self.seconds],
                "made": self.made[:_SHARED],
            }
        )


class Clients:
    """Many at once; a request counts as failed when no try of `patience` seconds brought the right answer."""

    def __init__(self, region: str, url: str, resolver: Resolver, address: str, patience: float) -> None:
        self.region = region
        self.url = url
        self.figures = Figures()
        self.known: deque[tuple[str, str]] = deque(maxlen=_KNOWN)
        self._resolver = resolver
        self._address = address
        self._patience = patience

    async def run(self, rate: float, seconds: float, creates: float) -> None:
        """So many requests a second, begun at even distances, whatever becomes of the ones before."""
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            limit=0,
            local_addr=(self._address, 0) if self._address else None,
        )
        timeout = aiohttp.ClientTimeout(total=_ATTEMPT_SECONDS, sock_connect=2.0)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as tasks,
        ):
            begun = time.monotonic()
            number = 0
            while not seconds or time.monotonic() - begun < seconds:
                if creates or self.known:
                    tasks.create_task(self._one(http, creates), name="a request")
                number += 1
                await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))

    async def report(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.flush()

    def flush(self) -> None:
        done, self.figures = self.figures, Figures()
        print(done.line(self.region), flush=True)

    async def listen(self) -> None:
        """Learn what others have made."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1024**2)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.known.extend((path, text) for path, text in json.loads(line))

    async def _one(self, http: aiohttp.ClientSession, share: float) -> None:
        begun = time.monotonic()
        creates = not self.known or random.random() < share  # noqa: S311  (a mix)
        what = self._create if creates else self._read
        given = random.choice(self.known) if not creates else ("", _text(self.region))  # noqa: S311
        key = secrets.token_hex(16)
        while True:
            try:
                wrong = await what(http, *given, key)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                wrong = f"{type(error).__name__}: {error}"
                self._resolver.forget()
            if not wrong:
                break
            if time.monotonic() - begun > self._patience or wrong.startswith("wrong"):
                self.figures.failures.append(f"{'create' if creates else 'read'} {given[0]}: {wrong}")
                return
            self.figures.retries += 1
            await asyncio.sleep(_PAUSE_SECONDS)
        self.figures.seconds.append(time.monotonic() - begun)
        if creates:
            self.figures.creates += 1
        else:
            self.figures.reads += 1

    async def _create(self, http: aiohttp.ClientSession, _path: str, text: str, key: str) -> str:
        """A retry carries the same key: it never makes a second paste."""
        async with http.post(f"{self.url}/", data=text.encode(), headers={"Idempotency-Key": key}) as response:
            body = await response.text()
            if response.status != 201:
                return _complaint(response.status, body)
            path = f"{urlsplit(body.strip()).path}/raw"
            self.known.append((path, text))
            self.figures.made.append((path, text))
            return ""

    async def _read(self, http: aiohttp.ClientSession, path: str, text: str, _key: str) -> str:
        async with http.get(f"{self.url}{path}") as response:
            body = await response.text()
            if response.status != 200:
                return _complaint(response.status, body)
            return "" if body == text else f"wrong body: {body[:80]!r}"


def _complaint(status: int, body: str) -> str:
    return f"{'' if status in _LATER else 'wrong answer: '}{status} {body[:200]}"


def _text(region: str) -> str:
    return f"{region} {secrets.token_hex(16)}\n" * random.randint(1, 40)  # noqa: S311  (a size)


async def _run(arguments: argparse.Namespace) -> None:
    servers = [(host, int(port)) for host, _, port in (text.rpartition(":") for text in arguments.server)]
    address = arguments.address
    clients = Clients(arguments.region, arguments.url, Resolver(servers, address), address, arguments.patience)
    helpers = [asyncio.create_task(clients.report()), asyncio.create_task(clients.listen())]
    try:
        await clients.run(arguments.rate, arguments.seconds, arguments.creates)
    finally:
        for helper in helpers:
            helper.cancel()
        clients.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("region")
    parser.add_argument("url")
    parser.add_argument("--server", action="append", default=[])
    parser.add_argument("--address", default="", help="to come from")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=0.0, help="0: until killed")
    parser.add_argument("--creates", type=float, default=0.2, help="their share")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds until a request has failed")
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
