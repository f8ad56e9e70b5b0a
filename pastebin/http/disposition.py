"""Under which name a browser saves a body: Content-Disposition of RFC 6266, in the notation of RFC 8187.

Names come from strangers. What leaves here is one printable ASCII header value, and the name in it is no
path, no hidden file and no longer than a file system takes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal
from urllib.parse import quote

_MAX_BYTES = 255
_MAX_CHARACTERS = 4096
_MAX_SUFFIX = 16
_RESERVED = re.compile(r'[/\\:*?"<>|]')
# Joiners hold emoji and several scripts together; every other invisible character only disguises.
_JOINERS = frozenset("\u200c\u200d")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_DEVICE = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.|$)", re.IGNORECASE)
# No `%` and no `;`: some clients decode the one and split at the other, quotes or not.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&()+,.=@\[\]^_`{}~-]")
_ATTRIBUTE = "!#$&+-.^_`|~"


def attachment(name: str | None, fallback: str) -> str:
    """The header that has a body saved as `name`, or as `fallback` where nothing of the name can be kept."""
    return _disposition("attachment", name, fallback)


def inline(name: str | None, fallback: str) -> str:
    """The header that has a body shown, and saved as `name` if somebody asks for it."""
    return _disposition("inline", name, fallback)


def safe_name(name: str | None, fallback: str) -> str:
    """`name` as one component of a path on any system: at most 255 bytes of UTF-8, no controls of any kind.

    `fallback` gets the same treatment; it is taken where no letter or digit is left, and "paste" after that.
    """
    for candidate in (name, fallback):
        cleaned = _cleaned(candidate or "")
        if any(character.isalnum() for character in cleaned):
            return cleaned
    return "paste"


def _disposition(kind: Literal["attachment", "inline"], name: str | None, fallback: str) -> str:
    full = safe_name(name, fallback)
    plain = _plain(full)
    if not any(character.isalnum() for character in plain.partition(".")[0]):
        plain = _plain(safe_name(fallback, "paste"))
    header = f'{kind}; filename="{plain}"'
    return header if plain == full else f"{header}; filename*=UTF-8''{quote(full, safe=_ATTRIBUTE)}"


def _cleaned(name: str) -> str:
    visible = "".join(
        character
        for character in name[:_MAX_CHARACTERS]
        if character in _JOINERS or unicodedata.category(character) not in _INVISIBLE
    )
    text = "".join(_without_path(character) for character in unicodedata.normalize("NFC", visible))
    text = " ".join(text.split()).rstrip(". ")
    if text.startswith("."):
        text = f"_{text[1:]}"
    if _DEVICE.match(text):
        text = f"_{text}"
    return _shortened(text)


def _without_path(character: str) -> str:
    """`_` for a reserved character and for its look-alikes, which some systems turn into the real one."""
    return "_" if _RESERVED.search(unicodedata.normalize("NFKC", character)) else character


def _shortened(name: str) -> str:
    """Cut the stem, not the suffix: the suffix says what the file is."""
    if len(name.encode()) <= _MAX_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _MAX_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = _MAX_BYTES - len((dot + suffix).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + suffix


def _plain(name: str) -> str:
    """The name in ASCII: letters without their accents, `_` for what has no equivalent."""
    decomposed = unicodedata.normalize("NFKD", name)
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _NOT_PLAIN.sub("_", _cleaned(bare))
