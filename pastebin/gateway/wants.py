"""What kind of node a request is for, told from its first line. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pastebin.http.targets import ONCE, READ

Kind = Literal["web", "read", "write", "analytics"]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SERVING = frozenset({"web", "read", "write", "analytics"})

_ANALYTICS = re.compile(r"/(?:admin|api/v1/analytics|internal/analytics)(?:[/?].*)?", re.DOTALL)
_STATS = re.compile(r"/[^/?]+/stats(?:\?.*)?", re.DOTALL)
# on every node with pages
_WEB = re.compile(r"/(?:admin|admin/topology|api/v1/topology)(?:\?.*)?", re.DOTALL)
_WRITE = re.compile(r"/[^/?]+/manage(?:\?.*)?", re.DOTALL)
# tus 1.0: the creation of an upload goes to /uploads, everything about it to /uploads/ID
_UPLOAD = re.compile(r"/(?:api/v1/)?uploads/([A-Za-z0-9_.~-]{1,128})(?:[/?].*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Want:
    """The kind of node that answers. All requests with one `sticky` word go to one node while it is well."""

    kind: Kind
    is_safe: bool
    sticky: str = ""

    def suits(self, roles: Collection[str]) -> int:
        """How well a node with these roles suits: the lower the better, -1 if it does not.

        An edge takes everything, or what its other roles say that it stands before; it is asked before readers,
        while writers are asked themselves.
        """
        own = self.kind in roles
        if "edge" in roles and (own or _SERVING.isdisjoint(roles)):
            return 0 if self.kind in ("web", "read") or own else 1
        return (1 if self.kind in ("web", "read") else 0) if own else -1


_READS, _PAGES = Want("read", is_safe=True), Want("web", is_safe=True)
_ONCE = Want("web", is_safe=False)


def wanted(method: str, target: str) -> Want:
    """What the request is for. What changes something is for writers, wherever it goes."""
    is_safe = method in SAFE
    if is_safe and ONCE.match(target):
        return _ONCE
    if is_safe and target.find("/", 1) < 0 and not target.startswith("/admin"):
        return _PAGES  # of what has a name of its own everything else is deeper down
    if upload := _UPLOAD.fullmatch(target):
        return Want("write", is_safe, upload[1])
    if _WEB.fullmatch(target):
        return Want("web", is_safe)
    if _ANALYTICS.fullmatch(target):
        return Want("analytics", is_safe)
    if _STATS.fullmatch(target) and not target.startswith("/api/"):
        return Want("web", is_safe)
    if not is_safe or _WRITE.fullmatch(target):
        return Want("write", is_safe)
    return _READS if READ.match(target) else _PAGES
