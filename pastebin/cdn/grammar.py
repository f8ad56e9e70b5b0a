"""The heads that may take the short cut: one regular expression for all of a request that needs no more thought.

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

METHOD, ADDRESS, _AGENT, ACCEPT, ENCODING, NONE_MATCH, SINCE = range(1, 8)

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
    rb"(?:[Uu](?:ser-[Aa]gent(?(3)(?!))()|pgrade-[Ii]nsecure-[Rr]equests)"
    rb"|[Ss]ec-(?:[Ff]etch-(?:[Ss]ite|[Mm]ode|[Uu]ser|[Dd]est)|(?:ch|CH)-[A-Za-z-]++|GPC|gpc)"
    rb"|[Aa]ccept-[Ll]anguage|DNT|dnt|[Oo]rigin|[Pp]riority|[Rr]eferer): %(value)b"
    rb"|[Aa]ccept(?::(?(4)(?!)) (%(value)b)|-[Ee]ncoding:(?(5)(?!)) (%(value)b))"
    rb"|[Cc]onnection: [Kk]eep-[Aa]live"
    rb"|[Ii]f-(?:[Nn]one-[Mm]atch:(?(6)(?!)) (%(tag)b)|[Mm]odified-[Ss]ince:(?(7)(?!)) (%(value)b))"
    rb")\r\n"
) % {b"value": _VALUE, b"tag": _TAG}

_HEAD = re.compile(rb"%b(?:%b){0,%d}\r\n" % (_START, _FIELD, _FIELDS))

# The match of the head that begins at a position of the bytes, or None. Its end is where the next one may begin; one
# of more than HEAD_BYTES is to be taken for None. Groups: METHOD, ADDRESS, ACCEPT, ENCODING, NONE_MATCH, SINCE,
# the last four without their spaces taken off.
head_at = _HEAD.match


def told_apart(names: tuple[str, ...]) -> bool:
    """Whether the fields of a Vary, in lower case, are handed out, or known to be absent from an accepted head."""
    return not any(name in _UNREAD or name.startswith(("sec-", "host", "connection", "if-")) for name in names)


def place(address: bytes) -> tuple[str, str]:
    """Host and target of what the group ADDRESS has matched."""
    target, _, host = address.decode("ascii").partition(" ")
    return host[host.index(": ") + 2 :], target
