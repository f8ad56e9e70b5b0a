"""What a GET or HEAD wants of the cache, as far as the request alone can tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from pastebin.cdn import directives, forwarding, variants
from pastebin.cdn.directives import Directives
from pastebin.cdn.queries import Queries
from pastebin.http import languages
from pastebin.http.forwarding import target_of
from pastebin.http.targets import SPOKEN

Reason = Literal["body", "host", "target", "query", "cookie", "precondition"]

# RFC 3986, sections 3.2.2 and 3.2.3; nothing but what names a server may become part of a key.
_HOST = re.compile(r"(?:[a-z0-9._~-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_TARGET = re.compile(r"/[^\x00-\x20\x7f#]*")
_PORTS = {"http": ":80", "https": ":443"}
_USUAL = (
    (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
        "application/signed-exchange;v=b3;q=0.7",
        "gzip, deflate, br, zstd",
    ),
    ("*/*", "identity"),
)
_COMPRESSED_ONLY = re.compile(r"(?:^|, )(?:identity|\*);q=0(?:,|$)")


@dataclass(frozen=True, slots=True)
class Intent:
    """One request as the cache sees it. `bypass` says why it is none of its business, if that is so.

    `key` is what the origin is asked for: host and target, without what `Queries` takes off, nothing else of the
    request. One that `stands_alone` has no answer in common with others but what is stored already.
    """

    key: str
    host: str
    target: str
    is_head: bool
    asked: Directives
    headers: CIMultiDictProxy[str]
    bypass: Reason | None = None
    stands_alone: bool = False

    @property
    def method(self) -> str:
        """For the rules of storing: HEAD is answered out of what GET is answered with."""
        return hdrs.METH_GET


def read(request: web.BaseRequest, bypass_cookies: frozenset[str], queries: Queries) -> Intent:
    """The intent of a request with the method GET or HEAD."""
    headers = CIMultiDictProxy(languages.introduced(forwarding.for_weighing(request.headers)))
    if hdrs.RANGE in headers:
        headers = _plain(headers)
    target = target_of(request.raw_path)
    host = host_of(headers)
    asked = directives.of_request(headers)
    bypass = _bypass(request, host, target, bypass_cookies) or ("query" if queries.is_strict(target) else None)
    target = queries.known(target)
    return Intent(
        key=f"{host}{target}",
        host=host,
        target=target,
        is_head=request.method == hdrs.METH_HEAD,
        asked=asked,
        headers=headers,
        bypass=bypass,
        stands_alone=hdrs.AUTHORIZATION in request.headers or asked.no_store,
    )


def _plain(given: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
    """The headers of a request for a part: of the plain bytes, if that is acceptable at all.

    Who asks for a part and mentions codings by habit can do nothing with the middle of a compressed body.
    """
    headers = CIMultiDict(given)
    if hdrs.ACCEPT_ENCODING in headers and not _COMPRESSED_ONLY.search(variants.upstream_encoding(headers)):
        headers[hdrs.ACCEPT_ENCODING] = variants.IDENTITY
    return CIMultiDictProxy(headers)


def host_of(headers: MultiMapping[str]) -> str:
    """The Host in lower case without the default port; empty if there is none, or several."""
    hosts = headers.getall(hdrs.HOST, ())
    return host_in_keys(hosts[0]) if len(hosts) == 1 else ""


def host_in_keys(host: str) -> str:
    """A Host as keys have it."""
    return host.lower().removesuffix(":80")


def key_of(uri: str) -> str | None:
    """The key of an absolute URI; None if it is of no such server.

    Who terminates TLS before the edge asks for the same addresses over plain HTTP.
    """
    scheme, _, rest = uri.partition("://")
    port = _PORTS.get(scheme.lower())
    if port is None:
        return None
    host, slash, path = rest.partition("/")
    return f"{host.lower().removesuffix(port)}{slash or '/'}{path}"


def ahead(uri: str, queries: Queries) -> Iterator[Intent]:
    """What most clients will want of an absolute URI: as browsers say it, and as programs do."""
    key = key_of(uri)
    if key is None:
        return
    key = queries.known(key)
    host, slash, path = key.partition("/")
    target = slash + path
    if not _HOST.fullmatch(host) or not _TARGET.fullmatch(target):
        return
    for accept, encoding in _USUAL:
        headers = CIMultiDict({"Host": host, "Accept": accept, "Accept-Encoding": encoding, "Sec-Purpose": "prefetch"})
        said = CIMultiDictProxy(languages.introduced(headers))
        yield Intent(key, host, target, False, directives.NONE, said)


def cookie_names(line: str) -> set[str]:
    """The names in a Cookie header, in linear time whatever it holds."""
    pairs = (pair.partition("=") for pair in line.split(";"))
    return {name.strip(" \t") for name, equals, _ in pairs if equals}


def _bypass(request: web.BaseRequest, host: str, target: str, bypass_cookies: frozenset[str]) -> Reason | None:
    headers = request.headers
    if request.body_exists:
        return "body"
    if not _HOST.fullmatch(host):
        return "host"
    if not _TARGET.fullmatch(target):
        return "target"
    if headers.get("X-Requested-With") == SPOKEN:
        return "query"
    # what only an origin can weigh (RFC 9111, section 4.3.2)
    if hdrs.IF_MATCH in headers or hdrs.IF_UNMODIFIED_SINCE in headers:
        return "precondition"
    if bypass_cookies and hdrs.COOKIE in headers:
        for line in headers.getall(hdrs.COOKIE):
            if not bypass_cookies.isdisjoint(cookie_names(line)):
                return "cookie"
    return None
