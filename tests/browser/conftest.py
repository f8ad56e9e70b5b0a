"""One real Chromium for the session, and a fresh profile for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.nodes import Node
from tests.programs import require

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


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = require("chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            await chromium.close()


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


def browsing(browser: Browser, url: str) -> Browse:
    """Browse the node that is found there."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Watched]:
        context: BrowserContext = await browser.new_context(base_url=url, **options)
        context.set_default_timeout(15_000)
        try:
            watched = Watched(await context.new_page(), url)
            yield watched
            assert watched.offences == []
        finally:
            await context.close()

    return opened
