"""Content that looks like it holds a secret: refused where that was asked for, and asked about in the form."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.nodes import Node

SECRET = "ghp" + "_" + "d" * 36
HTML = {"Accept": "text/html"}


async def refused(response: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    assert response.status == 422, await response.text()
    text = await response.text()
    assert SECRET not in text
    problem = await response.json(content_type=None)
    assert problem["type"].endswith("/secret-found")
    errors: list[dict[str, Any]] = problem["errors"]
    return errors


@pytest.mark.parametrize("size", [0, 30_000, 100_000])
async def test_it_is_refused_if_asked_for(small_node: Node, size: int) -> None:
    content = "x\n" * (size // 2) + f"token {SECRET}\n"
    line = size // 2 + 1
    http, url = small_node.http, f"{small_node.url}/api/v1/pastes"
    expected = f"line {line} looks like it holds a GitHub token"
    if size < 50_000:  # the most that JSON may have here
        async with http.post(url, json={"content": content, "reject_secrets": True}) as response:
            assert [error["message"] for error in await refused(response)] == [expected]
    async with http.post(f"{url}?reject_secrets=true", data=content.encode()) as response:
        assert [error["message"] for error in await refused(response)] == [expected]
    form = aiohttp.FormData({"reject_secrets": "true"})
    form.add_field("file", b"nothing", filename="a.txt")
    form.add_field("file", content.encode(), filename="b.txt")
    async with http.post(url, data=form) as response:
        found = await refused(response)
    assert [error["message"] for error in found] == [expected]
    assert "files[1]" in str(found)
    async with http.post(url, data=content.encode()) as response:
        assert response.status == 201
    async with http.post(url, json={"content": "x", "reject_secrets": True}) as response:
        assert response.status == 201


async def test_a_change_is_looked_at_as_well(small_node: Node) -> None:
    paste = await small_node.paste("fine")
    url, headers = f"{small_node.url}/api/v1/pastes/{paste['slug']}", {"Authorization": f"Bearer {paste['token']}"}
    changed = {"content": SECRET, "reject_secrets": True}
    async with small_node.http.patch(url, json=changed, headers=headers) as response:
        await refused(response)
    async with small_node.http.get(f"{small_node.url}/{paste['slug']}/raw") as response:
        assert await response.text() == "fine"


async def test_the_form_asks_and_loses_nothing(small_node: Node) -> None:
    fields = {"content": f"<i>\n{SECRET}", "title": "Mine"}

    async def post(**more: str) -> tuple[int, str]:
        form = aiohttp.FormData({**fields, **more})
        form.add_field("file", b"", filename="")
        async with small_node.http.post(small_node.url, data=form, headers=HTML, allow_redirects=False) as response:
            return response.status, await response.text()

    status, text = await post(reject_secrets="true")
    assert status == 422
    assert "line 2 looks like it holds a GitHub token" in text
    assert f"&lt;i&gt;\n{SECRET}</textarea>" in text
    assert 'value="Mine"' in text
    assert "Publish all the same</button>" in text
    assert (await post(reject_secrets="false"))[0] == 303


async def test_the_form_of_a_browser_asks_for_it(small_node: Node) -> None:
    async with small_node.http.get(small_node.url, headers=HTML) as response:
        text = await response.text()
    assert 'type="hidden" name="reject_secrets" value="true">' in text
    assert "Publish all the same</button>" not in text


async def test_a_flag_need_only_be_named(small_node: Node) -> None:
    http, url = small_node.http, small_node.url
    async with http.post(f"{url}/?reject_secrets", data=SECRET.encode()) as response:
        assert response.status == 422
    async with http.post(f"{url}/?burn", data=b"once") as response:
        address = (await response.text()).strip()
    async with http.get(address) as response:
        assert response.status == 403
