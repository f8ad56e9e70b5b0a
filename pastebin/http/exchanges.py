"""One connection to an origin: requests one after the other, their answers as they arrive.

Not aiohttp's client, for three reasons: the target of a request must reach the origin as it came, an origin that
breaks the rules must be noticed (see `replies`), and a miss inside of the process should cost little.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from multidict import CIMultiDict

from pastebin.errors import BadUpstream, PastebinError, UpstreamTimeout, UpstreamUnavailable
from pastebin.http.replies import HEAD_BYTES, Body, Head, parse_head

_HIGH_BYTES = 256 * 1024
_LOW_BYTES = 64 * 1024
_MOST_INTERIM = 16


@dataclass(frozen=True, slots=True)
class Ask:
    """The head of a request to an origin. `target` is sent as it is; the headers say how its body ends."""

    method: str
    target: str
    headers: CIMultiDict[str]

    def encoded(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


class Receiver(Protocol):
    """Takes the answer to one request off its connection; see the methods of Reply."""

    @property
    def has_begun(self) -> bool: ...

    def feed(self, data: bytes) -> bool: ...

    def can_be_followed(self) -> bool: ...

    def refuse(self, error: BadUpstream) -> None: ...

    def end(self, failure: PastebinError | None) -> None: ...


class Reply:
    """The answer to one request: its head, then its body in pieces, with back-pressure to the origin.

    Who has one reads it to its end or closes it.
    """

    def __init__(self, connection: Exchange, method: str, seconds: float) -> None:
        self.head: Head | None = None
        self.has_begun = False  # anything of it has arrived
        self.may_continue = asyncio.Event()  # 100 Continue, or an answer without it
        self.is_wanted = False  # the body of the request: 100 Continue was said
        self._connection = connection
        self._method = method
        self.seconds = seconds  # how long it may be silent
        self._received = b""
        self._interim = 0
        self._is_headed = False  # somebody knows the head
        self._body: Body | None = None
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._failure: PastebinError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = False
        self._is_stopped = False

    @property
    def is_complete(self) -> bool:
        """Whether all of it is here, read or not, and nothing else."""
        return self._failure is None and self._body is not None and self._body.done

    async def headed(self) -> Head:
        """The head. Raises BadUpstream, UpstreamTimeout, UpstreamUnavailable (nothing arrived at all).

        While the request is being sent it may take as long as that takes.
        """
        while self.head is None:
            await self._wait(None if self._connection.is_sending else self.seconds)
        self._is_headed = True
        return self.head

    async def arrived(self) -> None:
        """Return when all of it is here. Only for what is small: nobody reads meanwhile. Raises as `headed` does."""
        while not self.is_complete:
            await self._wait(self.seconds)

    async def read(self) -> bytes:
        """The next bytes of the body; empty at its end, when it was whole. Raises as `headed` does."""
        while not self._pieces:
            if self.is_complete or self._is_stopped:
                return b""
            await self._wait(self.seconds)
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._is_paused and self._size <= _LOW_BYTES:
            self._is_paused = False
            self._connection.resume()
        return piece

    def stop(self) -> None:
        """Let what is here be all of the body: `read` ends with it."""
        self._is_stopped = True
        self._wake()

    def close(self) -> None:
        """Give up on whatever has not arrived."""
        self._pieces.clear()
        if self._failure is None and not self.is_complete:
            self._failure = UpstreamUnavailable("The rest of the answer was given up.")
            self._connection.abort()

    def feed(self, data: bytes) -> bool:
        """Take what has arrived; True when the answer is complete. Raises BadUpstream."""
        self.has_begun = True
        while self._body is None:
            data = self._received + data
            end = data.find(b"\r\n\r\n")
            if end > HEAD_BYTES or (end < 0 and len(data) > HEAD_BYTES):
                raise BadUpstream("Its head is too long.")
            if end < 0:
                self._received = data
                return False
            self._received = b""
            self._take_head(parse_head(data[:end], self._method))
            data = data[end + 4 :]
        if piece := self._body.feed(data):
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > _HIGH_BYTES and not self._is_paused and not self._body.done:
                self._is_paused = True
                self._connection.pause()
        self._wake()
        return self._body.done

    def can_be_followed(self) -> bool:
        """Whether another request may use the connection, once the answer is complete."""
        return self.head is not None and self.head.keeps_alive

    def refuse(self, error: BadUpstream) -> None:
        """It breaks the rules: nothing is known of it but that, unless somebody has begun to read it."""
        if not self._is_headed:
            self.head = None
            self._pieces.clear()
        self._failure = self._failure or error
        self._wake()

    def end(self, failure: PastebinError | None) -> None:
        """The connection has ended, with this failure or as connections do."""
        if self._failure is None and not self.is_complete:
            if failure is None and self._body is not None and self._body.is_whole_at_end():
                self._body.done = True
            elif failure is None:
                word = BadUpstream("It ends too early.") if self.has_begun else UpstreamUnavailable()
                self._failure = word
            else:
                self._failure = failure
        self._wake()

    def _take_head(self, head: Head) -> None:
        if head.status == 101:
            raise BadUpstream("It switches to a protocol that nobody asked for.")
        if head.status < 200:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BadUpstream("It has too many interim answers.")
            if head.status == 100:
                self.is_wanted = True
                self.may_continue.set()
            return
        self.head = head
        self._body = Body(head)
        self.may_continue.set()

    def _wake(self) -> None:
        if self._failure is not None:
            self.may_continue.set()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, seconds: float | None) -> None:
        """Until something has happened, in so many seconds at most. Raises the failure."""
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        except TimeoutError:
            self.close()
            raise UpstreamTimeout from None
        finally:
            self._waiter = None


class Exchange(asyncio.Protocol):
    """The client's side of a connection.

    `on_free` is called once for every request, when its answer is complete or will not come; with True if the
    connection can take another one. `on_lost` is called when the connection has ended.
    """

    def __init__(self, on_free: Callable[[Exchange, bool], None], on_lost: Callable[[Exchange], None]) -> None:
        self.idle_since = 0.0
        self.was_used = False
        self.has_slot = False  # one of those that its upstream has
        self.is_sending = False  # a body, without which the request is not complete
        self._on_free = on_free
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reply: Receiver | None = None
        self._last: Receiver | None = None  # complete, but perhaps not read yet
        self._is_paused = False
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def begin(self, ask: Ask, seconds: float) -> Reply:
        """Send the head of a request. `seconds` bounds every silence of the origin."""
        reply = Reply(self, ask.method, seconds)
        if self._transport is None:
            reply.end(None)
            self._on_free(self, False)
        else:
            self._reply = reply
            self._transport.write(ask.encoded())
        return reply

    def start(self, receiver: Receiver, head: bytes) -> None:
        """Send the head of a request. Nobody but `receiver` looks after deadlines."""
        if self._transport is None:
            receiver.end(None)
            self._on_free(self, False)
        else:
            self._reply = receiver
            self._transport.write(head)

    def change(self, receiver: Receiver) -> None:
        """From now on somebody else takes the answer."""
        self._reply = receiver

    async def send(self, data: bytes, seconds: float) -> bool:
        """Send a piece of the request's body and wait for room; False if nobody takes it any more.

        Raises UpstreamTimeout if there is no room in so many seconds.
        """
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        if not self._drained.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._drained.wait()
            except TimeoutError:
                raise UpstreamTimeout from None
        return self._transport is not None

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not of its class

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:  # an answer to no request
            if self._last is not None:
                self._last.refuse(BadUpstream("It goes on after its end."))
            self.abort()
            return
        try:
            is_complete = reply.feed(data)
        except BadUpstream as error:
            reply.refuse(error)
            self.abort()
            return
        if is_complete:
            self._reply, self._last = None, reply
            self.was_used = True
            self.resume()
            can_follow = reply.can_be_followed() and self.is_open and not self.is_sending
            self._on_free(self, can_follow)
            if not can_follow:
                self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._drained.set()
        if self._reply is not None:
            lost = UpstreamUnavailable("The connection to the origin was lost.")
            self._reply.end(None if exc is None or not self._reply.has_begun else lost)
            self._reply = None
            self._on_free(self, False)
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()
