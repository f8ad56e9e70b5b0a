"""Absolute addresses of this service and of its pastes."""

from __future__ import annotations

import re
from urllib.parse import quote

from aiohttp import web

from pastebin.errors import UnreadableRequest
from pastebin.models import File, Paste

# RFC 3986, 3.2.2 and 3.2.3: a registered name, IPv4 or bracketed IPv6 address, and a port.
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class Addresses:
    """Made from the configured public URL, else from the Host that the client itself used."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url.rstrip("/")

    def base(self, request: web.Request) -> str:
        """`https://p.example`, without a slash. Raises UnreadableRequest for a Host that is none."""
        return self._public_url or self.seen(request.scheme, request.host)

    def seen(self, scheme: str, host: str) -> str:
        """The same for a client that came by this scheme and host."""
        if self._public_url:
            return self._public_url
        if not _HOST.fullmatch(host):
            raise UnreadableRequest("The Host header is not a host name.")
        return f"{scheme}://{host}"


def raw_path(paste: Paste, file: File) -> str:
    """Path of the bytes of one file; a paste with a single file has the short one."""
    base = f"/{paste.slug}" if paste.latest is None else f"/{paste.slug}/rev/{paste.revision}"
    if len(paste.files) == 1 or file.name is None:
        return f"{base}/raw"
    name = quote(file.name, safe="")
    # user agents take a dot segment out of a path before they send it (RFC 3986, 5.2.4)
    return f"{base}/raw?name={name}" if name in (".", "..") else f"{base}/raw/{name}"
