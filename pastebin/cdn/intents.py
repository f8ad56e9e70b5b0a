"""What a GET or HEAD wants of the cache, as far as the request alone can tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from pastebin.cdn import directives
from pastebin.cdn.directives import Directives

Reason = Literal["body", "host", "target", "cookie", "precondition"]

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.ASCII | re.IGNORECASE)
# RFC 3986, sections 3.2.2 and 3.2.3; nothing but what names a server may become part of a key.
_HOST = re.compile(r"(?:[a-z0-9._~-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_TARGET = re.compile(r"/[^\x00-\x20\x7f#]*")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_COOKIE_NAME = re.compile(r"(?:^|;)[ \t]*([^=;]+?)[ \t]*=")


@dataclass(frozen=True, slots=True)
class Intent:
    """One request as the cache sees it. `bypass` says why it is none of its business, if that is so.

    `key` is what the origin is asked for: host and target, nothing else of the request. A request that `stands_alone`
    has no answer in common with others but what is stored already.
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


def read(request: web.BaseRequest, bypass_cookies: frozenset[str]) -> Intent:
    """The intent of a request with the method GET or HEAD."""
    headers = request.headers
    target = target_of(request.raw_path)
    host = host_of(headers)
    asked = directives.of_request(headers)
    return Intent(
        key=f"{host}{target}",
        host=host,
        target=target,
        is_head=request.method == hdrs.METH_HEAD,
        asked=asked,
        headers=headers,
        bypass=_bypass(request, host, target, bypass_cookies),
        stands_alone=hdrs.AUTHORIZATION in headers or asked.no_store,
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


def host_of(headers: MultiMapping[str]) -> str:
    """The Host in lower case without the default port; empty if there is none, or several."""
    hosts = headers.getall(hdrs.HOST, ())
    return hosts[0].lower().removesuffix(":80") if len(hosts) == 1 else ""


def key_of(uri: str) -> str | None:
    """The key of an absolute URI; None if it is of no such server."""
    scheme, _, rest = uri.partition("://")
    if (port := _DEFAULT_PORTS.get(scheme.lower())) is None:
        return None
    host, _, path = rest.partition("/")
    return f"{host.lower().removesuffix(port)}/{path}"


def of_uri(uri: str) -> Intent | None:
    """The intent of fetching ahead what is at an absolute URI; None if it is of no such server."""
    key = key_of(uri)
    if key is None:
        return None
    host, _, path = key.partition("/")
    target = f"/{path}"
    if not _HOST.fullmatch(host) or not _TARGET.fullmatch(target):
        return None
    headers = CIMultiDict(
        {hdrs.HOST: host, hdrs.ACCEPT: "*/*", hdrs.ACCEPT_ENCODING: "gzip", "Sec-Purpose": "prefetch"}
    )
    return Intent(key, host, target, is_head=False, asked=directives.NONE, headers=CIMultiDictProxy(headers))


def _bypass(request: web.BaseRequest, host: str, target: str, bypass_cookies: frozenset[str]) -> Reason | None:
    headers = request.headers
    if request.body_exists:
        return "body"
    if not _HOST.fullmatch(host):
        return "host"
    if not _TARGET.fullmatch(target):
        return "target"
    # what only an origin can weigh (RFC 9111, section 4.3.2)
    if hdrs.IF_MATCH in headers or hdrs.IF_UNMODIFIED_SINCE in headers:
        return "precondition"
    if bypass_cookies and hdrs.COOKIE in headers:
        for line in headers.getall(hdrs.COOKIE):
            if not bypass_cookies.isdisjoint(_COOKIE_NAME.findall(line)):
                return "cookie"
    return None
