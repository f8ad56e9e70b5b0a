"""The fast road through the gateway: small requests with small answers, without aiohttp's machinery on either side.

It decides as the full road does, and shares the connections to the nodes with it. It takes a request only where one of
them is free at once, and answers it only if the answer is well, plain, whole, and here before another node would be
asked as well. In every other case the full road goes on with the same request, and with what was sent already.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from pastebin.errors import BadUpstream, PastebinError
from pastebin.gateway import grammar
from pastebin.gateway.members import Member
from pastebin.gateway.routing import Begun, Means, Route
from pastebin.gateway.wants import wanted
from pastebin.http.exchanges import Exchange, Reply
from pastebin.http.middleware import WENT_AWAY, Observer

# What takes longer is waited for on the full road, which has deadlines.
_LONGEST_SECONDS = 0.25
_LOOK_SECONDS = 0.002
_MOST_PIECES = 32

# As aiohttp calls the only route of the door.
ROUTE = "/{path}"


class Told(NamedTuple):
    """What a node is told by the fields of a request, up to the value of X-Request-Id."""

    tail: bytes
    identity: bytes | None  # given by the client
    address: str


class Asker(Protocol):
    """Who waits for an answer: the connection of a client."""

    def take_answer(self, answer: bytes, *, stays: bool) -> None:
        """Write it, and go on."""

    def take_over(self, passage: Passage, head: bytes) -> None:
        """Give the request to the full road, which calls `Passage.handed`."""


def _never() -> bool:
    return False


class Express:
    """The requests that are on the fast road."""

    def __init__(self, means: Means, observer: Observer) -> None:
        self.means = means
        self.observer = observer
        self.is_draining: Callable[[], bool] = _never
        self._loop = asyncio.get_running_loop()
        self._flying: dict[Passage, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._asking: list[Passage] = []
        self._answering: list[tuple[Asker, bytes, bool]] = []

    def begin(self, asker: Asker, method: bytes, target: bytes, told: Told, fields: bytes) -> Passage | None:
        """Send the request to a node; None if the full road has to."""
        if self.is_draining():
            return None
        route = Route(self.means, wanted(method.decode("ascii"), target.decode("ascii")), told.address)
        started = route.start()
        if started is None:
            return None
        passage = Passage(self, asker, route, *started, method, target, told, fields)
        if not (self._asking or self._answering):
            self._loop.call_soon(self.flush)
        self._asking.append(passage)
        self._flying[passage] = None
        self.observer.traffic.enter(passage)
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
        return passage

    def answer(self, asker: Asker, answer: bytes, *, stays: bool) -> None:
        """Write it before this turn of the loop ends."""
        if not (self._asking or self._answering):
            self._loop.call_soon(self.flush)
        self._answering.append((asker, answer, stays))

    def flush(self) -> None:
        """Write what waits: who is woken by it is woken once for all of it, or nearly so."""
        asking, self._asking = self._asking, []
        answering, self._answering = self._answering, []
        for passage in asking:
            passage.start()
        for asker, answer, stays in answering:
            asker.take_answer(answer, stays=stays)

    def land(self, passage: Passage) -> None:
        """Nobody has to look after it any more."""
        self._flying.pop(passage, None)

    def _look(self) -> None:
        """Hand over what takes too long: the oldest come first."""
        now, late = Route.now(), []
        for passage in self._flying:
            if now - passage.at < _LOOK_SECONDS:
                break
            if passage.is_late(now):
                late.append(passage)
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look) if self._flying else None
        for passage in late:
            passage.hand_over()


class Passage:
    """One request on the fast road; takes the answer off the connection to its node."""

    __slots__ = (
        "_asker",
        "_exchange",
        "_express",
        "_fields",
        "_head",
        "_heading",
        "_heir",
        "_identity",
        "_is_given",
        "_is_over",
        "_member",
        "_method",
        "_patience",
        "_pieces",
        "_received",
        "_route",
        "_target",
        "at",
        "since",
    )

    def __init__(
        self,
        express: Express,
        asker: Asker,
        route: Route,
        member: Member,
        exchange: Exchange,
        method: bytes,
        target: bytes,
        told: Told,
        fields: bytes,
    ) -> None:
        self.since = time.perf_counter()
        self.at = route.now()
        self._express = express
        self._asker = asker
        self._route = route
        self._member = member
        self._exchange = exchange
        self._method = method
        self._target = target
        self._fields = fields
        self._is_given = told.identity is not None
        self._identity = identity = told.identity or b"%016x" % random.getrandbits(64)
        self._patience = route.patience(member)
        self._received = b""
        self._pieces = 0
        self._heading: grammar.Heading | None = None
        self._heir: Reply | None = None
        self._is_over = False
        self._head = b"%b %b HTTP/1.1\r\n%b%b\r\n\r\n" % (method, target, told.tail, identity)

    def start(self) -> None:
        self._exchange.start(self, self._head)

    def is_late(self, now: float) -> bool:
        """Whether the full road should wait for the answer."""
        age = now - self.at
        if age >= _LONGEST_SECONDS:
            return True
        return self._patience is not None and age >= self._patience and self._route.may_hedge()

    @property
    def has_begun(self) -> bool:
        """See `exchanges.Reply`, as for the methods that follow."""
        return self._pieces > 0

    def feed(self, data: bytes) -> bool:
        if self._heir is not None:
            return self._heir.feed(data)
        if self._is_over:
            raise BadUpstream("Nobody waits for it.")
        self._pieces += 1
        if self._received:
            data = self._received + data
        heading = self._heading
        if heading is None:
            heading = self._heading = grammar.heading(data, has_no_body=self._method == b"HEAD")
            if heading is None:
                return self._hand_over(data)
        if len(data) == heading.end:
            self._answer(heading, data)
            return True
        if len(data) > heading.end or self._pieces >= _MOST_PIECES:
            return self._hand_over(data)
        self._received = data
        return False

    def can_be_followed(self) -> bool:
        return self._heir is None or self._heir.can_be_followed()

    def refuse(self, error: BadUpstream) -> None:
        if self._heir is not None:
            self._heir.refuse(error)

    def end(self, failure: PastebinError | None) -> None:
        if self._heir is None and not self._is_over:
            self.hand_over()
        if (heir := self._heir) is not None:
            heir.end(failure)

    def hand_over(self) -> None:
        """Let the full road wait for the answer."""
        try:
            self._hand_over(self._received)
        except BadUpstream as error:
            self.refuse(error)
            self._exchange.abort()

    def handed(self) -> Route:
        """The full road has begun with the request: this is its route. It counts it from now on."""
        self._express.observer.traffic.leave(self)
        return self._route

    def cancel(self) -> None:
        """Give it up: nobody waits for the answer, or shall."""
        if self._is_over:
            return
        self._is_over = True
        if self._heir is None:
            self._exchange.abort()
        self._route.give_up()
        self._leave(WENT_AWAY)
        self._asker.take_answer(b"", stays=False)

    def _hand_over(self, data: bytes) -> bool:
        """Whether the answer is complete. Raises BadUpstream."""
        self._express.land(self)
        self._heir = reply = self._member.upstream.reply(self._exchange, self._method.decode("ascii"))
        self._exchange.change(reply)
        self._route.resume(Begun(self._member, reply, self.at))
        # so that its id stays what the node was told
        known = b"" if self._is_given else b"X-Request-Id: %b\r\n" % self._identity
        head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (self._method, self._target, self._fields[:-2], known)
        try:
            return reply.feed(data) if data else False
        finally:
            self._asker.take_over(self, head)

    def _answer(self, heading: grammar.Heading, data: bytes) -> None:
        self._is_over = True
        self._route.answered(self._member, self.at)
        stays = not self._express.is_draining()
        answer = b"%bServer: pastebin\r\nX-Request-Id: %b\r\n%b\r\n%b" % (
            heading.told,
            self._identity,
            b"" if stays else b"Connection: close\r\n",
            data[heading.body_at :],
        )
        self._leave(heading.status)
        self._express.answer(self._asker, answer, stays=stays)

    def _leave(self, status: int) -> None:
        self._express.land(self)
        self._route.end(is_their_fault=False)
        observer = self._express.observer
        observer.traffic.leave(self)
        observer.note(ROUTE, self._method.decode("ascii"), status, self.since)
