"""Who is asking: the owner token of a request, from its header or from the cookie of a browser that made the paste."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from pastebin import slugs
from pastebin.errors import CrossSiteRequest
from pastebin.models import Paste

COOKIE = "owner"
_COOKIE_SECONDS = 365 * 86_400


def bearer(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer` (RFC 6750, 2.1), if there is one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def remember(response: web.StreamResponse, slug: str, token: str, *, secure: bool) -> None:
    """Let the browser keep the token, for this paste's own pages only and out of reach of scripts."""
    response.set_cookie(
        COOKIE,
        token,
        path=f"/{slug}",
        max_age=_COOKIE_SECONDS,
        httponly=True,
        samesite="Strict",
        secure=secure,
    )


def forget(response: web.StreamResponse, slug: str) -> None:
    response.del_cookie(COOKIE, path=f"/{slug}", httponly=True, samesite="Strict")


def remembered(request: web.Request) -> str | None:
    return request.cookies.get(COOKIE) or None


def presented(request: web.Request) -> str | None:
    """The token for reading a private paste: given in the header, else what this browser keeps."""
    return bearer(request) or remembered(request)


def brings_token(request: web.Request) -> bool:
    """Whether the request says who asks, in a way that counts here: its answer is for nobody else."""
    return hdrs.AUTHORIZATION in request.headers or COOKIE in request.cookies


def is_of(paste: Paste, token: str | None) -> bool:
    """Whether `token` is the owner token of `paste`."""
    return token is not None and hmac.compare_digest(paste.token_hash, slugs.hash_token(token))


def check_same_site(request: web.Request, base: str) -> None:
    """Refuse a form that another site made the browser send. Raises CrossSiteRequest.

    Browsers say where a request comes from in Sec-Fetch-Site (W3C Fetch Metadata) or Origin (RFC 6454); clients that
    send neither are no browsers that could be tricked.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise CrossSiteRequest
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc not in (request.host, urlsplit(base).netloc):
        raise CrossSiteRequest
