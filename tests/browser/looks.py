"""How pages look: wide and narrow, in light and in dark, nothing sticks out and no rule of axe-core is broken.

The pictures stay under screenshots/.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import resources
from typing import Any, Literal

from playwright.async_api import Page

from tests.browser.conftest import PATIENCE_SECONDS, SCREENSHOTS

Scheme = Literal["light", "dark"]

_SIZES = ((360, 740), (1280, 800))
# All that another theme can break.
_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
_RUN = """
async (options) => (await axe.run(options)).violations.flatMap((rule) =>
  rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)} (${node.failureSummary})`))
"""
_INKS = "[getComputedStyle(document.body).color, getComputedStyle(document.documentElement).backgroundColor]"


@cache
def _axe() -> str:
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


async def violations(page: Page, options: dict[str, Any] | None = None) -> list[str]:
    """The rules of axe-core that the page breaks as it is."""
    async with asyncio.timeout(4 * PATIENCE_SECONDS):
        if await page.evaluate("typeof axe") == "undefined":
            await page.evaluate(_axe())
        found: list[str] = await page.evaluate(_RUN, options or {})
        return found


async def set_scheme(page: Page, scheme: Scheme) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")


async def picture(page: Page, name: str, width: int, height: int, *, whole: bool = False) -> None:
    """Keep a picture of the page as it is, and look that it fits."""
    await page.set_viewport_size({"width": width, "height": height})
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)
    wide = await page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= width, f"{name} is {wide} px wide on a screen of {width}"


async def check(page: Page, name: str, *, whole: bool = False, scripts: bool = True) -> None:
    """Hold a page to everything; in the end it is wide and light. axe-core takes `scripts`."""
    found: list[str] = []
    inks: list[list[str]] = []
    for width, height in _SIZES:
        schemes: tuple[Scheme, ...] = ("light", "dark") if width == _SIZES[0][0] else ("dark", "light")
        for scheme in schemes:
            await set_scheme(page, scheme)
            await picture(page, f"{name}-{width}-{scheme}", width, height, whole=whole)
            if width == _SIZES[-1][0]:
                inks.append(await page.evaluate(_INKS))
                found += await violations(page, _COLOURS if scheme == "dark" else None) if scripts else []
    assert not found, f"{name}: {found}"
    dark, light = inks
    assert not {*dark} & {*light}, f"{name} has two themes"
