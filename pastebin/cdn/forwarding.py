"""What of a request goes on to the origin, and what of its answer comes back: RFC 9110, section 7.6. Pure."""

from __future__ import annotations

import re

from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from pastebin.cdn.variants import upstream_encoding
from pastebin.http import consistency, counted

VIA = "1.1 pastebin"

_HOP_BY_HOP = (
    "Connection",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
# Who asked, said by somebody else than this edge.
_WHO = (
    "Forwarded",
    "True-Client-IP",
    "X-Client-IP",
    "X-Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Real-IP",
    "X-Url-Scheme",
    "Front-End-Https",
)
# What origins are known to take for another request than the one that is the key. An answer to that would be stored
# for everybody, so it is not said.
_UNKEYED = (
    "X-Forwarded-Path",
    "X-Forwarded-Uri",
    "X-HTTP-Host-Override",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Host",
    "X-Method-Override",
    "X-Original-Host",
    "X-Original-URL",
    "X-Original-URI",
    "X-Override-URL",
    "X-Rewrite-URL",
)
# Whole answers are fetched; conditions and ranges are weighed here.
_WEIGHED_HERE = (
    "Content-Length",
    "Expect",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Range",
)
_PLAIN_OPTIONS = frozenset({"", "keep-alive", "close"})
_CONSISTENCY_COOKIE = re.compile(rf"(?:^|;)[ \t]*{consistency.COOKIE}[ \t]*=[^;]*")


def for_weighing(headers: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    """The headers of a request as far as they go beyond this hop.

    What `Connection` names does not reach the origin (RFC 9110, section 7.6.1), so it must not choose a variant of what
    comes back either: else a client could have the answer to one request stored as that to another.
    """
    options = ",".join(headers.getall("Connection", ())).lower()
    return headers if options in _PLAIN_OPTIONS else CIMultiDictProxy(_end_to_end(headers))


def for_storing(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers of a request whose answer may become everybody's."""
    sent = _end_to_end(headers)
    for name in (*_WHO, *_UNKEYED, *_WEIGHED_HERE, consistency.HEADER, consistency.MIN_LSN_HEADER):
        sent.popall(name, None)
    if "Cookie" in sent:
        cookies = [_CONSISTENCY_COOKIE.sub("", line).lstrip("; \t") for line in sent.popall("Cookie")]
        if kept := "; ".join(line for line in cookies if line):
            sent["Cookie"] = kept
    sent["Accept-Encoding"] = upstream_encoding(headers)
    return sent


def for_passing(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers of a request that is passed on as it is."""
    sent = _end_to_end(headers)
    for name in (*_WHO, consistency.MIN_LSN_HEADER):
        sent.popall(name, None)
    return sent


def introduce(sent: CIMultiDict[str], peer: str | None, host: str, *, is_counted: bool) -> None:
    """Tell an origin elsewhere who asked, and that this came through a gateway (RFC 9110, section 7.6.3).

    `is_counted`: this edge counts visits, so nobody behind it has to.
    """
    if is_counted:
        sent[counted.COUNTED] = "1"
    if peer:
        sent["X-Forwarded-For"] = peer
    sent["X-Forwarded-Proto"] = "http"
    if host:
        sent["X-Forwarded-Host"] = host
    sent["Via"] = ", ".join((*sent.popall("Via", ()), VIA))


def is_loop(headers: MultiMapping[str], most: int = 8) -> bool:
    """Whether a request has come through edges like this so often that it must be going round."""
    return ",".join(headers.getall("Via", ())).count(VIA) >= most


def for_client(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers of an answer that is passed back as it is."""
    return _end_to_end(headers)


def _end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for option in ",".join(headers.getall("Connection", ())).split(","):
        if (name := option.strip(" \t")) and name.lower() not in ("host", "content-length"):
            kept.popall(name, None)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept
