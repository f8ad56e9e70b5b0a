"""The heads that the fast road understands, as regular expressions: those of requests, and those of answers. Pure.

It accepts less than RFC 9112 does, and nothing that aiohttp's parser or `replies` refuses or reads in another way. What
it does not accept is no error: it takes the full road. So a request of the fast road has no body, one Host, and no
field about its connection; an answer has a known length, and a status that nobody tries again for.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from aiohttp.helpers import rfc822_formatted_time

from pastebin.http import consistency, counted, forwarding

# aiohttp's limit for one line is that for a whole head here.
HEAD_BYTES = 8190
_FIELDS = 64  # aiohttp's limit is 128
_ANSWER_FIELDS = 100  # that of `replies` is 200
# An answer of no more than that is passed back when it is here as a whole, so that one cut short can be had anew.
WHOLE_BYTES = 64 * 1024

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}+"
# RFC 3986 without the characters that mean something else to somebody.
_START = rb"(GET|HEAD) (/(?!/)[A-Za-z0-9/._~%!$&'()*+,;=:@?-]*+) HTTP/1\.1\r\n"
_HOST = re.compile(rb"[A-Za-z0-9.:\[\]_-]+")
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
# About the connection, a body, or something that wants more thought.
_REFUSED = frozenset(
    {
        *(name.lower().encode("ascii") for name in forwarding.HOP_BY_HOP if name != "Connection"),
        b"content-encoding",
        b"content-length",
        b"expect",
        b"sec-websocket-key1",
        b"via",
    }
)
# What the gateway says itself.
_OWN = frozenset(
    name.lower().encode("ascii")
    for name in (
        *forwarding.WHO,
        "Connection",
        "X-Request-Id",
        consistency.MIN_LSN_HEADER,
        counted.COUNTED,
        forwarding.TIMEOUT,
    )
)

# The match of the first line of a request that begins at a position of the bytes, or None: method and target.
start_at = re.compile(_START).match
# The match of what follows it, up to the empty line.
fields_at = re.compile(rb"(?:%b:[ -~]*+\r\n){1,%d}+\r\n" % (_TOKEN, _FIELDS)).match
_each_field = re.compile(rb"(%b):([ -~]*+)\r\n" % _TOKEN).findall


class Asked(NamedTuple):
    """What the fields of a request say: those that go on, and what is not told as it was said."""

    kept: bytes
    host: str
    identity: bytes | None
    forwarded_for: str | None
    forwarded_proto: str


def asked(fields: bytes) -> Asked | None:
    """What fields that have matched say; None where the full road has to read them."""
    pairs = [(name, value.strip(b" ")) for name, value in _each_field(fields)]
    named = {name.lower(): value for name, value in pairs}
    if len(named) != len(pairs) or not _REFUSED.isdisjoint(named):
        return None
    host, identity, forwarded_for = named.get(b"host", b""), named.get(b"x-request-id"), named.get(b"x-forwarded-for")
    if not _HOST.fullmatch(host) or named.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    if identity is not None and not _GIVEN_ID.fullmatch(identity):
        return None
    return Asked(
        b"".join([b"%b: %b\r\n" % pair for pair in pairs if pair[0].lower() not in _OWN]),
        host.decode("ascii"),
        identity,
        None if forwarded_for is None else forwarded_for.decode("ascii"),
        named.get(b"x-forwarded-proto", b"").decode("ascii"),
    )


# A value has neither spaces at its ends nor anything beyond ASCII, and a reason is there. Of what decides how a body or
# a connection goes on there is a length, once. By first letters, so that each line is tried by one branch or two.
_REST = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{0,63}+: (?! )[ -~]++(?<! )"
_ANSWER = re.compile(
    rb"HTTP/1\.1 (?!205|50[234])([2-5][0-9]{2}) [!-~][ -~]*+\r\n(?:(?:"
    rb"[!#$%%&'*+.^_`|~0-9ABE-GIJL-OQRVWYZabe-gijl-oqrvwyz-]%(rest)b"
    rb"|[Cc](?:ontent-[Ll]ength: (?(2)(?!))([0-9]{1,9}+)|onnection: keep-alive"
    rb"|(?!(?i:ontent-length|onnection):)%(rest)b)"
    rb"|[Dd](?:ate(?(3)(?!))(): [!-~][ -~]++(?<! )|(?!(?i:ate):)%(rest)b)"
    rb"|[SsXx](?:erver: [ -~]++|-[Rr]equest-[Ii][Dd]: [ -~]++|(?!(?i:erver|-request-id):)%(rest)b)"
    rb"|(?!(?i:http2-settings|keep-alive|pastebin-behind|proxy-|te:|trailer|transfer-encoding|upgrade))[HhKkPpTtUu]%(rest)b"
    rb")\r\n){0,%(fields)d}+\r\n" % {b"rest": _REST, b"fields": _ANSWER_FIELDS}
).match
# What does not go on of these, from one end of a line to the next.
_DROPPED = re.compile(rb"\n(?:[Ss]erver|[Xx]-[Rr]equest-[Ii][Dd]|[Cc]onnection): [^\r]*+\r").split
_BODILESS = frozenset({b"204", b"304"})


class Heading(NamedTuple):
    """What is passed back of an answer's head, up to the fields that are added, and where the answer ends."""

    status: int
    told: bytes
    body_at: int
    end: int


def heading(data: bytes, *, has_no_body: bool) -> Heading | None:
    """The head at the beginning of `data`; None where it is not all here, or is for the full road."""
    match = _ANSWER(data)
    if match is None:
        return None
    status, length, dated = match.groups()
    body_at = match.end()
    if has_no_body or status in _BODILESS:
        if length is not None and status in _BODILESS:
            return None  # it does not go on
        end = body_at
    elif length is None or (end := body_at + int(length)) > body_at + WHOLE_BYTES:
        return None
    told = b"".join(_DROPPED(data[: body_at - 2]))
    if dated is None:
        told += b"Date: %b\r\n" % rfc822_formatted_time().encode("ascii")
    return Heading(int(status), told, body_at, end)
