"""Signed consistency tokens: what a client has written or seen, carried by the client itself from node to node.

A token holds a `Position` and an expiry. Every node of an installation can check it, because they share the secret;
nobody else can make one, so nobody can ask for a position that will never come. What cannot be trusted is no error:
the read goes to the primary, under a rate limit.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from aiohttp import web
from multidict import MutableMultiMapping

from pastebin.allowance import Allowance
from pastebin.http import caching
from pastebin.positions import SESSION, Position, Session

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

HEADER = "Pastebin-Consistency"
MIN_LSN_HEADER = "Pastebin-Min-LSN"
SEEN_HEADER = "Pastebin-Seen"
COOKIE = "consistency"

# The same, put by an edge of this process on what it passes on.
MIN_LSN = web.RequestKey("min-lsn", str)

Purpose = Literal["session", "min-lsn"]

_VERSION = 1
_BODY = struct.Struct(">BQIQQ")  # version, system id, timeline, LSN, expiry in seconds since the epoch
_MAC_BYTES = 16
_SESSION = web.RequestKey("session", Session)
# The same as the header, from who stands before the application in this process.
MIN_LSN = web.RequestKey("min-lsn", str)
_UNTRUSTED_PER_SECOND = 50.0
_ABSENCES = (404, 410, 451)  # errors that show something of the history


class Tokens:
    """Makes and reads tokens. A min-LSN token, for node to node, is none for a session and the reverse.

    What was sealed with the `previous` secret is read, too; it is empty where there was none.
    """

    def __init__(self, secret: bytes, token_seconds: float, previous: bytes = b"") -> None:
        self._secrets = (secret, previous) if previous else (secret,)
        self.token_seconds = token_seconds
        self._sealed: tuple[Position, int, Purpose, str] | None = None

    def seal(self, position: Position, *, now: float, purpose: Purpose = "session") -> str:
        """The token: 60 characters of base64url."""
        expiry = int(now + self.token_seconds)
        # those who share a flight share its position
        if (last := self._sealed) is not None and last[0] is position and last[1:3] == (expiry, purpose):
            return last[3]
        body = _BODY.pack(_VERSION, position.system_id, position.timeline, position.lsn, expiry)
        token = base64.urlsafe_b64encode(body + _mac(self._secrets[0], body, purpose)).decode().rstrip("=")
        self._sealed = position, expiry, purpose, token
        return token

    def unseal(self, token: str, *, now: float, purpose: Purpose = "session") -> Position | None:
        """The position inside; None for what is forged, expired, damaged or meant for something else."""
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, mac = sealed[: _BODY.size], sealed[_BODY.size :]
        if len(body) != _BODY.size or not self._is_ours(body, mac, purpose):
            return None
        version, system_id, timeline, lsn, expiry = _BODY.unpack(body)
        return Position(system_id, timeline, lsn) if version == _VERSION and expiry >= now else None

    def is_foreign(self, token: str, *, purpose: Purpose = "session") -> bool:
        """Whether it looks like a token that was made with another secret."""
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        body, mac = sealed[: _BODY.size], sealed[_BODY.size :]
        looks_right = len(mac) == _MAC_BYTES and body[0] == _VERSION
        return looks_right and not self._is_ours(body, mac, purpose)

    def _is_ours(self, body: bytes, mac: bytes, purpose: Purpose) -> bool:
        return any(hmac.compare_digest(mac, _mac(secret, body, purpose)) for secret in self._secrets)


def _mac(secret: bytes, body: bytes, purpose: Purpose) -> bytes:
    return hmac.digest(secret, purpose.encode() + b"\0" + body, "sha256")[:_MAC_BYTES]


def session_of(given: list[tuple[Purpose, str]], tokens: Tokens, untrusted: Allowance, *, now: float) -> Session:
    """What the tokens of a request ask for; the latest position counts, an untrusted one means the primary.

    Past the allowance an untrusted token is ignored. `now` is the time of day, for expiries.
    """
    session = Session()
    for purpose, token in given:
        position = tokens.unseal(token, now=now, purpose=purpose)
        if position is None:
            session.from_primary = session.from_primary or untrusted.take()
        elif session.required is None or position.covers(session.required):
            session.required = position
        elif not session.required.covers(position):
            session.from_primary = True  # of two timelines: only the primary can know
    session.seen = session.required
    return session


def consistent(tokens: Tokens) -> Middleware:
    """Give every request its session, from the header or the cookie, and every answer the token of what it has seen."""
    untrusted = Allowance(_UNTRUSTED_PER_SECOND, _UNTRUSTED_PER_SECOND)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given: list[tuple[Purpose, str]] = []
        if token := request.headers.get(HEADER) or request.cookies.get(COOKIE):
            given.append(("session", token))
        if token := request.get(MIN_LSN) or request.headers.get(MIN_LSN_HEADER):
            given.append(("min-lsn", token))
        session = session_of(given, tokens, untrusted, now=time.time())
        request[_SESSION] = session
        reset = SESSION.set(session)
        try:
            return await handler(request)
        finally:
            SESSION.reset(reset)

    return middleware


def seen_by(request: web.Request) -> Position | None:
    """What the session of a request has seen by now, though its answer does not say so before its head is sent."""
    session = request.get(_SESSION)
    return None if session is None else session.seen


def put_token(
    headers: MutableMultiMapping[str] | caching.Headers,
    status: int,
    seen: Position | None,
    tokens: Tokens,
    *,
    now: float,
) -> str | None:
    """Put the token of what was seen on a good answer for one client; returns it, None where there is none.

    Call it when nothing is to be said any more about what shared caches may do.
    """
    if caching.is_shared(headers):
        return None
    token = _sealed(seen, status, tokens, now)
    if token is not None:
        headers[HEADER] = token
    return token


def _sealed(seen: Position | None, status: int, tokens: Tokens, now: float) -> str | None:
    """What was seen, if an answer of that status shows anything."""
    says_nothing = status >= 400 and status not in _ABSENCES
    if seen is None or seen.timeline == 0 or says_nothing:
        return None
    return tokens.seal(seen, now=now)


def answering(tokens: Tokens) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What puts the token on an answer, streamed or not, before its head is sent.

    A token is for one client, so what shared caches may keep carries none: who wants a session without having written
    begins it with an empty token. A cache that keeps up the sessions of its clients asks, by SEEN_HEADER, for the token
    that goes with what it stores. What is answered to a session is for nobody else, for the next one may have seen
    more. A browser keeps the token in a cookie: set by what it posts, and kept up to date as long as it has one.
    """

    async def sign(request: web.Request, response: web.StreamResponse) -> None:
        session = request.get(_SESSION)
        if session is None:
            return
        caching.guard(request.rel_url.raw_path, response.headers, in_session=_in_session(request))
        if SEEN_HEADER in request.headers and caching.is_shared(response.headers):
            if (seen := _sealed(session.seen, response.status, tokens, time.time())) is not None:
                response.headers[SEEN_HEADER] = seen
            return
        token = put_token(response.headers, response.status, session.seen, tokens, now=time.time())
        if token is None:
            return
        writes = request.method not in ("GET", "HEAD")
        has_cookie = COOKIE in request.cookies
        posts_form = writes and "Sec-Fetch-Site" in request.headers
        if posts_form or (has_cookie and session.seen != session.required):
            secure = request.scheme == "https"
            response.set_cookie(
                COOKIE, token, max_age=int(tokens.token_seconds), httponly=True, samesite="Lax", secure=secure
            )

    return sign


def _in_session(request: web.Request) -> bool:
    """Whether the client itself keeps a session; a cache that asks for a position on behalf of many does not."""
    return HEADER in request.headers or COOKIE in request.cookies
