"""In which language a page is answered: a cookie with the reader's choice, else Accept-Language (RFC 9110, 12.5.4).

A cache of ours weighs both, and says the outcome in a field of its own; an answer to that varies on that field, so
that one copy serves all who read a language, however they ask for it. Everybody else is told that pages vary on
Accept-Language. An answer that goes by a cookie nobody could see in Vary is for nobody else.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import CIMultiDict, MultiMapping, MutableMultiMapping

from pastebin import languages
from pastebin.catalogues import LANGUAGES
from pastebin.http import caching
from pastebin.languages import Choice, Voice

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

COOKIE = "language"
HEADER = "Pastebin-Language"
# As variants name it.
FIELD = HEADER.lower()

_YEAR = 365 * 86_400
_SAID = web.RequestKey("voice", Voice)
_CHOSEN = re.compile(rf"(?:^|;)[ \t]*{COOKIE}[ \t]*=[ \t]*(\"?)([a-z]{{2}})\1[ \t]*(?:;|$)")
_FIELD_IN_LIST = re.compile(rf"\b{FIELD}\b", re.IGNORECASE)


def wanted(headers: MultiMapping[str]) -> str:
    """The language that a request asks for, by its cookie or by Accept-Language."""
    return _chosen(headers) or languages.choose(_accepted(headers))


def introduced(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers of a request with what a cache of ours says of its language; what they said of it is taken off."""
    said = CIMultiDict(headers)
    said[HEADER] = wanted(headers)
    return said


def renamed(vary: str) -> str:
    """A Vary header as those see it who have never heard of this cache's field."""
    return _FIELD_IN_LIST.sub(hdrs.ACCEPT_LANGUAGE, vary)


def reveal(headers: MutableMultiMapping[str], request_headers: MultiMapping[str]) -> None:
    """Rename the field in the Vary of an answer, unless the client is such a cache itself.

    What its cookie has chosen is for nobody else: caches between it and this one see Accept-Language only.
    """
    vary = headers.get(hdrs.VARY)
    if vary is not None and HEADER not in request_headers and FIELD in vary.lower():
        headers[hdrs.VARY] = renamed(vary)
        if _chosen(request_headers) is not None:
            _close(headers)


def speaking() -> Middleware:
    """Give every request its voice."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_kept = request.method in ("GET", "HEAD")
        here = request.rel_url.raw_path_qs if is_kept else _without_action(request.rel_url.raw_path)
        voice = request[_SAID] = Voice(partial(_choice, request.headers), here)
        with languages.speaking(voice):
            return await handler(request)

    return middleware


async def tell(request: web.Request, response: web.StreamResponse) -> None:
    """Before the head of an answer is sent: say that it goes by language, if something asked for that."""
    voice = request.get(_SAID)
    if voice is None or not voice.was_heard:
        return
    headers = response.headers
    field = HEADER if request.headers.get(HEADER) in LANGUAGES else hdrs.ACCEPT_LANGUAGE
    listed = headers.get(hdrs.VARY)
    if listed is None or field.lower() not in listed.lower():
        headers[hdrs.VARY] = f"{listed}, {field}" if listed else field
    if voice.choice.is_hidden:
        _close(headers)


def remember(response: web.StreamResponse, language: str, *, secure: bool) -> None:
    """Let the browser keep a choice; without one it goes by Accept-Language again."""
    if language in LANGUAGES:
        response.set_cookie(COOKIE, language, path="/", max_age=_YEAR, httponly=True, samesite="Lax", secure=secure)
    else:
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax")


def chosen(request: web.Request) -> str | None:
    """What the reader has chosen, if anything."""
    return _chosen(request.headers)


def _close(headers: MutableMultiMapping[str]) -> None:
    """Keep an answer from shared caches."""
    if caching.is_shared(headers):
        headers[caching.SHARED] = "no-store"
        told = headers.get(hdrs.CACHE_CONTROL, "no-cache").replace("public", "private")
        headers[hdrs.CACHE_CONTROL] = told if "private" in told else f"private, {told}"


def _choice(headers: MultiMapping[str]) -> Choice:
    if (given := headers.get(HEADER)) in LANGUAGES:
        return Choice(given)
    if (language := _chosen(headers)) is not None:
        return Choice(language, is_hidden=True)
    return Choice(languages.choose(_accepted(headers)))


def _chosen(headers: MultiMapping[str]) -> str | None:
    for line in headers.getall(hdrs.COOKIE, ()):
        if (found := _CHOSEN.search(line)) is not None and found[2] in LANGUAGES:
            return found[2]
    return None


def _accepted(headers: MultiMapping[str]) -> str:
    return ", ".join(headers.getall(hdrs.ACCEPT_LANGUAGE, ()))


def _without_action(path: str) -> str:
    """The page of what was posted to: only the first part of an address is sure to be one."""
    return "/" + path.removeprefix("/").partition("/")[0]
