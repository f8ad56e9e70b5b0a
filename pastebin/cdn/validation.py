"""What becomes of a stored response when its origin is asked again: RFC 9111, sections 3.1, 3.2, 4.3 and 4.4. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urldefrag, urljoin, urlsplit

from multidict import CIMultiDict, MultiMapping

from pastebin.cdn import directives, freshness, variants
from pastebin.http import conditions
from pastebin.http.forwarding import HOP_BY_HOP

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH"}  # of the registry

# Answers that say what is there now, or that nothing is. What else a client can bring about by how it asks.
_FINAL_ERRORS = {401, 403, 404, 410, 451}

# About one connection, one proxy or one delivery (RFC 9110, section 7.6.1; RFC 9111, section 3.1).
_OF_ONE_HOP = ("Age", *HOP_BY_HOP)
# What the stored body is: a 304 has no say in it (RFC 9111, section 3.2).
_OF_BODY = ("Content-Encoding", "Content-Length", "Content-Range")


def storable_headers(headers: MultiMapping[str], responded_at: float) -> CIMultiDict[str]:
    """What may be kept, and passed on, of the headers of a response received at `responded_at` (RFC 9111, section 3.1).

    A readable Date is among them (RFC 9110, section 6.6.1), Age is not: `freshness.age_value` makes it.
    """
    kept = CIMultiDict(headers)
    options = ",".join(headers.getall("Connection", ())).split(",")
    says = directives.of_response(headers)
    named = {option.strip(" \t") for option in options} | says.private_fields | says.no_cache_fields
    for name in (*_OF_ONE_HOP, *named):
        kept.popall(name, None)
    if freshness.moment_of(headers.getall("Date", ())) is None:
        kept["Date"] = format_datetime(datetime.fromtimestamp(int(responded_at), UTC), usegmt=True)
    return kept


def validators(headers: MultiMapping[str]) -> dict[str, str]:
    """The conditions that revalidate a response stored with these headers (RFC 9111, section 4.3.1); {} if none can."""
    found = {}
    tags = conditions.entity_tags(headers.get("ETag", ""))
    if tags is not None and len(tags) == 1:
        found["If-None-Match"] = tags[0]
    if freshness.moment_of(headers.getall("Last-Modified", ())) is not None:
        found["If-Modified-Since"] = headers["Last-Modified"]
    return found


def modified(headers: MultiMapping[str], responded_at: float) -> datetime:
    """What If-Modified-Since is compared with: Last-Modified, else Date, else reception (RFC 9111, section 4.3.2)."""
    moment = freshness.moment_of(headers.getall("Last-Modified", ()))
    return datetime.fromtimestamp(freshness.date_of(headers, responded_at) if moment is None else moment, UTC)


def is_confirmed(stored: MultiMapping[str], received: MultiMapping[str]) -> bool:
    """Whether a 304 with the headers `received` is about the stored response that was asked for.

    If not, it must not update anything, and the response is to be fetched anew (RFC 9111, section 4.3.4). A 304 that
    names no validator answers the one that was sent.
    """
    tag = received.get("ETag")
    if tag is not None:
        ours = stored.get("ETag", "")
        return tag.removeprefix("W/") == ours.removeprefix("W/") if tag.startswith("W/") else tag == ours
    date = freshness.moment_of(received.getall("Last-Modified", ()))
    return date is None or date == freshness.moment_of(stored.getall("Last-Modified", ()))


def is_over(status: int) -> bool:
    """Whether an answer other than 304 to a revalidation ends what is stored, be it kept or not (section 4.3.3)."""
    return 200 <= status <= 399 or status in _FINAL_ERRORS


def is_described(stored: MultiMapping[str], size: int, received: MultiMapping[str]) -> bool:
    """Whether a 200 to HEAD can be about the same response as is stored, of `size` bytes (RFC 9111, section 4.3.5).

    It says nothing about one that is encoded otherwise.
    """
    if received.get("Content-Encoding") != stored.get("Content-Encoding"):
        return True
    same = all(name not in received or received[name] == stored.get(name) for name in ("ETag", "Last-Modified"))
    return same and received.get("Content-Length", str(size)) == str(size)


def updated(stored: MultiMapping[str], received: MultiMapping[str], responded_at: float) -> CIMultiDict[str]:
    """The headers of a stored response after a 304, or a HEAD that describes it (RFC 9111, section 3.2)."""
    fresh = storable_headers(received, responded_at)
    for name in _OF_BODY:
        fresh.popall(name, None)
    result = CIMultiDict(stored)
    for name in set(fresh):
        result.popall(name, None)
    result.extend(fresh)
    says = directives.of_response(result)
    for name in says.private_fields | says.no_cache_fields:
        result.popall(name, None)
    return result


def renew(
    request: freshness.RequestView,
    status: int,
    stored: MultiMapping[str],
    received: MultiMapping[str],
    *,
    requested_at: float,
    responded_at: float,
    heuristics: bool = False,
) -> tuple[CIMultiDict[str], freshness.Policy | None]:
    """`updated`, and what the response allows from now on; None if it may be kept no longer, or under other variants.

    `request` is the one that was answered now, with GET or HEAD; `status` is that of the stored response.
    """
    headers = updated(stored, received, responded_at)
    if variants.nominated(headers) != variants.nominated(stored):
        return headers, None
    aged = CIMultiDict(headers)
    if "Age" in received:
        aged["Age"] = received["Age"]
    return headers, freshness.policy_of(
        request.headers, status, aged, requested_at, responded_at, heuristics=heuristics
    )


def invalidates(method: str, status: int, target_uri: str, headers: MultiMapping[str]) -> list[str]:
    """The URIs whose stored responses end with this exchange: absolute, without fragment (RFC 9111, section 4.4).

    The target itself, and what Location and Content-Location name of the same origin. `target_uri` is absolute.
    """
    if method in _SAFE_METHODS or not 200 <= status <= 399:
        return []
    found = [target_uri.partition("#")[0]]
    for name in ("Location", "Content-Location"):
        for reference in headers.getall(name, ())[:1]:
            uri = _resolved(target_uri, reference)
            if uri is not None and uri not in found:
                found.append(uri)
    return found


def _resolved(target_uri: str, reference: str) -> str | None:
    """An absolute URI of the same origin as the target, None if the reference leads elsewhere or nowhere."""
    try:
        uri = urldefrag(urljoin(target_uri, reference)).url
        return uri if _origin(uri) == _origin(target_uri) else None
    except ValueError:
        return None


def _origin(uri: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(uri)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
