"""What of a request goes on to the next server, and what of its answer comes back: RFC 9110, section 7.6. Pure."""

from __future__ import annotations

import re

from multidict import CIMultiDict, MultiMapping

from pastebin import deadlines
from pastebin.http import consistency, counted

VIA = "1.1 pastebin"
# How many seconds are left until the answer has to begin: from a gateway to its nodes, from an edge to its origins.
TIMEOUT = "Pastebin-Timeout"

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.ASCII | re.IGNORECASE)
HOP_BY_HOP = (
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
# Who asked, said by somebody else than this node.
WHO = (
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


def target_of(raw_path: str) -> str:
    """The target of a request in origin-form (RFC 9112, section 3.2), otherwise as it came."""
    if raw_path.startswith("/"):
        return raw_path
    absolute = _ABSOLUTE.match(raw_path)
    if absolute is None:
        return raw_path
    rest = raw_path[absolute.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def for_passing(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers of a request that is passed on as it is."""
    sent = end_to_end(headers)
    for name in (*WHO, consistency.MIN_LSN_HEADER, TIMEOUT):
        sent.popall(name, None)
    return sent


def hurry(sent: CIMultiDict[str]) -> None:
    """Tell an origin how long the answer to the current request may still take, if that is known."""
    if (seconds := deadlines.left()) is not None:
        sent[TIMEOUT] = f"{seconds:.3f}"


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


def forwarded(peer: str, scheme: str, host: str) -> str:
    """The header Forwarded (RFC 7239) of a gateway that trusts nobody before it."""
    node = f'"[{peer}]"' if ":" in peer else peer or "unknown"
    quoted = host.replace("\\", "\\\\").replace('"', '\\"')
    return f"for={node};proto={scheme}" + (f';host="{quoted}"' if host else "")


def is_loop(headers: MultiMapping[str], most: int = 8) -> bool:
    """Whether a request has come through edges like this so often that it must be going round."""
    return ",".join(headers.getall("Via", ())).count(VIA) >= most


def for_client(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers of an answer that is passed back as it is."""
    return end_to_end(headers)


def end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers that are not about this connection alone (RFC 9110, section 7.6.1)."""
    kept = CIMultiDict(headers)
    for option in ",".join(headers.getall("Connection", ())).split(","):
        if (name := option.strip(" \t")) and name.lower() not in ("host", "content-length"):
            kept.popall(name, None)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept
