"""What a reveal answers with: whole, once, and never more than the node can hold."""

from __future__ import annotations

from typing import Any

import pytest

from pastebin.services import passwords
from pastebin.services.judging import REVEAL_BYTES
from tests.nodes import Node, directory, started

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


async def test_wrong_passwords_of_one_paste_are_few(session_database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever way they come; other pastes and right passwords do not count."""
    monkeypatch.setattr(passwords, "GUESSES", 3)
    monkeypatch.setattr(passwords, "GUESSES_PER_SECOND", 1e-6)
    right, wrong = "open sesame", "open barley"
    async with directory() as path, started(session_database_dsn, path) as node:

        async def attempt(path: str, given: str) -> int:
            fields = {"password": given}
            body: dict[str, Any] = (
                {"json": fields} if path.startswith("/api") else {"data": fields | {"confirm": "yes"}}
            )
            async with node.http.post(f"{node.url}{path}", **body) as response:
                return response.status

        slug, other = [(await node.paste("hello", password=right, max_reads=9))["slug"] for _ in range(2)]
        api = f"/api/v1/pastes/{slug}"
        for way in (f"{api}/reveal", f"/{slug}/reveal", f"{api}/reveal", f"/{slug}/reveal"):
            assert await attempt(way, right) == 200
        for way in (f"{api}/reveal", f"/{slug}/reveal", f"{api}/burn", f"/{slug}/burn"):
            assert await attempt(way, wrong) == (429 if way == f"/{slug}/burn" else 403)
        assert await attempt(f"{api}/reveal", right) == 429
        assert await attempt(f"/{other}/reveal", right) == 200
