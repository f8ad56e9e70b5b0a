"""Which role a target belongs to, where the roles web and read are on nodes of their own. Pure."""

from __future__ import annotations

import re

READ = re.compile(r"/(?:raw/|api/v1/(?!topology(?:\?|\Z))|[^/?]+/raw(?:[/?]|\Z))")
"""Matches the beginning of what readers answer: bytes and the API. Everything else is a page."""

# PrivateBin's form of an address, where its clients read, by GET, also what burns: such a request is passed on once.
ONCE = re.compile(r"/\?(?:[A-Za-z0-9_-]{3,64}=?\Z|(?:jsonld|pasteid)=)")
# How they say, in X-Requested-With, that they are such clients.
SPOKEN = "JSONHttpRequest"
