"""The grammar of what names a place: addresses to listen on, URLs of others, paths of this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit


def parse_address(text: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port` or `:port` (all addresses) as (host, port). Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port with a port from 0 to 65535, such as 127.0.0.1:8080")
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise ValueError("must be host:port; an IPv6 address stands in brackets, such as [::1]:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  (the operator asked for all addresses)


def is_url(text: str, *schemes: str) -> bool:
    """Whether it begins as a URL of one of these schemes."""
    try:
        return urlsplit(text).scheme in schemes
    except ValueError:
        return False


def is_site(text: str) -> bool:
    """Whether it is http(s)://host[:port][/path] and nothing more."""
    if not is_url(text, "http", "https"):
        return False
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:  # not a number, or more than 65535
        return False
    return bool(parts.hostname) and port != 0 and not (parts.query or parts.fragment or parts.username)


def is_path(text: str) -> bool:
    """Whether this machine could have such a path."""
    try:
        Path(text).expanduser()
    except RuntimeError:  # ~user, and there is no such user
        return False
    return "\0" not in text
