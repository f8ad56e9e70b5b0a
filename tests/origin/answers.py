"""Asking a node, and what its answers tell caches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.nodes import Node

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
GZIP = {"Accept-Encoding": "gzip, deflate, br"}
TEXT = "".join(f"line {number}\n" for number in range(400))


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def shared(self) -> dict[str, int] | None:
        """The directives for shared caches; None where they may not keep the answer."""
        value = self.headers["CDN-Cache-Control"]
        if value == "no-store":
            return None
        return {name: int(seconds) for name, seconds in re.findall(r"([a-z-]+)=([0-9]+)(?:, |$)", value)}

    @property
    def keys(self) -> set[str]:
        return set(self.headers.get("Surrogate-Key", "").split())

    @property
    def is_secret(self) -> bool:
        return self.shared is None and "no-store" in self.headers["Cache-Control"]


async def ask(node: Node, path: str, method: str = "GET", **options: Any) -> Answer:
    async with node.http.request(method, node.url + path, allow_redirects=False, **options) as response:
        return Answer(response.status, response.headers.copy(), await response.read())


async def paths_of(node: Node, **options: Any) -> tuple[str, list[str]]:
    """A paste and the addresses that show it."""
    slug = (await node.paste(TEXT, **options))["slug"]
    return slug, [
        f"/{slug}",
        f"/{slug}.py",
        f"/{slug}/raw",
        f"/{slug}/raw?lines=1-300",
        f"/raw/{slug}",
        f"/api/v1/pastes/{slug}",
        f"/api/v1/pastes/{slug}?content=true",
    ]
