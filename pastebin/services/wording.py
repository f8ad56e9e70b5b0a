"""Figures and names in few characters, for the boxes of a picture. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pastebin.languages import gettext
from pastebin.services.charts import compact


def rate(number: float) -> str:
    """`3.4`, `17`, `1.2k`."""
    return f"{number:.1f}".removesuffix(".0") if number < 10 else compact(round(number))


def age(seconds: float) -> str:
    """`0.2 s`, `45 s`, `12 min`, `3 h`, `4 d`."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}".removesuffix(".0") + " s"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(number: int) -> str:
    """`0 B`, `12 KiB`, `3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number} {unit}"
        number //= 1024
    return f"{number} TiB"


def short_names(addresses: Sequence[str]) -> list[str]:
    """`host:port` without the port where all have the same; a socket of this machine has no name that says much."""
    addresses = [gettext("local socket") if address.startswith("/") else address for address in addresses]
    pairs = [address.rpartition(":") for address in addresses]
    if any(not host or not port.isdigit() for host, _, port in pairs):
        return list(addresses)
    if len({port for _, _, port in pairs}) == 1 and len({host for host, _, _ in pairs}) == len(pairs):
        return [host for host, _, _ in pairs]
    return list(addresses)


def plain(text: str) -> str:
    """Nothing that would reorder or hide text: names come from other machines."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
