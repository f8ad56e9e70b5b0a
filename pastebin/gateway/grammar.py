"""The heads that the fast road understands, as regular expressions: those of requests, and those of answers. Pure.

It accepts less than RFC 9112 does, and nothing that aiohttp's parser or `replies` refuses or reads in another way. What
it does not accept is no error: it takes the full road. So a request of the fast road has no body, one Host, and no
field about its connection; an answer has a known length, and a status that nobody tries again for.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from aiohttp.helpers import rfc822_formatted_time
from multidict import CIMultiDict

# aiohttp's limit for one line is that for a whole head here.
HEAD_BYTES = 8190
_FIELDS = 64  # aiohttp's limit is 128
_ANSWER_FIELDS = 100  # that of `replies` is 200
# An answer of no more than that is passed back when it is here as a whole, so that one cut short can be had anew.
WHOLE_BYTES = 64 * 1024

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}+"
# RFC 3986 without the characters that mean something else to somebody.
_START = rb"(GET|HEAD) (/(?!/)[A-Za-z0-9/._~%!$&'()*+,;=:@?-]*+) HTTP/1\.1\r\n"
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]+")
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# About the connection, a body, or something that wants more thought.
_REFUSED = frozenset(
    {
        "content-encoding",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
_REFUSED_KINDS = ("proxy-", "sec-websocket-")

# The match of the first line of a request that begins at a position of the bytes, or None: method and target.
start_at = re.compile(_START).match
# The match of what follows it, up to the empty line.
fields_at = re.compile(rb"(?:%b:[ -~]*+\r\n){1,%d}+\r\n" % (_TOKEN, _FIELDS)).match
_each_field = re.compile(rb"(%b):([ -~]*+)\r\n" % _TOKEN).findall


def asked(fields: bytes) -> CIMultiDict[str] | None:
    """The header of a request whose fields have matched; None where it has to take the full road."""
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in _each_field(fields):
        headers.add(name.decode("ascii"), value.strip(b" ").decode("ascii"))
    names = {name.lower() for name in headers}
    if len(names) != len(headers) or names & _REFUSED or any(name.startswith(_REFUSED_KINDS) for name in names):
        return None
    if headers.get("Connection", "keep-alive").lower() != "keep-alive":
        return None
    given = headers.get("X-Request-Id")
    if given is not None and not _GIVEN_ID.fullmatch(given):
        return None
    return headers if _HOST.fullmatch(headers.get("Host", "")) else None


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
        if length is not None and status == b"204":
            return None  # it has none
        end = body_at
    elif length is None or (end := body_at + int(length)) > body_at + WHOLE_BYTES:
        return None
    told = b"".join(_DROPPED(data[: body_at - 2]))
    if dated is None:
        told += b"Date: %b\r\n" % rfc822_formatted_time().encode("ascii")
    return Heading(int(status), told, body_at, end)
