"""What a request says about who sent it: a bearer token, and the site whose page made a browser send it."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from pastebin.errors import CrossSiteRequest


def bearer(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer` (RFC 6750, 2.1), if there is one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


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
    if origin is not None and _authority(origin) not in (request.host, urlsplit(base).netloc):
        raise CrossSiteRequest


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # brackets around what is no address
        return None
