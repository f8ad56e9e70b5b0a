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


# A value has neither spaces at its ends nor anything beyond ASCII, a reason is there.
_ANSWER = re.compile(
    rb"HTTP/1\.1 (([2-5][0-9]{2}) [!-~][ -~]*+)\r\n((?:%b: (?! )[ -~]++(?<! )\r\n){0,%d}+)\r\n"
    % (_TOKEN, _ANSWER_FIELDS)
).match
# The fields that decide something, or do not go on. Whoever names another option of a connection is not understood.
_TOLD = re.compile(
    rb"^(?:([Cc]ontent-[Ll]ength)|([Dd]ate)|[Ss]erver|[Xx]-[Rr]equest-[Ii][Dd]|([Cc]onnection)|[Kk]eep-[Aa]live"
    rb"|((?i:connection|content-length|date|http2-settings|keep-alive|pastebin-behind|proxy-[a-z-]*|server|te|trailer"
    rb"|transfer-encoding|upgrade|x-request-id))): ([^\r]*+)\r\n",
    re.MULTILINE,
).finditer
_LENGTH = re.compile(rb"[0-9]{1,9}").fullmatch
_NOT_FOR_THIS = frozenset({b"205", b"502", b"503", b"504"})


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
    line, status, fields = match.groups()
    if status in _NOT_FOR_THIS:
        return None
    kept, at, length, is_dated = b"", 0, None, False
    for field in _TOLD(fields):
        is_length, is_date, is_connection, is_other, value = field.groups()
        if is_date:
            is_dated = True
            continue
        if is_length:
            if length is not None or not _LENGTH(value):
                return None
            length = int(value)
            if status != b"204":
                continue
        elif is_other or (is_connection and value != b"keep-alive"):
            return None
        kept += fields[at : field.start()]
        at = field.end()
    body_at = match.end()
    if has_no_body or status in (b"204", b"304"):
        end = body_at
    elif length is None or length > WHOLE_BYTES:
        return None
    else:
        end = body_at + length
    date = b"" if is_dated else b"Date: %b\r\n" % rfc822_formatted_time().encode("ascii")
    return Heading(int(status), b"HTTP/1.1 %b\r\n%b%b%b" % (line, kept, fields[at:], date), body_at, end)
