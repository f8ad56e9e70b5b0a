"""Every page, wide and narrow, in light and in dark: nothing sticks out, and no rule of axe-core is broken."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Browse, follow
from tests.browser.looks import check
from tests.nodes import Node

pytestmark = pytest.mark.browser

PYTHON = b'''"""Highlighted, with a line that is far wider than any telephone."""

from collections import OrderedDict


class Cache(OrderedDict[str, bytes]):
    """Remembers %s."""

    def get_or(self, key: str, default: bytes = b"\\x00") -> bytes:  # noqa
        return self[key] if key in self else default or f"{key!r:>{40}}".encode()
''' % (b"everything it was told, in order, " * 12)
LONG = "a-name-without-any-place-to-break-" * 6


@pytest.fixture(scope="module")
async def addresses(node: Node) -> dict[str, str]:
    """Where to find each page, under the name of its picture."""
    code = await node.paste(PYTHON, name="cache.py", title="How it remembers")
    several: dict[str, Any] = {
        "title": f"Hostile and long: <b>{LONG[:150]}",
        "files": [
            {"name": f"{LONG}.txt", "content": f"{LONG * 5}\n\nshort\n"},
            {"name": "\u202egnp.exe <script>", "content": "print('hi')\n", "syntax": "python"},
            {"name": "binary.dat", "content": "AP8=", "encoding": "base64"},
            {"name": "empty.txt", "content": ""},
        ],
    }
    async with node.http.post(f"{node.url}/api/v1/pastes", json=several) as response:
        assert response.status == 201, await response.text()
        files = await response.json()
    burn = await node.paste("secret\n", burn=True, password="open sesame")
    return {
        "create": "/",
        "mine": "/mine",
        "paste": f"/{code['slug']}",
        "files": f"/{files['slug']}",
        "reveal": f"/{burn['slug']}",
        "manage": f"/{code['slug']}/manage",
        "look": f"/look?back=/{code['slug']}",
        "lines": f"/{code['slug']}#L1,L6-L10",
        "stats-closed": f"/{code['slug']}/stats",
        "admin": "/admin",
        "language": "/language",
        "keys": "/keys",
        "missing": "/unknown0000",
        "problem": "/problems/paste-not-found",
    }


async def test_pages_as_they_are_found(browse: Browse, addresses: dict[str, str]) -> None:
    async with browse() as watched:
        for name, address in addresses.items():
            await watched.page.goto(address)
            await check(watched.page, name)


async def test_pages_as_they_are_come_to(browse: Browse, node: Node) -> None:
    async with browse() as watched:
        page = watched.page
        await page.goto("/")
        await page.get_by_label("Title").fill(LONG)
        await page.get_by_role("button", name="Create paste").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await check(page, "create-refused")
        await page.get_by_label("Title").fill("A secret")
        await page.get_by_label("Text", exact=True).fill(PYTHON.decode())
        await page.locator("[name=password]").fill("open sesame")
        await page.locator("[name=max_reads]").select_option("1")
        await follow(page.get_by_role("button", name="Create paste"))
        await expect(page).to_have_url(re.compile(r"/manage\?created$"))
        await check(page, "manage-created")
        slug = page.url.split("/")[3].partition("?")[0]
        await page.goto(f"/{slug}")
        for password, name in (("wrong", "reveal-wrong"), ("open sesame", "revealed")):
            await page.get_by_label("Password").fill(password)
            await follow(page.get_by_role("button", name="Open and delete"))
            await check(page, name)
        created = await node.paste("x\n")
        await page.goto(f"/{created['slug']}/manage")
        for token, name in (("wrong", "manage-refused"), (created["token"], "deleted")):
            await page.get_by_label("Owner token").fill(token)
            await page.get_by_label("Yes, delete this paste for good").check()
            await follow(page.get_by_role("button", name="Delete paste"))
            await check(page, name)
