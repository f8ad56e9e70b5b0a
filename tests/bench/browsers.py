"""A real Chromium that says how soon it shows something, how much that moves afterwards, and what it keeps of it.

Needs Chromium without its windows (Debian: chromium-headless-shell), which take as much of the processor as pages do.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from tests.bench.harness import WrongAnswer, as_client
from tests.browser.conftest import ARGUMENTS

_SECONDS = 30.0
_MIB = 1024**2
# What Chromium itself has noted since the navigation began, in milliseconds (W3C Paint Timing, Layout Instability).
_FIRST_PAINT = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  const [paint] = list.getEntriesByName("first-contentful-paint");
  if (paint) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""
_SHIFTS = """() => new Promise((resolve) => {
  let shifted = 0;
  const observer = new PerformanceObserver((list) => {
    for (const one of list.getEntries()) shifted += one.value;
  });
  observer.observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(shifted), 100)));
})"""
# Until something that this tells is in the document and has been drawn; milliseconds since the navigation began.
_DRAWN = """(wanted) => new Promise((resolve) => {
  const look = () => {
    if (document.querySelector(wanted)) requestAnimationFrame(() => setTimeout(() => resolve(performance.now()), 0));
    else requestAnimationFrame(look);
  };
  look();
})"""


@dataclass(frozen=True)
class Sight:
    """Seconds until the first paint, and how far what was painted moved later (0: not at all)."""

    paint_seconds: float
    shifted: float


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One for a case, off the server's processor. Raises WrongAnswer."""
    if (program := shutil.which("chromium-headless-shell")) is None:
        raise WrongAnswer("chromium is not installed: apt-get install chromium-headless-shell")
    async with as_client(), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def profile(browser: Browser) -> AsyncIterator[Page]:
    """A page of a profile that has seen nothing yet, its process started."""
    context = await browser.new_context()
    context.set_default_timeout(_SECONDS * 1000)
    try:
        page = await context.new_page()
        await page.goto("about:blank")
        yield page
    finally:
        await context.close()


async def seen(page: Page, url: str) -> Sight:
    """Go there and look until all is loaded. Raises WrongAnswer if it is not answered well."""
    response = await page.goto(url, wait_until="load")
    if response is None or response.status != 200:
        raise WrongAnswer(f"{url}: {response and response.status}")
    return Sight(float(await page.evaluate(_FIRST_PAINT)) / 1000, float(await page.evaluate(_SHIFTS)))


async def drawn(page: Page, selector: str) -> float:
    """Wait until there is such an element and it has been drawn; seconds since the navigation began."""
    return float(await page.evaluate(_DRAWN, selector)) / 1000


async def memory_mib(browser: Browser, page: Page) -> float:
    """What the page holds after a collection: its scripts' heap, and its processes' resident memory, the largest."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    everything = await browser.new_browser_cdp_session()
    processes = (await everything.send("SystemInfo.getProcessInfo"))["processInfo"]
    await everything.detach()
    await session.detach()
    return max(_resident_bytes(one["id"]) for one in processes if one["type"] == "renderer") / _MIB


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0
