"""A drawn document on the page that holds it: what only the page knows comes into the places left for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

from markupsafe import escape

# Noncharacters that stand for the beginning of the page's ids, and for where the other files of the paste are.
ID = "\ufdd0"
SIBLING = "\ufdd1"
# Not beyond a tag: text may look like the beginning of one of these (`&#xFDD1;` in raw HTML).
_BESIDE = re.compile(rf' (href|src)="{SIBLING}([^"<>]*)"')


@dataclass(frozen=True, slots=True)
class Sibling:
    """Where a file of the same paste is: on the page, and, if it is a picture, its bytes."""

    link: str
    picture: str | None = None


def placed(html: str, prefix: str, siblings: Mapping[str, Sibling]) -> str:
    """The document with ids of this page and addresses of the files by their names; those of no file are taken away."""

    def found(match: re.Match[str]) -> str:
        name = unquote(unescape(match[2])).partition("#")[0].partition("?")[0].removeprefix("./")
        sibling = siblings.get(name)
        address = None if sibling is None else sibling.picture if match[1] == "src" else sibling.link
        return f' {match[1]}="{escape(address)}"' if address else ""

    return _BESIDE.sub(found, html).replace(SIBLING, "").replace(ID, f"{prefix}user-content-")
