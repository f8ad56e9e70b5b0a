"""UDP: sockets that share an address, each drained whenever there is something in it."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from pastebin.geodns.responding import Responder, client_of

log = logging.getLogger(__name__)

_BATCH = 64  # datagrams at once, then others get their turn
_MOST_BYTES = 4096
_BUFFER_BYTES = 1024**2
_ROOM = 128
_IN_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_IN6_RECVPKTINFO = getattr(socket, "IPV6_RECVPKTINFO", 49)
_IN6_PKTINFO = getattr(socket, "IPV6_PKTINFO", 50)


def bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A socket that shares its address with others of this user. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind is socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


@asynccontextmanager
async def answering(sockets: list[socket.socket], responder: Responder) -> AsyncIterator[None]:
    """Answer while the block lasts. What is in the sockets at the end is still answered; they are closed then."""
    loop = asyncio.get_running_loop()
    drains: list[Callable[[], None]] = []
    with ExitStack() as stack:
        for opened in sockets:
            stack.callback(opened.close)
        for opened in sockets:
            drain = _draining(opened, responder)
            drains.append(drain)
            loop.add_reader(opened, drain)
            stack.callback(loop.remove_reader, opened)
        try:
            yield
        finally:
            for drain in drains:
                drain()


def _draining(opened: socket.socket, responder: Responder) -> Callable[[], None]:
    """A function that answers what is in the socket, but not for ever."""
    receive, send = _own_address(opened) if _is_any(opened) else _plain(opened)

    def drain() -> None:
        now = time.time()
        for _ in range(_BATCH):
            try:
                packet, host, back = receive()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:  # an ICMP message about an answer of before
                log.debug("a datagram could not be received: %s", error)
                continue
            try:
                answer = responder.datagram(packet, host, now)
                if answer is not None:
                    send(answer, back)
            except OSError:  # the buffer is full, or there is no way back: UDP loses datagrams
                continue
            except Exception:  # one question must not end the service of all others
                log.exception("a datagram of %d bytes was not answered", len(packet))
        responder.tell()

    return drain


Receive = Callable[[], tuple[bytes, str, Any]]  # packet, client, where to send the answer
Send = Callable[[bytes, Any], Any]


def _plain(opened: socket.socket) -> tuple[Receive, Send]:
    def receive() -> tuple[bytes, str, Any]:
        packet, address = opened.recvfrom(_MOST_BYTES)
        return packet, client_of(address[0]), address

    return receive, opened.sendto


def _is_any(opened: socket.socket) -> bool:
    return opened.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104  (asked for, not bound)


def _own_address(opened: socket.socket) -> tuple[Receive, Send]:
    """On all addresses an answer has to leave from the one that was asked, which the kernel does not do by itself."""
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, _IN6_RECVPKTINFO, 1)
    else:
        opened.setsockopt(socket.IPPROTO_IP, _IN_PKTINFO, 1)

    def receive() -> tuple[bytes, str, Any]:
        packet, extra, _, address = opened.recvmsg(_MOST_BYTES, _ROOM)
        return packet, client_of(address[0]), (extra, address)

    def send(answer: bytes, back: Any) -> None:
        extra, address = back
        opened.sendmsg([answer], [(level, type_, _own(level, type_, data)) for level, type_, data in extra], 0, address)

    return receive, send


def _own(level: int, type_: int, data: bytes) -> bytes:
    """Where it came to, as where to send from; IPv4's says so in another member (ip(7))."""
    if level == socket.IPPROTO_IP and type_ == _IN_PKTINFO:
        return struct.pack("=I4s4s", 0, data[4:8], b"\0" * 4)
    return data
