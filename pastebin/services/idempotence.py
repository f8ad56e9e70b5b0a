"""What tells a request that is sent again from another one under the same Idempotency-Key."""

from __future__ import annotations

import hashlib
import hmac

import orjson

from pastebin.models import File, Options


def fingerprint(files: tuple[File, ...], options: Options, secret: bytes) -> bytes:
    """What must be equal for two requests with one Idempotency-Key to be the same request.

    The password is in it only under the secret: the database must not give a fast way to guess it.
    """
    parts = [
        [[file.name, file.syntax, file.sha256.hex()] for file in files],
        [
            options.title,
            options.visibility,
            options.max_reads,
            options.slug,
            options.parent,
            options.encryption,
            *([options.analytics] if options.analytics else []),
        ],
        [options.lifetime.total_seconds() if options.lifetime else None, options.expires_at],
        _sealed(options.password, secret) if options.password else None,
    ]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()


def _sealed(password: str, secret: bytes) -> str:
    return hmac.new(
        secret, b"password of a paste\0" + password.encode("utf-8", "surrogatepass"), hashlib.sha256
    ).hexdigest()
