"""Which of the answers stored under one address a request may get: RFC 9111 section 4.1, RFC 9110 section 12.5.5."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from multidict import MultiMapping

Variant = tuple[tuple[str, str | None], ...]  # lower-case name of a field -> what the request says; () without Vary

IDENTITY = "identity"
CODINGS = ("br", "gzip", "zstd")  # what an origin is asked for, if the client takes it

_NAME = re.compile("[!#$%&'*+.^_`|~0-9a-z-]+")
_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|(?<![ \t])[ \t]*+,[ \t,]*+', re.DOTALL)
_SEMICOLON = re.compile(r"(?<![ \t])[ \t]*+;[ \t;]*+")
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_MEMOISED_CHARS = 512
_DEFAULT_QUALITY = 1.0

# Lists of preferences: neither their order means anything nor their case, but for the parameters of a media type.
_PREFERENCES = {"accept", "accept-charset", "accept-encoding", "accept-language"}
# What an origin sees there is not what the client said: this edge says who asks.
_OURS = frozenset({"x-forwarded-for"})
# Fields that are no lists: their commas are their own business.
_SINGLE = {"authorization", "cookie", "host", "origin", "referer", "user-agent"}


def nominated(headers: MultiMapping[str]) -> tuple[str, ...] | None:
    """The lower-case names of the request's fields that this response depends on, sorted.

    None where no other request can match: "*" in Vary, the address of the client, or something that cannot be the
    name of a field. An encoded body depends on Accept-Encoding, whether its origin says so or not.
    """
    lines = headers.getall("Vary", ())
    names = _names(lines[0] if len(lines) == 1 else ",".join(lines)) if lines else ()
    if names is None or "accept-encoding" in names or "Content-Encoding" not in headers:
        return names
    return tuple(sorted((*names, "accept-encoding")))


def variant_of(names: Sequence[str], request_headers: MultiMapping[str]) -> Variant:
    """What a request says in the fields of these names, in a form that is equal for equal meanings.

    Accept-Encoding counts as `upstream_encoding` puts it, so every fetch has to carry that.
    """
    return tuple([(name, _spoken(name, request_headers)) for name in names])


def upstream_encoding(headers: MultiMapping[str]) -> str:
    """The Accept-Encoding for the origin instead of the client's own, so that few variants serve everybody.

    It asks for nothing that the client does not take: for those of CODINGS that it likes no less than identity, or
    for identity. Only a client that refuses identity, or says "*", is passed on in its own words.
    """
    lines = headers.getall("Accept-Encoding", ())
    if not lines:
        return IDENTITY
    value = lines[0] if len(lines) == 1 else ", ".join(lines)
    return _encoding(value) if len(value) <= _MEMOISED_CHARS else _encoding.__wrapped__(value)


def _spoken(name: str, headers: MultiMapping[str]) -> str | None:
    if name == "accept-encoding":
        return upstream_encoding(headers)
    lines = headers.getall(name, ())
    if not lines:
        return None
    value = lines[0] if len(lines) == 1 else ("; " if name == "cookie" else ", ").join(lines)
    if len(value) > _MEMOISED_CHARS:
        return _digested(name, value)
    return _remembered(name, value)


@lru_cache(maxsize=256)
def _names(value: str) -> tuple[str, ...] | None:
    names = {name.strip(" \t").lower() for name in value.split(",")} - {""}
    if "*" in names or names & _OURS or not all(_NAME.fullmatch(name) for name in names):
        return None
    return tuple(sorted(names))


@lru_cache(maxsize=2048)
def _remembered(name: str, value: str) -> str:
    return _normal(name, value)


@lru_cache(maxsize=64)
def _digested(name: str, value: str) -> str:
    """What stands for a long value, remembered while its request is being answered: to compare it takes milliseconds.

    No field can hold a NUL, so nobody can send what stands for another one's value.
    """
    return "\0" + sha256(_normal(name, value).encode("utf-8", "surrogatepass")).hexdigest()


def _normal(name: str, value: str) -> str:
    if name in _SINGLE:
        return value.strip(" \t")
    if name in _PREFERENCES and '"' not in value:
        preferences = _preferences(name, value)
        return ",".join(f"{item};q={quality:g}" if quality < 1 else item for item, quality in preferences)
    return ",".join(_members(value))


def _members(value: str) -> list[str]:
    """The members of a list without the space around them; commas in quotes do not count."""
    members = []
    start = 0
    for found in _COMMA.finditer(value):
        if not found[0].startswith('"'):
            members.append(value[start : found.start()])
            start = found.end()
    members.append(value[start:])
    return [member for member in (member.strip(" \t") for member in members) if member]


def _preferences(name: str, value: str) -> list[tuple[str, float]]:
    """What is preferred and how much, the best first. What does not look like a quality stays part of the text."""
    found = []
    for member in _members(value):
        text, best = _SEMICOLON.sub(";", member), _DEFAULT_QUALITY
        while (quality := _QUALITY.fullmatch(text.rpartition(";")[2])) is not None and ";" in text:
            text, best = text.rpartition(";")[0], float(quality[1])
        first, semicolon, parameters = text.partition(";")
        text = f"{first.lower()}{semicolon}{parameters}" if name == "accept" else text.lower()
        if text:
            found.append((text, best))
    return sorted(set(found), key=lambda item: (-item[1], item[0]))


@lru_cache(maxsize=256)
def _encoding(value: str) -> str:
    preferences = _preferences("accept-encoding", value)
    liked: dict[str, float] = {}
    for coding, quality in preferences:
        liked.setdefault(coding.removeprefix("x-"), quality)
    identity = liked.get(IDENTITY, 0.001)
    if "*" in liked or identity == 0:
        return ", ".join(f"{coding};q={quality:g}" if quality < 1 else coding for coding, quality in preferences)
    return ", ".join(coding for coding in CODINGS if liked.get(coding, 0.0) >= identity) or IDENTITY
