"""Public names and owner tokens: how they are made, what they may look like, how they are kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import string
import threading

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
UNLISTED_LENGTH = 11  # 65 bits: not to be guessed through a rate-limited door
PROTECTED_LENGTH = 22  # 131 bits: the slug is part of the secret
TOKEN_LENGTH = 32  # 190 bits

# Random bytes as letters: every letter stands for equally many bytes, the few that are left over are thrown away.
_BYTES_AT_ONCE = 4096
_LETTERS = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
_UNFAIR = bytes(range(256 - 256 % len(ALPHABET), 256))

PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9_\-]{1,62}[A-Za-z0-9])"  # for Python and for browsers
_SLUG = re.compile(PATTERN)
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


class _Letters:
    """Letters of the operating system's randomness, each given out once; asked for in blocks, as that is a system call.

    Neither two threads nor a process and its child may get the same ones.
    """

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._block = ""
        self._next = 0

    def take(self, count: int) -> str:
        with self._lock:
            while (end := self._next + count) > len(self._block):
                self._block, self._next = os.urandom(_BYTES_AT_ONCE).translate(_LETTERS, _UNFAIR).decode(), 0
            begin, self._next = self._next, end
            return self._block[begin:end]


_random = _Letters().take
