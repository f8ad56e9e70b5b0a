"""Who is asking: the owner token of a request, from its header or from the cookie of a browser that made the paste."""

from __future__ import annotations

import hmac

from aiohttp import hdrs, web

from pastebin import slugs
from pastebin.http.asking import bearer
from pastebin.models import Paste

COOKIE = "owner"
_COOKIE_SECONDS = 365 * 86_400


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


def is_veiled(paste: Paste, token: str | None) -> bool:
    """Whether title, names and digests of `paste` are not told: it is protected, and `token` is not its owner's."""
    return paste.needs_reveal and not is_of(paste, token)


def is_of(paste: Paste, token: str | None) -> bool:
    """Whether `token` is the owner token of `paste`."""
    return token is not None and hmac.compare_digest(paste.token_hash, slugs.hash_token(token))
