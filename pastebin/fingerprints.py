"""Which secret somebody has, without telling it."""

from __future__ import annotations

import hashlib
import hmac

_LABEL = b"pastebin: which secret is this"
_LETTERS = 16


def fingerprint(secret: bytes) -> str:
    """16 hexadecimal digits, the same for the same secret: HMAC-SHA256 of a fixed label."""
    return hmac.digest(secret, _LABEL, hashlib.sha256).hex()[:_LETTERS]
