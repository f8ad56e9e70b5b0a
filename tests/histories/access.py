"""How a client reaches the service: by the addresses that DNS gives it, one after the other, as a browser does."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
from multidict import CIMultiDict

from tests.histories.operations import Operation, Outcome

Address = tuple[str, int]
# A socket where the client is, which may be a network namespace of its own.
OpenSocket = Callable[[socket.AddressFamily, socket.SocketKind], socket.socket]
Record = Callable[[Operation], None]

TRY_SECONDS = 10.0
_CONNECT_SECONDS = 2.0
_ROUNDS = 3
_ANSWER_SECONDS = 3.0
_AGAIN = frozenset({429, 502, 503, 504})


class Names(Protocol):
    """Where to find the service now."""

    async def addresses(self) -> Sequence[Address]: ...


@dataclass(frozen=True)
class Fixed:
    """Addresses that are known."""

    known: Sequence[Address]

    async def addresses(self) -> Sequence[Address]:
        return self.known


@dataclass
class Resolver:
    """A resolver of its region: asks one name server after the other, and keeps an answer for its time to live."""

    region: str
    name: str
    port: int
    servers: Sequence[Address]
    open_socket: OpenSocket
    record: Record
    _known: Sequence[Address] = ()
    _until: float = 0.0
    _turn: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def addresses(self) -> Sequence[Address]:
        async with self._lock:
            if time.monotonic() >= self._until:
                await self._resolve()
        return self._known

    async def _resolve(self) -> None:
        invoked, said = time.monotonic(), []
        for _ in range(_ROUNDS * len(self.servers)):
            server = self.servers[self._turn % len(self.servers)]
            self._turn += 1
            answer = await self._ask(server)
            if answer is None:
                said.append("silence")
                continue
            ttl, found = _addresses(answer)
            said.append(f"{server[0]} {dns.rcode.to_text(answer.rcode())} {found} {ttl} s")
            if found or answer.rcode() not in (dns.rcode.REFUSED,):
                self._known = [(address, self.port) for address in found]
                self._until = time.monotonic() + max(ttl, 1)
                break
        now = time.monotonic()
        outcome: Outcome = "ok" if now < self._until and self._known else "fail"
        how = ", ".join(said)
        self.record(Operation("resolver", self.region, "resolve", "", invoked, now, outcome, how=how))

    async def _ask(self, server: Address) -> dns.message.Message | None:
        """By UDP, and by TCP where that is too small; None if nothing comes."""
        query = dns.message.make_query(self.name, dns.rdatatype.A, use_edns=0, payload=1232)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = dns.message.from_wire(await self._exchange(server, query.to_wire(), socket.SOCK_DGRAM))
                if answer.flags & dns.flags.TC:
                    answer = dns.message.from_wire(await self._exchange(server, query.to_wire(), socket.SOCK_STREAM))
        except (OSError, EOFError):
            return None
        return answer if query.is_response(answer) else None

    async def _exchange(self, server: Address, query: bytes, kind: socket.SocketKind) -> bytes:
        loop = asyncio.get_running_loop()
        with self.open_socket(socket.AF_INET, kind) as raw:
            raw.setblocking(False)
            await loop.sock_connect(raw, server)
            if kind == socket.SOCK_DGRAM:
                await loop.sock_sendall(raw, query)
                return await loop.sock_recv(raw, 65535)
            await loop.sock_sendall(raw, len(query).to_bytes(2) + query)
            got = b""
            while len(got) < 2 or len(got) < 2 + int.from_bytes(got[:2]):
                piece = await loop.sock_recv(raw, 65535)
                if not piece:
                    raise EOFError
                got += piece
            return got[2:]


def _addresses(answer: dns.message.Message) -> tuple[int, list[str]]:
    """The time to live, and what is there."""
    sets = [one for one in answer.answer if one.rdtype == dns.rdatatype.A]
    return min((one.ttl for one in sets), default=0), [item.address for one in sets for item in one]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came in the end, and what each try was told; without a status nothing has come."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: tuple[str, ...]
    may_have_happened: bool  # some try before the last reached somebody and had no answer that says what became of it

    @property
    def how(self) -> str:
        return " // ".join(self.tries)


@dataclass(frozen=True)
class Access:
    """The way of the clients of one region."""

    region: str
    host: str
    names: Names
    http: aiohttp.ClientSession

    async def ask(
        self,
        method: str,
        path: str,
        *,
        patience: float,
        is_safe: bool = True,
        seconds: float = TRY_SECONDS,
        **what: Any,
    ) -> Answer:
        """Try again until something has said what becomes of it, or `patience` seconds are over. What is not safe to
        send again is only if it was never sent.
        """
        tries: list[str] = []
        until = time.monotonic() + patience
        unclear = False
        while True:
            for address in await self.names.addresses():
                answer, is_clear = await self._try(address, method, path, seconds, what, tries, unclear)
                if answer is not None:
                    return answer
                unclear = unclear or not is_clear
                if unclear and not is_safe:
                    return Answer(0, {}, b"", tuple(tries), unclear)
            if time.monotonic() > until:
                return Answer(0, {}, b"", tuple(tries), unclear)
            await asyncio.sleep(random.uniform(0.2, 0.6))  # noqa: S311  (no secret)

    async def _try(
        self, address: Address, method: str, path: str, seconds: float, what: Any, tries: list[str], unclear: bool
    ) -> tuple[Answer | None, bool]:
        """The answer if it is one that counts; whether the server cannot have done anything otherwise."""
        began = time.monotonic()
        headers = {"Host": self.host, **what.get("headers", {})}
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        where = f"{address[0]}:{address[1]}"
        try:
            async with self.http.request(
                method,
                f"http://{where}{path}",
                timeout=timeout,
                allow_redirects=False,
                **{**what, "headers": headers},
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as failure:
            tries.append(f"{where} {type(failure).__name__} {time.monotonic() - began:.2f}s")
            return None, True
        except (aiohttp.ClientError, OSError) as failure:
            tries.append(f"{where} {type(failure).__name__} {time.monotonic() - began:.2f}s")
            return None, False
        tries.append(f"{where} {response.status} {time.monotonic() - began:.2f}s {_notes(response.headers)}".rstrip())
        if response.status in _AGAIN:
            return None, False
        return Answer(response.status, CIMultiDict(response.headers), content, tuple(tries), unclear), True


def _notes(headers: Mapping[str, str]) -> str:
    """What helps to understand an answer later."""
    shown = ("Cache-Status", "Pastebin-Purge", "Age")
    return " ".join(f"[{headers[name]}]" for name in shown if name in headers)


@asynccontextmanager
async def opened(region: str, host: str, names: Names, open_socket: OpenSocket | None = None) -> AsyncIterator[Access]:
    """The access of a region while the block lasts."""

    def factory(info: Any) -> socket.socket:
        assert open_socket is not None
        made = open_socket(info[0], info[1])
        made.setblocking(False)
        return made

    connector = aiohttp.TCPConnector(limit=0, socket_factory=None if open_socket is None else factory)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        http._retry_connection = False  # it would send a DELETE twice, and tell of the second one only
        yield Access(region, host, names, http)
