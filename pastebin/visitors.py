"""Pseudonyms: a number for a reader of one paste on one day, which nobody can lead back to anybody afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Salts:
    """The salts of one `period` (UTC days since 1970, by the primary's clock) and of the one before.

    Empty where there is none. They never show themselves in a log.
    """

    period: int
    current: bytes = field(repr=False)
    previous: bytes = field(repr=False, default=b"")


def pseudonyms(salts: Salts | None, address: str, agent: str, slug: str) -> tuple[int, int, int]:
    """The period, who reads `slug` under its salt, and under that of the period before: 63-bit numbers.

    0 where there is no salt. With the salt gone nothing leads from a number to an address, not even trying them all.
    """
    if salts is None:
        return 0, 0, 0
    # headers hold no NUL, so no two readers make the same text
    text = f"{address}\0{agent}\0{slug}".encode("utf-8", "surrogatepass")
    return salts.period, _number(salts.current, text), _number(salts.previous, text)


def _number(salt: bytes, text: bytes) -> int:
    if not salt:
        return 0
    return int.from_bytes(blake2b(text, digest_size=8, key=salt).digest()) >> 1 or 1
