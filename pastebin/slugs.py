"""Public names and owner tokens: how they are made, what they may look like, how they are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
UNLISTED_LENGTH = 11  # 65 bits: not to be guessed through a rate-limited door
PROTECTED_LENGTH = 22  # 131 bits: the slug is part of the secret
TOKEN_LENGTH = 32  # 190 bits

# Random bytes as letters: every letter stands for equally many bytes, the few that are left over are thrown away.
_LETTERS = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
_UNFAIR = bytes(range(256 - 256 % len(ALPHABET), 256))

_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{1,62}[A-Za-z0-9])")
ALLOWED = "3 to 64 letters, digits, '-' or '_', beginning and ending with a letter or digit"

# First path segments that the service keeps for itself, now or for what it may grow.
_RESERVED = """
    about admin api assets client compat diff docs documents embed favicon healthz help livez login logout
    metrics mine new oembed pastes problems raw readyz robots rss search sharex startupz static stats topology
    upload uploads well-known
"""
RESERVED = frozenset(_RESERVED.split())


def generate(*, protected: bool) -> str:
    """A new slug of the operating system's randomness; `protected` for burn, password and private pastes."""
    return _random(PROTECTED_LENGTH if protected else UNLISTED_LENGTH)


def generate_token() -> str:
    return _random(TOKEN_LENGTH)


def derive_token(secret: bytes, idempotency_key: str) -> str:
    """The owner token of a create that carries an Idempotency-Key: the same for every retry, on every node.

    It is a MAC, so only who knows the key gets the token again, and the database still holds only its hash.
    """
    digest = hmac.digest(secret, b"owner-token\0" + idempotency_key.encode("utf-8", "surrogatepass"), "sha256")
    number = int.from_bytes(digest, "big")
    letters = []
    for _ in range(TOKEN_LENGTH):
        number, index = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[index])
    return "".join(letters)


def hash_token(token: str) -> bytes:
    """SHA-256 of an owner token (32 bytes): all that is ever stored of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def is_slug(text: str) -> bool:
    """Whether `text` can name a paste at all; anything else needs no look-up."""
    return _SLUG.fullmatch(text) is not None


def is_reserved(text: str) -> bool:
    return text.lower() in RESERVED


def _random(length: int) -> str:
    letters = b""
    while len(letters) < length:
        letters += secrets.token_bytes(2 * length).translate(_LETTERS, _UNFAIR)
    return letters[:length].decode()
