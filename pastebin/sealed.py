"""What is known of content that its author has encrypted: PrivateBin's format, version 2, without its key. Pure.

`adata` is authenticated as the JSON text that the author made of it, so it is kept as it came: a list, whose order
and numbers JSON and the database preserve. See "Encryption format" in PrivateBin's documentation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

VERSION = 2
# PrivateBin takes 10,001 and more; a reader has to go through all of them, so there is an end.
LEAST_ITERATIONS = 10_001
MOST_ITERATIONS = 10_000_000
KEY_BITS = frozenset({128, 192, 256})
TAG_BITS = frozenset({64, 96, 128})
COMPRESSIONS = frozenset({"zlib", "none"})
FORMATTERS = frozenset({"plaintext", "syntaxhighlighting", "markdown"})

_IV_BASE64, _SALT_BASE64 = 24, 14  # characters, at most
_IV_BYTES = 8  # at least, as every implementation of GCM takes it
_MEMBERS = frozenset({"v", "adata", "verifier"})


@dataclass(frozen=True, slots=True)
class Sealed:
    """How content was encrypted: AES in GCM, with a key that PBKDF2-HMAC-SHA-256 makes of a random one and a password.

    `has_verifier`: the paste's password is made of the key, and keeps a wrong one from using up a reading.
    """

    iv: bytes
    salt: bytes
    iterations: int
    key_bits: int
    tag_bits: int
    compression: Literal["zlib", "none"]
    formatter: str
    has_discussion: bool
    burns: bool
    adata: list[Any] = field(repr=False)
    has_verifier: bool = False

    def parameters(self) -> dict[str, Any]:
        """What is kept with the paste; `read` understands it."""
        return {"v": VERSION, "adata": self.adata, **({"verifier": True} if self.has_verifier else {})}


def find(parameters: Mapping[str, Any] | None) -> Sealed | None:
    """How a paste with these parameters is encrypted; None for any other way than this one, and for no way at all."""
    if parameters is None:
        return None
    try:
        return read(parameters)
    except ValueError:
        return None


def read(parameters: Mapping[str, Any]) -> Sealed:
    """Raises ValueError, with the reason, for what is not of this format."""
    verifier = parameters.get("verifier", False)
    if parameters.get("v") != VERSION or not isinstance(verifier, bool) or parameters.keys() - _MEMBERS:
        raise ValueError(f"must be of version {VERSION}")
    adata = parameters.get("adata")
    match adata:
        case [[iv, salt, iterations, key_bits, tag_bits, "aes", "gcm", compression], formatter, discussion, burns]:
            pass
        case _:
            raise ValueError("must be encrypted with AES in GCM, and hold four things")
    if not (_is_among(key_bits, KEY_BITS) and _is_among(tag_bits, TAG_BITS)):
        raise ValueError("must have a key of 128, 192 or 256 bits and a tag of 64, 96 or 128")
    if type(iterations) is not int or not LEAST_ITERATIONS <= iterations <= MOST_ITERATIONS:
        raise ValueError(f"must have {LEAST_ITERATIONS} to {MOST_ITERATIONS} iterations")
    if not (_is_word(compression, COMPRESSIONS) and _is_word(formatter, FORMATTERS)):
        raise ValueError("has a compression or a formatter that is not known")
    if not (_is_among(discussion, {0, 1}) and _is_among(burns, {0, 1})):
        raise ValueError("must say 0 or 1 of discussion and burning")
    return Sealed(
        iv=_bytes(iv, _IV_BASE64, _IV_BYTES),
        salt=_bytes(salt, _SALT_BASE64, 1),
        iterations=iterations,
        key_bits=key_bits,
        tag_bits=tag_bits,
        compression="zlib" if compression == "zlib" else "none",
        formatter=formatter,
        has_discussion=bool(discussion),
        burns=bool(burns),
        adata=adata,
        has_verifier=verifier,
    )


def _is_among(value: object, allowed: frozenset[int] | set[int]) -> bool:
    """JSON's true is no 1 here: it is written differently, so it is authenticated differently."""
    return type(value) is int and value in allowed


def _is_word(value: object, allowed: frozenset[str]) -> bool:
    return isinstance(value, str) and value in allowed


def _bytes(text: object, most_characters: int, least_bytes: int) -> bytes:
    try:
        if isinstance(text, str) and len(text) <= most_characters:
            decoded = base64.b64decode(text, validate=True)
            if len(decoded) >= least_bytes:
                return decoded
    except (binascii.Error, ValueError):
        pass
    raise ValueError("has an initialization vector or a salt that is none")
