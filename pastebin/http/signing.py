"""Requests between the nodes of one installation: signed with its secret, each accepted once, for a short while.

The signature is an HMAC-SHA256 over method, request target, time, a nonce and the SHA-256 of the body. It hides
nothing; between machines that do not trust the network between them, the internal doors belong behind TLS or a tunnel.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from pastebin.allowance import Allowance
from pastebin.errors import Overloaded, PastebinError, PasteTooLarge, SignerRefused, StrangerRefused
from pastebin.fingerprints import fingerprint
from pastebin.http import bodies, strangers
from pastebin.http.strangers import SIGNER, Strangers
from pastebin.metrics import Metrics

TIMESTAMP = "Pastebin-Timestamp"
NONCE = "Pastebin-Nonce"
SIGNATURE = "Pastebin-Signature"
BODY_BYTES = 1024**2
SKEW_SECONDS = 30.0

_MOST_NONCES = 262_144
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_BODY_SECONDS = 5.0
_MOST_LARGE = 8


class Signer:
    """Makes the headers: three that sign, and one that says which secret is meant and who signs."""

    def __init__(
        self,
        secret: bytes,
        clock: Callable[[], float] = time.time,
        *,
        node: str = "",
        strangers: Strangers | None = None,
    ) -> None:
        self._secret = secret
        self._clock = clock
        self._who = f"{fingerprint(secret)} {node}".encode("ascii", "replace").decode()
        self._strangers = strangers

    def headers(self, method: str, target: str, body: bytes) -> dict[str, str]:
        """`target` is the request target as it goes over the wire, with its query."""
        timestamp, nonce = str(int(self._clock())), secrets.token_hex(16)
        return {
            TIMESTAMP: timestamp,
            NONCE: nonce,
            SIGNATURE: _signature(self._secret, method, target, timestamp, nonce, body),
            SIGNER: self._who,
        }

    def heard(self, server: str, status: int, body: bytes) -> None:
        """What the server, by what this node calls it, has answered to a request that was signed here."""
        if self._strangers is not None and strangers.is_refusal(status, body):
            self._strangers.has_refused(server)


class Verifier:
    """Tells requests of our own, signed with one of these secrets, from all others.

    What was accepted once is remembered for as long as it could return.

    Only what is signed rightly is remembered, so strangers cannot make it forget; if our own are too many, the next
    one is refused.
    """

    def __init__(
        self,
        *secrets: bytes,
        skew_seconds: float = SKEW_SECONDS,
        clock: Callable[[], float] = time.time,
        most: int = _MOST_NONCES,
    ) -> None:
        self._secrets = secrets
        self._fingerprints = {fingerprint(secret) for secret in secrets}
        self._skew_seconds = skew_seconds
        self._clock = clock
        self._most = most
        self._seen: OrderedDict[str, float] = OrderedDict()  # nonce: until when it could be accepted

    def refusal_of_head(self, headers: Mapping[str, str]) -> str | None:
        """One word about why this cannot be a request of our own whatever its body is, or None."""
        timestamp, nonce = headers.get(TIMESTAMP, ""), headers.get(NONCE, "")
        if not headers.get(SIGNATURE) or not _TIMESTAMP.fullmatch(timestamp) or not _NONCE.fullmatch(nonce):
            return "unsigned"
        return "untimely" if abs(int(timestamp) - self._clock()) > self._skew_seconds else None

    def refusal(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """None for a request of our own that is here for the first time, else one word about why not."""
        if (reason := self.refusal_of_head(headers)) is not None:
            return reason
        timestamp, nonce = headers[TIMESTAMP], headers[NONCE]
        signature = headers[SIGNATURE].encode("utf-8", "replace")
        expected = (_signature(secret, method, target, timestamp, nonce, body) for secret in self._secrets)
        if not any(hmac.compare_digest(one.encode(), signature) for one in expected):
            mark, _ = strangers.signer(headers.get(SIGNER, ""))
            return "secret" if mark and mark not in self._fingerprints else "forged"
        self._forget(self._clock())
        if nonce in self._seen:
            return "replayed"
        if len(self._seen) >= self._most:
            return "crowded"
        self._seen[nonce] = int(timestamp) + self._skew_seconds
        return None

    def _forget(self, now: float) -> None:
        """The oldest first; they come in no strict order, so some stay a little longer than they must."""
        while self._seen and next(iter(self._seen.values())) < now:
            self._seen.popitem(last=False)


Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


class SignedRoutes:
    """Handlers that nobody but the nodes of this installation reaches.

    Every refusal looks the same from outside, except to who claims to have another secret; the metrics know the
    reasons.
    """

    def __init__(
        self, verifier: Verifier, metrics: Metrics, per_second: float, strangers: Strangers | None = None
    ) -> None:
        self._strangers = strangers
        self._verifier = verifier
        self._allowance = Allowance(per_second, max(per_second, 1.0))
        self._refused = metrics.purge_requests_refused
        self._large = 0

    def only(
        self,
        answer: Answer,
        *,
        most_bytes: int = BODY_BYTES,
        seconds: float = _BODY_SECONDS,
        oversized: Callable[[], PastebinError] = StrangerRefused,
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A handler that gives `answer` the body, after everything was checked.

        `oversized` is what is said of bodies that are too large, where our own might be. Of bodies that take room only
        a few are read at once: they are not known to be ours before they are whole.
        """

        async def handler(request: web.Request) -> web.StreamResponse:
            if (reason := self._verifier.refusal_of_head(request.headers)) is not None:
                raise self._refusal(reason)
            if (request.content_length or 0) > most_bytes:
                raise self._refusal("oversized", oversized)
            with self._room() as take_room:
                try:
                    async with asyncio.timeout(seconds):
                        body = await bodies.whole(request, most_bytes, seconds, take_room)
                except PasteTooLarge:
                    raise self._refusal("oversized", oversized) from None
                except TimeoutError:
                    raise self._refusal("slow") from None
            reason = self._verifier.refusal(request.method, request.raw_path, request.headers, body)
            if reason == "crowded" or (reason is None and not self._allowance.take()):
                self._refused.labels("crowded").inc()
                raise Overloaded
            if reason == "secret":
                if self._strangers is not None:
                    self._strangers.has_asked(strangers.signer(request.headers[SIGNER])[1])
                raise self._refusal(reason, SignerRefused)
            if reason is not None:
                raise self._refusal(reason)
            return await answer(request, body)

        return handler

    @contextmanager
    def _room(self) -> Iterator[Callable[[], Awaitable[None]]]:
        taken = 0

        async def take() -> None:
            nonlocal taken
            if self._large >= _MOST_LARGE:
                self._refused.labels("crowded").inc()
                raise Overloaded
            taken = 1
            self._large += 1

        try:
            yield take
        finally:
            self._large -= taken

    def _refusal(self, reason: str, word: Callable[[], PastebinError] = StrangerRefused) -> PastebinError:
        self._refused.labels(reason).inc()
        return word()


def _signature(secret: bytes, method: str, target: str, timestamp: str, nonce: str, body: bytes) -> str:
    parts = ("request", method, target, timestamp, nonce, hashlib.sha256(body).hexdigest())
    return hmac.digest(secret, "\n".join(parts).encode("utf-8", "surrogateescape"), "sha256").hex()
