"""What of a request goes on to the origin where the answer may be stored. Pure."""

from __future__ import annotations

import re

from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from pastebin.cdn.variants import upstream_encoding
from pastebin.http import consistency
from pastebin.http.forwarding import TIMEOUT, WHO, end_to_end

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
    return headers if options in _PLAIN_OPTIONS else CIMultiDictProxy(end_to_end(headers))


def for_storing(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers of a request whose answer may become everybody's."""
    sent = end_to_end(headers)
    for name in (*WHO, *_UNKEYED, *_WEIGHED_HERE, consistency.HEADER, consistency.MIN_LSN_HEADER, TIMEOUT):
        sent.popall(name, None)
    if "Cookie" in sent:
        cookies = [_CONSISTENCY_COOKIE.sub("", line).lstrip("; \t") for line in sent.popall("Cookie")]
        if kept := "; ".join(line for line in cookies if line):
            sent["Cookie"] = kept
    sent["Accept-Encoding"] = upstream_encoding(headers)
    return sent
