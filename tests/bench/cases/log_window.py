"""A log of 1 GiB in a real browser: its first lines when the upload has ended, jumps in it, and what the page keeps."""

from __future__ import annotations

import random
import shutil
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, Page

from tests.bench import browsers
from tests.bench.harness import Case, Contest, WrongAnswer, as_client, pin_server
from tests.bench.nodes import whole_node
from tests.scenarios.processes import NodeProcess

SIZE = 1024**3
MOST_SECONDS = 0.5
MOST_GROWTH_MIB = 32.0
_LINE = b"2026-11-23T03:%02d:%02d.%06d INFO  worker[%02d] request %012d answered in %04d ms, all is well\n"
_SMALL_LINES = 1000
_BLOCK_LINES = 10_000
_LINE_BYTES = len(_LINE % (0, 0, 0, 0, 0, 0))
_UPLOAD_SECONDS = 600.0
_DISK_BYTES = 3 * SIZE


def lines(first: int, count: int) -> bytes:
    """So many lines of the log, each as long as the others."""
    numbers = range(first, first + count)
    return b"".join(_LINE % (n // 60 % 60, n % 60, n % 10**6, n % 100, n, n % 10**4) for n in numbers)


class Log:
    """What is told is how many jumps fit in a minute; the other side jumps in a log of a thousand lines."""

    def __init__(self, node: NodeProcess, http: aiohttp.ClientSession, browser: Browser) -> None:
        self._node = node
        self._http = http
        self._browser = browser
        self._chance = random.Random(1)  # noqa: S311  (the same in every run)
        self._slug = self._small = ""
        self._count = SIZE // _LINE_BYTES
        self.opened: list[float] = []
        self.ended: list[float] = []
        self.memory: list[float] = []

    async def publish(self) -> None:
        """Send both, and look at the large one at once. Raises WrongAnswer."""
        self._small = await self._sent(_SMALL_LINES)
        async with browsers.profile(self._browser) as page:
            self._slug = await self._sent(self._count)
            began = time.perf_counter()
            await self._open(page, self._slug)
            self.opened.append(time.perf_counter() - began)
        print(f"  first lines {1000 * self.opened[0]:.0f} ms after the upload has ended", flush=True)

    async def _sent(self, count: int) -> str:
        async def content() -> AsyncIterator[bytes]:
            for first in range(0, count, _BLOCK_LINES):
                yield lines(first, min(_BLOCK_LINES, count - first))

        async with self._http.post(
            f"{self._node.url}/api/v1/pastes", params={"name": "worker.log"}, data=content()
        ) as response:
            if response.status != 201:
                raise WrongAnswer(f"{response.status}: {await response.text()}")
            return str((await response.json())["slug"])

    async def _open(self, page: Page, slug: str) -> None:
        await page.goto(f"{self._node.url}/{slug}", wait_until="commit")
        await browsers.drawn(page, ".line")

    async def ours(self, seconds: float) -> float:
        async with browsers.profile(self._browser) as page:
            began = time.perf_counter()
            await self._open(page, self._slug)
            self.opened.append(time.perf_counter() - began)
            await page.wait_for_load_state("load")
            self.ended.append(await self._jump(page, "[data-last-lines]", self._count))
            self.memory.append(await browsers.memory_mib(self._browser, page))
            until, jumps = time.perf_counter() + seconds, []
            while time.perf_counter() < until or not jumps:
                jumps.append(await self._jump(page, None, self._chance.randrange(1, self._count)))
            self.memory.append(await browsers.memory_mib(self._browser, page))
        return 60 / statistics.median(jumps)

    async def reference(self, seconds: float) -> float:
        async with browsers.profile(self._browser) as page:
            await self._open(page, self._small)
            until, jumps = time.perf_counter() + seconds, []
            while time.perf_counter() < until or not jumps:
                began = time.perf_counter()
                await self._open(page, self._small)
                jumps.append(time.perf_counter() - began)
        return 60 / statistics.median(jumps)

    async def _jump(self, page: Page, link: str | None, line: int) -> float:
        """Seconds until the line is there and drawn."""
        began = time.perf_counter()
        if link is not None:
            await page.locator(link).first.click()
        else:
            await page.evaluate("(line) => { location.hash = `L${line}` }", line)
        await browsers.drawn(page, f"[id='L{line}']")
        return time.perf_counter() - began

    async def check(self) -> None:
        """The limits. Raises WrongAnswer."""
        opened, ended = statistics.median(self.opened[1:]), statistics.median(self.ended)
        grown = max(self.memory[1::2]) - min(self.memory[::2])
        print(
            f"  opened anew in {1000 * opened:.0f} ms, at the end in {1000 * ended:.0f} ms; "
            f"{self.memory[0]:.0f} MiB before jumps, {grown:+.0f} MiB after them",
            flush=True,
        )
        late = {"after the upload": self.opened[0], "opened": opened, "at the end": ended}
        if late := {what: seconds for what, seconds in late.items() if seconds > MOST_SECONDS}:
            raise WrongAnswer(f"{late}, not {MOST_SECONDS:g} s")
        if grown > MOST_GROWTH_MIB:
            raise WrongAnswer(f"the page has grown by {grown:.0f} MiB, not {MOST_GROWTH_MIB:g}")


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    if shutil.disk_usage(directory).free < _DISK_BYTES:
        raise WrongAnswer(f"{directory} needs {_DISK_BYTES >> 30} GiB of room")
    timeout = aiohttp.ClientTimeout(total=_UPLOAD_SECONDS)
    async with (
        whole_node(directory) as node,
        aiohttp.ClientSession(timeout=timeout) as http,
        browsers.chromium() as browser,
        as_client(),
    ):
        pin_server(node.pid)
        log = Log(node, http, browser)
        await log.publish()
        yield Contest(log.ours, log.reference, log.check)


CASE = Case(
    name="log_window",
    unit="jumps in a row/min",
    ours="a log of 1 GiB in Chromium: jumps to lines by chance, each drawn before the next",
    reference=f"the page of a log of {_SMALL_LINES} lines, opened as often in the same profile",
    goal=0.5,
    prepared=prepared,
)
