"""A paste with as many files as it may have, beside requests that are none of its business."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import aiohttp
import pytest

from pastebin.http.pages import Pages
from pastebin.origin.paste_page import PastePage
from tests.nodes import Node

FILES = 100


async def test_a_page_of_many_files_lets_others_have_their_turn(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it has to be waited for, so it would be made in one go, which takes seconds."""
    form = aiohttp.FormData()
    for number in range(FILES):
        form.add_field("file", b"some text\n", filename=f"{number}.txt")
    async with node.http.post(f"{node.url}/api/v1/pastes", data=form) as response:
        slug = (await response.json())["slug"]
    turns = 0
    seen: list[int] = []
    threads: list[threading.Thread] = []
    show, render = PastePage._show, Pages.render

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def watched(self: PastePage, *arguments: Any) -> Any:
        seen.append(turns)
        return await show(self, *arguments)

    def noted(self: Pages, template: str, **context: Any) -> str:
        threads.append(threading.current_thread())
        return render(self, template, **context)

    monkeypatch.setattr(PastePage, "_show", watched)
    monkeypatch.setattr(Pages, "render", noted)
    counting = asyncio.create_task(count())
    try:
        async with node.http.get(f"{node.url}/{slug}", headers={"Accept": "text/html"}) as response:
            assert response.status == 200
            assert (await response.text()).count('<section class="file"') == FILES
    finally:
        counting.cancel()
    assert len(set(seen)) == len(seen) == FILES
    assert threading.main_thread() not in threads
