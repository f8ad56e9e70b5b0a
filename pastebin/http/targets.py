"""Which role a target belongs to, where the roles web and read are on nodes of their own. Pure."""

from __future__ import annotations

import re

READ = re.compile(r"/(?:raw/|api/v1/(?!topology(?:\?|\Z))|[^/?]+/(?:rev/[0-9]+/)?raw(?:[/?]|\Z))")
"""Matches the beginning of what readers answer: bytes and the API. Everything else is a page."""
