"""How content is encrypted with the key in a link: PrivateBin's format, version 2. Needs the library `cryptography`."""

from __future__ import annotations

import base64
import os
import zlib
from dataclasses import dataclass, field

import orjson

from pastebin import sealed
from pastebin.cli import base58
from pastebin.cli.failures import CommandFailed, UsageError
from pastebin.sealed import Sealed

KEY_BYTES = 32
ITERATIONS = 600_000
# Of JSON, before it is compressed and after it was: the same for the page, which may have to read it.
MOST_BYTES = 128 * 1024**2
_VERIFIER = b"pastebin verifier"


class DoesNotFit(CommandFailed):
    """The key or the password does not fit, or the content was changed."""


class Damaged(CommandFailed):
    """What was decrypted is nothing that is known here."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a key and a password make: the key of the content, and what proves to a server that both are known."""

    content: bytes = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Closed:
    """Encrypted content; `key` is for the link."""

    sealing: Sealed
    ciphertext: bytes = field(repr=False)
    key: str = field(repr=False)
    verifier: str = field(repr=False)


def require_library() -> None:
    """Raises UsageError, with what brings the library, where it is missing."""
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "encrypting and decrypting take the library 'cryptography': pip install 'pastebin[encrypt]'"
        ) from None


def key_of(fragment: str) -> bytes:
    """The key in the fragment of a link; `-` before it asks for a confirmation. Raises UsageError."""
    text = fragment.removeprefix("-").partition("&")[0]
    try:
        key = base58.decode(text) if len(text) <= 2 * KEY_BYTES else b""
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError("the key behind the # of the link is not whole; nothing was used up: copy the link once more")
    return key


def derive(secret: bytes, password: str | None, sealing: Sealed) -> Keys:
    """PBKDF2-HMAC-SHA-256 (RFC 8018, 5.2), and HKDF (RFC 5869) of that for the verifier."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

    length = sealing.key_bits // 8
    stretched = PBKDF2HMAC(SHA256(), length, sealing.salt, sealing.iterations)
    content = stretched.derive(secret + (password or "").encode("utf-8", "replace"))
    verifier = HKDF(SHA256(), 32, None, _VERIFIER).derive(content)
    return Keys(content, base64.b64encode(verifier).decode())


def close(content: bytes, password: str | None, *, formatter: str = "plaintext", burns: bool = False) -> Closed:
    """Compress and encrypt with a new key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    iv, salt, secret = os.urandom(16), os.urandom(8), os.urandom(KEY_BYTES)
    cipher = [
        base64.b64encode(iv).decode(),
        base64.b64encode(salt).decode(),
        ITERATIONS,
        256,
        128,
        "aes",
        "gcm",
        "zlib",
    ]
    sealing = sealed.read({"v": sealed.VERSION, "adata": [cipher, formatter, 0, int(burns)]})
    keys = derive(secret, password, sealing)
    ciphertext = AESGCM(keys.content).encrypt(iv, zlib.compress(content, wbits=-zlib.MAX_WBITS), _associated(sealing))
    return Closed(sealing, ciphertext, base58.encode(secret), keys.verifier)


def reopen(ciphertext: bytes, key: bytes, sealing: Sealed) -> bytes:
    """Decrypt and decompress. Raises DoesNotFit, Damaged."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import GCM

    tag_bytes = sealing.tag_bits // 8
    tag = ciphertext[-tag_bytes:]
    if len(tag) < tag_bytes:
        raise Damaged
    decryptor = Cipher(AES(key), GCM(sealing.iv, tag, min_tag_length=tag_bytes)).decryptor()
    decryptor.authenticate_additional_data(_associated(sealing))
    try:
        content = decryptor.update(ciphertext[:-tag_bytes]) + decryptor.finalize()
    except InvalidTag:
        raise DoesNotFit from None
    return content if sealing.compression == "none" else _inflated(content)


def _inflated(content: bytes) -> bytes:
    inflating = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflating.decompress(content, MOST_BYTES + 1)
    except zlib.error:
        raise Damaged from None
    if len(inflated) > MOST_BYTES:
        raise Damaged(f"this paste is larger than {MOST_BYTES} bytes, which are not unpacked")
    if not inflating.eof:
        raise Damaged
    return inflated


def _associated(sealing: Sealed) -> bytes:
    """As JavaScript's JSON.stringify writes it; there is nothing but ASCII in it."""
    return orjson.dumps(sealing.adata)
