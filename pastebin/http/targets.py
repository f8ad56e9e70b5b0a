"""What is known of a request by its target: the role it belongs to, and whether it takes its time. Pure."""

from __future__ import annotations

import re

READ = re.compile(r"/(?:raw/|api/v1/(?!topology(?:\?|\Z))|[^/?]+/(?:(?:rev/[0-9]+/)?raw|tail)(?:[/?]|\Z))")
"""Matches the beginning of what readers answer: bytes and the API. Everything else is a page."""

# PrivateBin's form of an address, where its clients read, by GET, also what burns: such a request is passed on once.
ONCE = re.compile(r"/\?(?:[A-Za-z0-9_-]{3,64}=?\Z|(?:jsonld|pasteid)=)")
# How they say, in X-Requested-With, that they are such clients.
SPOKEN = "JSONHttpRequest"

_LIVE = re.compile(r"/(?:live|[^/?]+/tail)(?:[/?]|\Z)")
# Longer than the origin itself waits for a writer (live.idle_seconds).
PATIENT_SECONDS = 3700.0


def is_patient(target: str) -> bool:
    """Whether what is asked may be silent for long, in both directions: a paste that is read while it is written."""
    return _LIVE.match(target) is not None
