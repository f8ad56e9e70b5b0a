"""Who may see what concerns the whole instance: the token of `[admin]`, in a header or behind a browser's cookie."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from http.cookies import SimpleCookie

from aiohttp import hdrs, web

from pastebin.errors import AdminRefused, AdminRequired
from pastebin.http import asking
from pastebin.http.rates import Rates

log = logging.getLogger(__name__)

COOKIE = "admin"
COOKIE_SECONDS = 12 * 3600
# Where the cookie goes, and nowhere else: no address of a paste is among them.
PATHS = ("/admin", "/api/v1/analytics")

_FAILURES = 10
_FAILURES_PER_SECOND = 0.1


class Administrators:
    """Tells the administrator from everybody else. Without a token there is none, and everybody is refused.

    A cookie is a time of expiry under a MAC whose key holds the token as well: another token ends every cookie.
    Failures are bounded for each address (IPv6: /64). They never keep the administrator out, who may come from the
    address of the same proxy: a token of 32 characters is not to be guessed, at any rate.
    """

    def __init__(self, token: str, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest() if token else None
        self._key = hmac.digest(secret, b"admin-cookie\0" + (self._digest or b""), "sha256")
        self._clock = clock
        self._failures = Rates(_FAILURES_PER_SECOND, _FAILURES)

    def check(self, request: web.Request) -> None:
        """Let the administrator pass. Raises AdminRequired, AdminRefused, RateLimited."""
        token = asking.bearer(request)
        if token is not None:
            self.check_token(request, token)
        elif not self.is_remembered(request):
            raise AdminRequired

    def check_token(self, request: web.Request, token: str) -> None:
        """Raises AdminRefused for another token, RateLimited for one too many of them."""
        if self._digest is not None:
            given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
            if hmac.compare_digest(given, self._digest):
                return
        self._failures.take(request.remote or "")
        log.warning("an admin token was refused", extra={"route": _route(request)})
        if self._digest is None:
            raise AdminRefused("This instance has no admin token: its configuration names none.")
        raise AdminRefused

    def is_remembered(self, request: web.Request) -> bool:
        """Whether the request has a cookie of `remember` that has not expired."""
        expires, _, signature = request.cookies.get(COOKIE, "").partition(".")
        if self._digest is None or not (expires.isascii() and expires.isdigit() and len(expires) < 12):
            return False
        is_ours = hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), self._sign(expires).encode())
        return is_ours and int(expires) > self._clock()

    def remember(self, response: web.StreamResponse, *, secure: bool) -> None:
        """Let the browser keep that it is the administrator's, out of reach of scripts and of other sites."""
        expires = str(int(self._clock()) + COOKIE_SECONDS)
        self._set(response, f"{expires}.{self._sign(expires)}", COOKIE_SECONDS, secure=secure)

    def forget(self, response: web.StreamResponse, *, secure: bool) -> None:
        """Make the browser forget it."""
        self._set(response, "", 0, secure=secure)

    def _sign(self, expires: str) -> str:
        return hmac.digest(self._key, expires.encode(), "sha256").hex()

    def _set(self, response: web.StreamResponse, value: str, seconds: int, *, secure: bool) -> None:
        """One cookie for each path; aiohttp knows only one of each name."""
        for path in PATHS:
            cookie: SimpleCookie = SimpleCookie()
            cookie[COOKIE] = value
            morsel = cookie[COOKIE]
            morsel["path"], morsel["max-age"], morsel["samesite"] = path, str(seconds), "Strict"
            morsel["httponly"], morsel["secure"] = True, secure
            response.headers.add(hdrs.SET_COOKIE, morsel.OutputString())


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
