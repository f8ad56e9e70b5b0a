"""The package's static files, each under an address that carries its content's hash."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import PurePosixPath

from aiohttp import hdrs, web

from pastebin.http import caching
from pastebin.http.compression import Compression
from pastebin.http.representations import Representations

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}

_YEAR = 31_536_000
_DAY = 86_400
_MINUTE = 60
IMMUTABLE = f"public, max-age={_YEAR}, immutable"
_FOR_A_DAY = caching.of_site(_DAY, browsers=f"public, max-age={_DAY}")

# How a module names one that it imports; what a browser gets names the address of that one's content.
_IMPORT = re.compile(rb'"\./([a-z_]+\.js)"')

_ADDRESS = re.compile(r"(.+)\.[0-9a-f]{16}(\.[a-z0-9]+)")

# Pastes are not for search engines; `$` ends the pattern (RFC 9309 section 2.2.3), so only the front page is open.
ROBOTS = b"User-agent: *\nAllow: /$\nAllow: /static/\nDisallow: /\n"


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file in memory; `digest` is 64 bits of its SHA-256 in hexadecimal."""

    media_type: str
    digest: str
    body: bytes = field(repr=False)


class Assets:
    """Every static file, read once at start: a request touches no disk.

    An address names one content for ever, so it may be cached for ever; a changed file gets a new address, and so do
    the modules that import it by name (`"./name.js"`). Pages live
    longer than versions of the program, in caches and while nodes are upgraded one by one: the address of another
    version gives the file as it is here, for a moment.
    """

    def __init__(self, contents: Mapping[str, bytes], made: Representations | None = None) -> None:
        """Take files by name. Names with an extension that has no media type in `MEDIA_TYPES` are left out.

        Raises KeyError for a module that imports one that is not there, or, by whatever way, itself.
        """
        self._representations = made or Representations(Compression(is_on=True))
        self._urls: dict[str, str] = {}
        self._by_address: dict[str, Asset] = {}
        for name, content in sorted(contents.items(), key=lambda file: _depth(file[0], contents)):
            path = PurePosixPath(name)
            if (media_type := MEDIA_TYPES.get(path.suffix)) is None:
                continue
            body = _IMPORT.sub(self._address, content) if path.suffix == ".js" else content
            asset = _asset(media_type, body)
            address = f"{path.stem}.{asset.digest}{path.suffix}"
            self._urls[name] = f"/static/{address}"
            self._by_address[address] = asset
        self._robots = _asset(MEDIA_TYPES[".txt"], ROBOTS)

    @classmethod
    def load(cls, made: Representations | None = None) -> Assets:
        """The files of `pastebin/static`, from a directory or a zip alike."""
        folder = resources.files("pastebin") / "static"
        return cls({entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}, made)

    def _address(self, match: re.Match[bytes]) -> bytes:
        return f'"{self._urls[match[1].decode()]}"'.encode()

    @property
    def version(self) -> str:
        """A name for all the files together: it changes with any of them."""
        return " ".join(sorted(self._by_address))

    def url(self, name: str) -> str:
        """The address of a file, such as `/static/style.0123456789abcdef.css`. Raises KeyError for an unknown name."""
        return self._urls[name]

    def integrity(self, name: str) -> str:
        """What a page can demand of a file (W3C Subresource Integrity, section 3.1). Raises KeyError."""
        body = self._by_address[self._urls[name].removeprefix("/static/")].body
        return f"sha384-{base64.b64encode(hashlib.sha384(body).digest()).decode()}"

    def routes(self) -> list[web.RouteDef]:
        """GET and HEAD of the files, of `/robots.txt`, and of `/favicon.ico`, which browsers ask for unbidden."""
        return [
            web.get("/static/{address}", self.show),
            web.get("/favicon.ico", self.show_favicon),
            web.get("/robots.txt", self.show_robots),
        ]

    async def show(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        if (asset := self._by_address.get(address)) is not None:
            return await self._respond(request, asset, caching.of_site(_YEAR, browsers=IMMUTABLE))
        known = _ADDRESS.fullmatch(address)
        current = self._urls.get(known[1] + known[2]) if known else None
        if current is None:
            raise web.HTTPNotFound
        asset = self._by_address[current.removeprefix("/static/")]
        return await self._respond(request, asset, caching.of_site(_MINUTE))

    async def show_favicon(self, request: web.Request) -> web.Response:
        address = self._urls.get("favicon.svg", "").removeprefix("/static/")
        asset = self._by_address.get(address)
        if asset is None:
            raise web.HTTPNotFound
        return await self._respond(request, asset, _FOR_A_DAY)

    async def show_robots(self, request: web.Request) -> web.Response:
        return await self._respond(request, self._robots, _FOR_A_DAY)

    async def _respond(self, request: web.Request, asset: Asset, kept: caching.Headers) -> web.Response:
        headers = {**kept, hdrs.CONTENT_TYPE: asset.media_type, "X-Content-Type-Options": "nosniff"}
        return await self._representations.answer(request, asset.body, headers, etag=f'"{asset.digest}"')


def _asset(media_type: str, body: bytes) -> Asset:
    return Asset(media_type, hashlib.sha256(body).hexdigest()[:16], body)


def _depth(name: str, contents: Mapping[str, bytes], above: frozenset[str] = frozenset()) -> int:
    """How many modules, at most, stand below this one: those come first."""
    if name in above:
        raise KeyError(name)
    if not name.endswith(".js"):
        return 0
    below = {match[1].decode() for match in _IMPORT.finditer(contents[name])}
    return max((_depth(one, contents, above | {name}) + 1 for one in below), default=0)
