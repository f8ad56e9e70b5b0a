"""A node that has not the role write says so to who would change something, instead of knowing nothing of pastes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nodes import started


@pytest.mark.parametrize("roles", [["web", "read"], ["read", "edge"]], ids="+".join)
async def test_changes_are_refused_and_told_where_they_go(
    module_database_dsn: str, tmp_path: Path, roles: list[str]
) -> None:
    async with started(module_database_dsn, tmp_path, node__roles=roles, doors__edge="127.0.0.1:0") as node:
        for method, path in (
            ("POST", "/"),
            ("POST", "/api/v1/pastes"),
            ("PATCH", "/api/v1/pastes/h8Kq2ZtV0aB"),
            ("DELETE", "/api/v1/pastes/h8Kq2ZtV0aB"),
            ("PUT", "/h8Kq2ZtV0aB/raw/a.txt"),
            ("POST", "/api/v1/uploads"),
        ):
            async with node.http.request(method, node.url + path) as response:
                assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD"), (method, path)
                assert "nodes with the role write" in (await response.json())["detail"]
        async with node.http.get(f"{node.url}/api/v1/pastes/h8Kq2ZtV0aB") as response:
            assert response.status == 404
