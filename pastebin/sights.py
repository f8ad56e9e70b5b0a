"""What a request that was answered says about a reading: of which paste, in which form, and from which site. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pastebin import slugs
from pastebin.visits import CacheStatus, VisitKind

_LONGEST = 8192
_REMEMBERED = 1024
_FILE_CHARACTERS = 255
_ARCHIVES = frozenset({"zip", "tar.gz"})
_API = frozenset({"", "revisions", "diff", "search", "reveal"})
# A host name, not an address: addresses are nobody's business here.
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


class Sight(NamedTuple):
    """What was read. `file` is empty for the whole paste."""

    slug: str
    file: str
    kind: VisitKind


class Answered(NamedTuple):
    """A request and its answer, as far as a visit is made of them. Never kept, never logged.

    `target` is as it came over the wire, `media_type` the type of what is read (also where a 304 does not say it);
    `wishes` are what the reader sent of dnt and gpc.
    """

    method: str
    target: str
    host: str
    address: str
    agent: str
    referrer: str
    wishes: tuple[str, ...]
    status: int
    media_type: str
    content_range: str
    bytes: int
    duration_us: int
    cache: CacheStatus


def seen(answered: Answered) -> Sight | None:
    """What was read, if it was a reading, or would have been one but for a failure of ours.

    A part that does not begin at the first byte belongs to a reading that was counted before.
    """
    status = answered.status
    is_first = status in (200, 304) or (status == 206 and answered.content_range.startswith("bytes 0-"))
    if not is_first and status < 500:
        return None
    path, _, query = answered.target.partition("?")
    if answered.method != "GET" and not (answered.method == "POST" and path.endswith("/reveal")):
        return None
    return sight(path, query, answered.media_type)


@lru_cache(_REMEMBERED)
def sight(path: str, query: str, media_type: str) -> Sight | None:
    """What is read at an address, or None where no paste is. Whether there is such a paste is not asked.

    `path` and `query` are as they came over the wire. A comparison of two pastes is a reading of the first one.
    """
    if len(path) > _LONGEST or not path.startswith("/"):
        return None
    match [unquote(segment, errors="replace") for segment in path[1:].split("/")]:
        case ["raw", slug]:
            return _bytes(slug, _parameter(query, "name"), query)
        case ["embed", slug]:
            return _of(slug, "", "embed")
        case ["embed", slug, name]:
            return _of(slug, name, "embed")
        case ["documents", slug]:
            return _of(slug, "", "api")
        case ["diff", slug, _]:
            return _of(slug, "", _form(media_type))
        case ["api", "v1", "pastes", slug, *rest] if (rest or [""])[0] in _API:
            return _of(slug, "", "api")
        case [first]:
            slug, _, extension = first.partition(".")
            return _of(slug, "", "download" if extension in _ARCHIVES else _form(media_type))
        case [slug, "files.zip" | "files.tar.gz"]:
            return _of(slug, "", "download")
        case [slug, "raw"] | [slug, "rev", _, "raw"]:
            return _bytes(slug, _parameter(query, "name"), query)
        case [slug, "raw", name] | [slug, "rev", _, "raw", name]:
            return _bytes(slug, name, query)
        case [slug, "history" | "reveal"] | [slug, "rev" | "diff", _]:
            return _of(slug, "", _form(media_type))
    return None


@lru_cache(_REMEMBERED)
def referring_host(referrer: str, own: frozenset[str], asked: str = "") -> str:
    """The name of the site that a reader comes from; empty for our own, for addresses, and for what is no site.

    Ours are those of `own`, and the one in the Host header that was `asked`.
    """
    if not referrer.startswith(("http://", "https://")):
        return ""
    try:
        host = (urlsplit(referrer[:_LONGEST]).hostname or "").rstrip(".").lower()
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:  # of which a UnicodeError is one
        return ""
    return host if _HOST.match(host) and host not in own and host != host_name(asked) else ""


def host_name(host: str) -> str:
    """A Host header, or the authority of a URL, without its port."""
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0].rstrip(".").lower()


def _of(slug: str, name: str, kind: VisitKind) -> Sight | None:
    if not slugs.is_slug(slug) or slugs.is_reserved(slug):
        return None
    clean = name[:_FILE_CHARACTERS].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    return Sight(slug, clean, kind)


def _bytes(slug: str, name: str, query: str) -> Sight | None:
    is_download = any(part.partition("=")[0] == "download" for part in query.split("&"))
    return _of(slug, name, "download" if is_download else "raw")


def _form(media_type: str) -> VisitKind:
    return "page" if media_type.partition(";")[0].strip().lower() == "text/html" else "raw"


def _parameter(query: str, name: str) -> str:
    if f"{name}=" not in query:
        return ""
    try:
        pairs = parse_qsl(query[:_LONGEST], max_num_fields=100)
    except ValueError:
        return ""
    return next((value for key, value in pairs if key == name), "")
