"""One real Chromium for the session, and a fresh profile for each test.

A page that was gone to by `goto` or `reload` is there as a whole and its scripts have run: they are modules, which all
run before the `load` event. Where a click or a key leads to a page `follow` and `led` wait for the same; without them
what comes next may find the page before, half of the new one, or one that does not listen yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from tests.nodes import Node
from tests.programs import require

# How long anything may take that will happen: a machine may be slow, and waiting costs nothing where all is well.
PATIENCE_SECONDS = 60
# A fresh profile that asks nobody but the pages it is sent to.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What Chromium shows PDF with: its own, and in a process of its own.
VIEWER = ("chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai/", "chrome://resources/")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """What draws pages, without the windows around them: that takes a quarter of the time for each profile."""
    async with launched("chromium-headless-shell") as one:
        yield one


@pytest.fixture(scope="session")
async def whole_browser() -> AsyncIterator[Browser]:
    """With its windows, and what it shows PDF with."""
    async with launched("chromium") as one:
        yield one


@asynccontextmanager
async def launched(program: str) -> AsyncIterator[Browser]:
    path = require(program)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=PATIENCE_SECONDS * 1000
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@asynccontextmanager
async def led(page: Page) -> AsyncIterator[None]:
    """What is done in the block leads to a page; at its end that is there, and its scripts have run."""
    async with page.expect_navigation():
        yield


async def follow(control: Locator) -> None:
    """Click what leads to a page; see `led`."""
    async with led(control.page):
        await control.click()


async def until(page: Page, predicate: str, arg: object = None) -> None:
    """Wait; by calls, since the policy of our pages forbids what Playwright's own waiting does in them."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await page.evaluate(predicate, arg):
            await page.wait_for_timeout(20)


async def stop_time(page: Page) -> None:
    """Let the time of the page's scripts go on where `page.clock.run_for` says so, and nowhere else."""
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    await page.clock.install(time=noon)
    await page.clock.pause_at(noon + timedelta(hours=1))  # it goes on until then, and may not be later already


async def copied(page: Page, text: str) -> None:
    """Wait until the clipboard holds this text."""
    await until(page, "async (text) => await navigator.clipboard.readText() === text", text)


class Watched:
    """A page, with everything that no page of ours may do written down."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.offences: list[str] = []
        self.allowed: set[str] = set()
        self.requests: list[str] = []
        page.on("dialog", self._on_dialog)
        page.on("request", lambda request: self._on_request(request.url))
        page.on("popup", lambda popup: self.offences.append(f"opened {popup.url}"))
        page.on("pageerror", lambda error: self.offences.append(f"a script ran and failed: {error}"))
        page.on("worker", lambda worker: self.offences.append(f"started {worker.url}"))
        page.on("websocket", lambda socket: self.offences.append(f"connected to {socket.url}"))

    async def _on_dialog(self, dialog: Any) -> None:
        self.offences.append(f"{dialog.type}: {dialog.message}")
        await dialog.dismiss()

    def _on_request(self, url: str) -> None:
        self.requests.append(url)
        if url not in self.allowed and not url.startswith((f"{self.origin}/", "data:", *VIEWER)):
            self.offences.append(f"asked for {url}")


class Browse(Protocol):
    """Opens a profile of its own; options are those of Playwright's `new_context`."""

    def __call__(self, **options: Any) -> AbstractAsyncContextManager[Watched]: ...


@pytest.fixture
def browse(browser: Browser, node: Node) -> Browse:
    return browsing(browser, node.url)


@pytest.fixture
def browse_whole(whole_browser: Browser, node: Node) -> Browse:
    return browsing(whole_browser, node.url)


def browsing(browser: Browser, url: str) -> Browse:
    """Browse the node that is found there."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Watched]:
        context: BrowserContext = await browser.new_context(base_url=url, **options)
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        try:
            watched = Watched(await context.new_page(), url)
            yield watched
            assert watched.offences == []
        finally:
            await context.close()

    return opened
