"""The last moment of a socket that listens: nobody new, and nobody left in the kernel's queue."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# Classic BPF on a segment of TCP (RFC 9293, 3.1), as in linux/filter.h: drop it if the flag SYN (2 in byte 13) is set.
_NO_SYN = struct.pack("=" + "HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 2, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)
_TURNS = 5
_TURN_SECONDS = 0.001


async def emptied(sockets: Iterable[socket.socket]) -> None:
    """Let in who has a connection already, and nobody who asks for one now: closing would reset what is in the queue.

    Whoever asks meanwhile asks again by himself, and is refused by then. Only Linux can do this; elsewhere it is not.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(_NO_SYN)
    for listening in sockets:
        with suppress(OSError), socket.socket(fileno=os.dup(listening.fileno())) as same:
            argument = struct.pack("@HP", len(_NO_SYN) // 8, ctypes.addressof(program))
            same.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
    for _ in range(_TURNS):
        await asyncio.sleep(_TURN_SECONDS)
