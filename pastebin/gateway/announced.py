"""The PROXY protocol, version 2: a balancer of layer 4 says first who has connected to it.

HAProxy, "The PROXY protocol", section 2.2. Where it is expected every connection begins with it, or ends.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple, cast

from pastebin.http.protocol import HEAD_SECONDS, Connection

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED_BYTES = 16
_MOST_BYTES = 4096
_LOCAL, _PROXY = 0x20, 0x21
# Bytes that two addresses and two ports take, by family; of what is no stream over IP nothing is believed.
_TCP4, _TCP6 = 0x11, 0x21


class Announcement(NamedTuple):
    """Who has connected (None: the balancer itself, which looks whether somebody is there), and the bytes it took."""

    peer: tuple[str, int] | None
    size: int


def read(data: bytes) -> Announcement | None:
    """The announcement at the beginning; None while more is needed. Raises ValueError for what is none."""
    if not data.startswith(_SIGNATURE[: len(data)]):
        raise ValueError("it does not begin like one")
    if len(data) < _FIXED_BYTES:
        return None
    command, family, length = struct.unpack_from(">BBH", data, len(_SIGNATURE))
    size = _FIXED_BYTES + length
    if command not in (_LOCAL, _PROXY) or size > _MOST_BYTES:
        raise ValueError("it has an unknown command, or is too long")
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Announcement(None, size)
    if family == _TCP4 and length >= 12:
        source, _, port, _ = struct.unpack_from(">4s4sHH", data, _FIXED_BYTES)
        return Announcement((str(IPv4Address(source)), port), size)
    if family == _TCP6 and length >= 36:
        source, _, port, _ = struct.unpack_from(">16s16sHH", data, _FIXED_BYTES)
        return Announcement((str(IPv6Address(source)), port), size)
    raise ValueError("it names no addresses of TCP")


class Announced(asyncio.Protocol):
    """A connection until it is announced; from then on it is the one that `make` makes, with that peer."""

    def __init__(self, make: Callable[[], Connection]) -> None:
        self._make = make
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None  # noqa: S101  (there is data)
        self._received += data
        try:
            found = read(self._received)
        except ValueError:
            self._transport.abort()
            return
        if found is None:
            return
        self._cancel()
        connection = self._make()
        transport = self._transport if found.peer is None else _Known(self._transport, found.peer)
        self._transport.set_protocol(connection)
        connection.connection_made(cast(asyncio.Transport, transport))
        if rest := self._received[found.size :]:
            connection.data_received(rest)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Known:
    """A transport whose peer is another than its socket says."""

    def __init__(self, transport: asyncio.Transport, peer: tuple[str, int]) -> None:
        self._transport = transport
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peer if name == "peername" else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
