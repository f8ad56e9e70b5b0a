"""What a reveal answers with: whole, once, and never more than the node can hold."""

from __future__ import annotations

import pytest

from pastebin.services.judging import REVEAL_BYTES
from tests.nodes import Node

JSON = {"Accept": "application/json"}


@pytest.mark.parametrize("content", [b"x" * (REVEAL_BYTES + 1), b"\0" * (3 * REVEAL_BYTES)], ids=["text", "binary"])
async def test_what_is_too_large_for_json_comes_as_bytes(node: Node, content: bytes) -> None:
    slug = (await node.paste(content, max_reads=1))["slug"]
    async with node.http.post(f"{node.url}/api/v1/pastes/{slug}/reveal", headers=JSON) as response:
        assert response.status == 200
        assert response.content_type in ("text/plain", "application/octet-stream")
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert response.headers["Cache-Control"] == "private, no-store"
        assert await response.read() == content


async def test_what_fits_comes_as_json_to_who_prefers_it(node: Node) -> None:
    slug = (await node.paste(b"x" * REVEAL_BYTES, max_reads=1))["slug"]
    async with node.http.post(f"{node.url}/api/v1/pastes/{slug}/reveal", headers=JSON) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        (file,) = (await response.json())["files"]
        assert file["content"] == "x" * REVEAL_BYTES
