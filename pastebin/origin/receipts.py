"""What a request that changes a paste believes of it, and what its answer says of caches."""

from __future__ import annotations

import re

from aiohttp import web

from pastebin.errors import InvalidPaste, Problem
from pastebin.models import Purge

# `3` and `"3"`, and what ReadHandlers.show gives: `"3.7.0123456789abcdef"`
_REVISION = re.compile(r'"?([0-9]+(?:\.[0-9]+)?)(?:\.[0-9a-f]{16}(?:-gzip-[0-9a-f]{8})?)?"?')


def purge_headers(purge: Purge) -> dict[str, str]:
    """How many caches know of the change, and the milliseconds that were waited for them."""
    told = (
        f"confirmed; edges={purge.known}" if purge.is_confirmed else f"partial; edges={purge.confirmed}/{purge.known}"
    )
    return {"Pastebin-Purge": f"{told}; ms={round(purge.seconds * 1000)}"}


def if_match(request: web.Request) -> str | None:
    """The revision inside `If-Match: "3"`, or revision and version of the tag that showing the paste gave; `*` matches
    any.
    """
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    found = _REVISION.fullmatch(given.strip())
    if found is None:
        raise InvalidPaste(
            [Problem("If-Match", 'must be the ETag of the paste, or its revision in quotes such as "3"')]
        )
    return found[1]
