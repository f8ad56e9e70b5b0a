"""What takes a reveal to be read is not told beforehand, neither its content nor what it is called."""

from __future__ import annotations

import pytest

from tests.nodes import Node
from tests.origin.test_editing import post

NAMED = [{"name": "salaries.md", "content": "# 1"}, {"name": "b.md", "content": "2"}]


@pytest.mark.parametrize("protection", [{"max_reads": 2}, {"password": "open sesame"}])
async def test_metadata_tell_strangers_nothing_of_what_is_protected(node: Node, protection: dict[str, object]) -> None:
    """By its digest a short content could be found without the password."""
    options = {"files": NAMED, "title": "Salaries", **protection}
    async with node.http.post(f"{node.url}/api/v1/pastes", json=options) as response:
        made = await response.json()
    address = f"{node.url}/api/v1/pastes/{made['slug']}"
    async with node.http.get(address) as response:
        told, text, tag = await response.json(), await response.text(), response.headers["ETag"]
    assert "alaries" not in text
    assert [(file["name"], file["sha256"], file["syntax"]) for file in told["files"]] == [(None, None, None)] * 2
    assert (told["title"], told["size"]) == (None, 4)
    headers = {"Authorization": f"Bearer {made['token']}", "If-None-Match": tag}
    async with node.http.get(address, headers=headers) as response:
        known = await response.json()
    assert known["title"] == "Salaries"
    assert known["files"] == made["files"]


@pytest.mark.parametrize("protection", [{"max_reads": 2}, {"password": "open sesame"}])
async def test_forms_that_come_back_tell_strangers_nothing_either(node: Node, protection: dict[str, object]) -> None:
    options = {"files": NAMED, "title": "Salaries", **protection}
    async with node.http.post(f"{node.url}/api/v1/pastes", json=options) as response:
        made = await response.json()
    fields = {"base": "1.1", "name-1": "typed", "syntax-1": "klingon"}
    for mode, status in (("edit", 401), ("fork", 403)):
        page = await post(node, f"/{made['slug']}/{mode}", fields)
        assert (page.status, "typed" in page.text, "alaries" in page.text) == (status, True, False)
    page = await post(node, f"/{made['slug']}/edit", fields, owner=made["token"])
    assert (page.status, "Edit Salaries" in page.words) == (422, True)
