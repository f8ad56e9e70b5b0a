"""PrivateBin's JSON dialect, version 2, for clients that were made for it: create, read, delete on `/`.

Its clients say who they are with `X-Requested-With: JSONHttpRequest`, which no link, form, preview or foreign page can
say without being asked. Only then a GET reads what burns. Refusals are 200 with a status of 1, as they expect them.
The ciphertext is kept as bytes, and goes out as base64 while it is read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import orjson
from aiohttp import web

from pastebin import sealed, slugs
from pastebin.errors import EditForbidden, PastebinError, PasteNotFound, TokenRequired, Unavailable
from pastebin.http import caching, payloads, streaming
from pastebin.http.app import Routes
from pastebin.http.negotiation import prefers_json
from pastebin.http.targets import SPOKEN
from pastebin.models import Options, Paste
from pastebin.origin.content import ContentReader
from pastebin.origin.encrypted import sealing_of
from pastebin.sealed import Sealed
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading

_ABSENT = "Paste does not exist, has expired or has been deleted."
_INVALID = "Invalid data."
_LIFETIMES = {
    "5min": timedelta(minutes=5),
    "10min": timedelta(minutes=10),
    "1hour": timedelta(hours=1),
    "1day": timedelta(days=1),
    "1week": timedelta(weeks=1),
    "1month": timedelta(days=30),
    "1year": timedelta(days=365),
    "never": None,
}
_MEMBERS = frozenset({"v", "adata", "ct", "meta"})
# What compresses was not encrypted; so much of it tells.
_SAMPLE_BYTES = 256 * 1024
_CONTEXT = orjson.dumps({"@context": {"so": "https://schema.org/", "v": {"@id": "so:Integer", "@value": 2}}})

HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    **caching.secret(),
}


def is_spoken(request: web.Request) -> bool:
    """Whether the client says that it is one of PrivateBin's."""
    return request.headers.get("X-Requested-With") == SPOKEN


async def is_document(body: bytes) -> bool:
    """Whether a JSON body is a paste of this format, from a client that does not say what it is."""
    return b'"adata"' in body and b'"ct"' in body and await asyncio.to_thread(_has_members, body)


def named(request: web.Request) -> str | None:
    """The slug that an address of PrivateBin's form, `/?SLUG`, names."""
    text = unquote_plus(request.rel_url.raw_query_string).removesuffix("=")
    return text if slugs.is_slug(text) else None


class PrivateBinReads:
    """What `GET /` is in the dialect."""

    def __init__(self, reading: Reading, idle_seconds: float) -> None:
        self._reading = reading
        self._idle_seconds = idle_seconds

    def routes(self) -> Routes:
        return [web.options("/", self.permit)]

    async def permit(self, _request: web.Request) -> web.Response:
        """For pages of other origins: they may ask, without cookies."""
        return web.Response(status=204, headers=HEADERS)

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """The answer to a request of this dialect, or for a browser that followed a link of its form; None: neither."""
        if "jsonld" in request.query:
            body = _CONTEXT if request.query["jsonld"] == "paste" else b"{}"
            return web.Response(body=body, headers={**HEADERS, "Content-Type": "application/ld+json"})
        if not (is_spoken(request) or prefers_json(request.headers.get("Accept"))):
            return self._led(request)
        slug = named(request)
        if slug is not None and request.method == "GET":
            try:
                return await self._read(request, slug)
            except PasteNotFound:
                return _refused(_ABSENT)
        return _refused(_INVALID) if request.query_string else None

    def _led(self, request: web.Request) -> web.Response | None:
        """To the page, whose address keeps the fragment with the key (Fetch, section 4.5); a deletion asks there."""
        slug = named(request)
        target = f"/{slug}" if slug else ""
        if "deletetoken" in request.query and slugs.is_slug(request.query.get("pasteid", "")):
            target = f"/{request.query['pasteid']}/manage"
        if not target:
            return None
        return web.Response(status=303, headers={"Location": target, **caching.secret()})

    async def _read(self, request: web.Request, slug: str) -> web.StreamResponse:
        """Whoever reads what is limited uses up a reading, as with PrivateBin itself. Raises PasteNotFound."""
        paste = await self._reading.find(slug, bodies="all")
        sealing = sealing_of(paste)
        if sealing is None:
            raise PasteNotFound
        if paste.needs_reveal:
            if not is_spoken(request) or "Sec-Purpose" in request.headers:
                raise PasteNotFound
            paste = await self._reading.unseal(slug)
        file = paste.files[0]
        head, tail = _document(paste, sealing)
        response = web.StreamResponse(
            headers={**HEADERS, **caching.of_secret(paste), "Content-Type": "application/json"}
        )
        response.content_length = len(head) + (file.size + 2) // 3 * 4 + len(tail)
        chunks = _as_base64(head, self._reading.stream(file), tail)
        return await streaming.send(request, response, chunks, self._idle_seconds)


class PrivateBinWrites:
    """What POST, PUT and DELETE of `/` are in the dialect."""

    def __init__(self, publishing: Publishing, content: ContentReader) -> None:
        self._publishing = publishing
        self._content = content

    def routes(self) -> Routes:
        return [web.delete("/", self.answer)]

    async def answer(self, request: web.Request) -> web.Response:
        """Create a paste, or delete one, as its body says."""
        try:
            async with self._content.whole(request) as body:
                said = await asyncio.to_thread(payloads.parse_json, body)
                if said.keys() == {"pasteid", "deletetoken"}:
                    return await self._delete(said["pasteid"], said["deletetoken"])
                if "parentid" in said:
                    return _refused("Comments are not kept here.")
                return await self._create(said)
        except Unavailable:
            raise  # to be tried again, as its status says
        except PastebinError as error:
            return _refused(error.detail)

    async def _create(self, said: dict[str, Any]) -> web.Response:
        """Raises PastebinError."""
        try:
            sealing, ciphertext, lifetime = await asyncio.to_thread(_taken, said)
        except ValueError:
            return _refused(_INVALID)
        options = Options(
            asked=frozenset({"expires_in", "encryption", *({"max_reads"} if sealing.burns else ())}),
            lifetime=lifetime,
            max_reads=1 if sealing.burns else None,
            encryption=sealing.parameters(),
        )
        async with self._publishing.intake() as taken:
            if not taken.add_whole(ciphertext, name=None):
                await taken.add(_once(ciphertext), name=None)
            published = await self._publishing.create(taken, options)
        slug = published.paste.slug
        return _told({"status": 0, "id": slug, "url": f"/?{slug}", "deletetoken": published.token})

    async def _delete(self, slug: object, token: object) -> web.Response:
        if not isinstance(slug, str) or not isinstance(token, str) or not slugs.is_slug(slug):
            return _refused(_ABSENT)
        try:
            await self._publishing.delete(slug, token)
        except PasteNotFound:
            return _refused(_ABSENT)
        except (EditForbidden, TokenRequired):
            return _refused("Wrong deletion token. Paste was not deleted.")
        return _told({"status": 0, "id": slug, "url": f"/?{slug}"})


def _has_members(body: bytes) -> bool:
    try:
        return payloads.parse_json(body).keys() == _MEMBERS
    except PastebinError:
        return False


def _taken(said: dict[str, Any]) -> tuple[Sealed, bytes, timedelta | None]:
    """Raises ValueError for what PrivateBin would not take."""
    if said.keys() != _MEMBERS:
        raise ValueError("must have these members and no others")
    sealing = sealed.read({"v": said["v"], "adata": said["adata"]})
    if sealing.burns and sealing.has_discussion:
        raise ValueError("cannot burn and be discussed")
    meta, ct = said["meta"], said["ct"]
    expire = meta["expire"] if isinstance(meta, dict) and meta.keys() == {"expire"} else None
    if not isinstance(expire, str) or expire not in _LIFETIMES:
        raise ValueError("must say when it expires, and nothing else")
    try:
        ciphertext = base64.b64decode(ct if isinstance(ct, str) else "", validate=True)
    except binascii.Error as error:
        raise ValueError("must be base64") from error
    sample = ciphertext[:_SAMPLE_BYTES]
    if len(ciphertext) < sealing.tag_bits // 8 or len(zlib.compress(sample, wbits=-15)) < len(sample):
        raise ValueError("is not encrypted")
    return sealing, ciphertext, _LIFETIMES[expire]


def _document(paste: Paste, sealing: Sealed) -> tuple[bytes, bytes]:
    """What stands before and behind the ciphertext."""
    meta: dict[str, int] | list[object] = []  # an empty PHP array, which clients know
    if paste.expires_at is not None:
        meta = {"time_to_live": max(int((paste.expires_at - datetime.now(UTC)).total_seconds()), 1)}
    document = {
        "status": 0,
        "id": paste.slug,
        "url": f"/?{paste.slug}",
        "adata": sealing.adata,
        "v": sealed.VERSION,
        "meta": meta,
        "comments": [],
        "comment_count": 0,
        "comment_offset": 0,
        "@context": "?jsonld=paste",
    }
    return orjson.dumps(document)[:-1] + b',"ct":"', b'"}'


async def _as_base64(head: bytes, chunks: AsyncIterator[bytes], tail: bytes) -> AsyncIterator[bytes]:
    """In pieces of three bytes, so that none of them is padded but the last."""
    yield head
    held = b""
    async for chunk in chunks:
        held += chunk
        whole = len(held) - len(held) % 3
        yield base64.b64encode(held[:whole])
        held = held[whole:]
    yield base64.b64encode(held) + tail


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _told(document: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(document), headers={**HEADERS, "Content-Type": "application/json"})


def _refused(message: str) -> web.Response:
    return _told({"status": 1, "message": message})
