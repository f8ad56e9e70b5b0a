"""The heads that may take the short cut, as regular expressions: one for the first two lines, one for the fields.

It accepts less than RFC 9112 does, and nothing that aiohttp's parser refuses or reads in another way. What it does
not accept is no error: it takes the full road. So a field is named here only if it changes nothing about an answer
from a cache, or is handed out; every other field (Range, Cookie, Authorization, Cache-Control, Expect, Upgrade, the
length of a body) is known to be absent.
"""

from __future__ import annotations

import re

# aiohttp's limit for one line is that for a whole head here.
HEAD_BYTES = 8190
_FIELDS = 48  # aiohttp's limit is 128

# Unread: whatever varies on one of these cannot be told apart here.
_UNREAD = (
    "accept-language",
    "dnt",
    "origin",
    "priority",
    "referer",
    "sec-ch-ua",
    "sec-fetch-dest",
    "sec-gpc",
    "upgrade-insecure-requests",
    "user-agent",
)

# RFC 3986 without the characters that mean something else to somebody. Host comes first (RFC 9110, 7.2), in lower case.
_START = rb"(GET|HEAD) (/(?!/)[A-Za-z0-9/._~%!$&'()*+,;=:@?-]*+ HTTP/1\.1\r\n[Hh]ost: [a-z0-9.:\[\]_-]++)\r\n"
# Spaces at its ends are not part of it (RFC 9110, 5.5); no tabs, nothing beyond ASCII.
_VALUE = rb"[ -~]*+"
_TAG = rb'(?:W/)?"[!#-~]*+"'
# Both spellings that occur, by first letters, so that each line is tried by one branch. A group that has matched
# already, (?(N)(?!)), may not match once more: no field that decides is there twice.
_FIELD = (
    rb"(?:"
    rb"(?:[Uu](?:ser-[Aa]gent(?(1)(?!))()|pgrade-[Ii]nsecure-[Rr]equests)"
    rb"|[Ss]ec-(?:[Ff]etch-(?:[Ss]ite|[Mm]ode|[Uu]ser|[Dd]est)|(?:ch|CH)-[A-Za-z-]++|GPC|gpc)"
    rb"|DNT|dnt|[Oo]rigin|[Pp]riority|[Rr]eferer): %(value)b"
    rb"|[Aa]ccept(?::(?(2)(?!)) (%(value)b)|-(?:[Ee]ncoding:(?(3)(?!)) (%(value)b)|[Ll]anguage:(?(4)(?!)) (%(value)b)))"
    rb"|[Cc]onnection: [Kk]eep-[Aa]live"
    rb"|[Ii]f-(?:[Nn]one-[Mm]atch:(?(5)(?!)) (%(tag)b)|[Mm]odified-[Ss]ince:(?(6)(?!)) (%(value)b))"
    rb")\r\n"
) % {b"value": _VALUE, b"tag": _TAG}

# What fields say: whether there is a User-Agent, then Accept, Accept-Encoding, Accept-Language, If-None-Match and
# If-Modified-Since with the spaces around them; None where a field is missing.
Said = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]

# The match of the first two lines of a head that begins at a position of the bytes, or None; its groups are the method
# and the address, see `place`. What follows is to match `fields_at` where this one ends; the groups of that are Said.
# A head of more than HEAD_BYTES is none.
start_at = re.compile(_START).match
fields_at = re.compile(rb"(?:%b){0,%d}\r\n" % (_FIELD, _FIELDS)).match


def told_apart(names: tuple[str, ...]) -> bool:
    """Whether the fields of a Vary, in lower case, are handed out, or known to be absent from an accepted head."""
    return not any(name in _UNREAD or name.startswith(("sec-", "host", "connection", "if-")) for name in names)


def place(address: bytes) -> tuple[str, str]:
    """Host and target of an address."""
    target, _, host = address.decode("ascii").partition(" ")
    return host[host.index(": ") + 2 :], target
