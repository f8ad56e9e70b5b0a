"""The page of a paste with 4 KB of source in a real browser: what it weighs, how soon it is seen, whether it moves."""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from playwright.async_api import Browser

from tests.bench import browsers, edges
from tests.bench.cases import edge_page
from tests.bench.harness import Case, Contest, WrongAnswer, pin_server
from tests.bench.nodes import whole_node
from tests.ports import free_port
from tests.scenarios.processes import NodeProcess

MOST_BYTES = 60 * 1024
MOST_SECONDS = 0.3
_KINDS = ("text/html", "text/css", "text/javascript")
_ASKED_FOR = re.compile(r"(?:href|src)=\"(/(?:static|look)/[^\"]+)\"")
_IMPORTED = re.compile(r"(?:from|import)\s*\"(\./[^\"]+|/static/[^\"]+)\"")
_LOCATION = """
        location = {path} {{
            root {directory}/files; types {{ }} default_type "{kind}";
            add_header Cache-Control "{lasting}"; {coding}
        }}
"""


class Page4K:
    """The same page by a node and by nginx; `times` are seconds until it was seen, by who looked at it and how."""

    def __init__(self, node: NodeProcess, http: aiohttp.ClientSession, browser: Browser) -> None:
        self._node = node
        self._http = http
        self._browser = browser
        self._numbers = itertools.count()
        self.path = ""
        self.reference_port = 0
        self.times: dict[str, list[float]] = {"new paste": [], "new profile": [], "known": []}
        self.shifted = 0.0

    async def publish(self) -> str:
        """A new paste, which nobody has seen."""
        content = edge_page.content(next(self._numbers))
        headers = {"Content-Type": edges.TEXT}
        async with self._http.post(
            f"{self._node.url}/api/v1/pastes", params={"syntax": "python"}, data=content, headers=headers
        ) as response:
            if response.status != 201:
                raise WrongAnswer(f"{response.status}: {await response.text()}")
            return f"/{(await response.json())['slug']}"

    async def answer(self, path: str) -> tuple[edges.Answer, str]:
        """As a browser gets it, and for how long it may keep it. Raises WrongAnswer."""
        async with self._http.get(f"{self._node.url}{path}", headers=edges.BROWSER) as response:
            body, headers = await response.read(), response.headers
            if response.status != 200:
                raise WrongAnswer(f"{path}: {response.status}")
        answer = edges.Answer(body, headers["Content-Type"], headers.get("Content-Encoding"))
        return answer, headers.get("Cache-Control", "no-cache")

    async def ours(self, seconds: float) -> float:
        until = time.perf_counter() + seconds
        paints: list[float] = []
        while time.perf_counter() < until or not paints:
            async with browsers.profile(self._browser) as page:
                self._note("new paste", await browsers.seen(page, f"{self._node.url}{await self.publish()}"))
            async with browsers.profile(self._browser) as page:
                paints.append(self._note("new profile", await browsers.seen(page, f"{self._node.url}{self.path}")))
                await browsers.seen(page, f"{self._node.url}/keys")
                self._note("known", await browsers.seen(page, f"{self._node.url}{self.path}"))
        return 60 / statistics.median(paints)

    def _note(self, how: str, sight: browsers.Sight) -> float:
        self.times[how].append(sight.paint_seconds)
        self.shifted = max(self.shifted, sight.shifted)
        return sight.paint_seconds

    async def reference(self, seconds: float) -> float:
        until = time.perf_counter() + seconds
        paints: list[float] = []
        while time.perf_counter() < until or not paints:
            async with browsers.profile(self._browser) as page:
                sight = await browsers.seen(page, f"http://127.0.0.1:{self.reference_port}{self.path}")
                paints.append(sight.paint_seconds)
        return 60 / statistics.median(paints)

    async def check(self) -> None:
        """The limits, which hold whatever nginx does. Raises WrongAnswer."""
        files = await self.files()
        weight = sum(len(answer.body) for answer, _ in files.values() if answer.media_type.startswith(_KINDS))
        medians = {how: statistics.median(times[1:] or times) for how, times in self.times.items()}
        told = ", ".join(f"{how} {1000 * median:.0f} ms" for how, median in medians.items())
        print(f"  {weight:,} bytes in {len(files)} files; first paint: {told}; moved {self.shifted:g}", flush=True)
        if weight > MOST_BYTES:
            raise WrongAnswer(f"{weight} bytes of HTML, CSS and JavaScript, not {MOST_BYTES}")
        if late := {how: median for how, median in medians.items() if median > MOST_SECONDS}:
            raise WrongAnswer(f"first paint after {late}, not {MOST_SECONDS:g} s")
        if self.shifted:
            raise WrongAnswer(f"what was painted moved by {self.shifted:g}")

    async def files(self) -> dict[str, tuple[edges.Answer, str]]:
        """Everything that the page needs, by its path: what it names, and the modules that those import."""
        found: dict[str, tuple[edges.Answer, str]] = {}
        left = [self.path]
        async with aiohttp.ClientSession() as plain:
            while left:
                path = left.pop()
                if path in found:
                    continue
                found[path] = await self.answer(path)
                async with plain.get(f"{self._node.url}{path}", headers={"Accept": "text/html, */*;q=0.5"}) as response:
                    text = (await response.read()).decode("utf-8", "replace")
                if path == self.path:
                    left += _ASKED_FOR.findall(text)
                elif path.endswith(".js"):
                    left += [f"/static/{name.rpartition('/')[2]}" for name in _IMPORTED.findall(text)]
        return found


@asynccontextmanager
async def _as_files(directory: Path, files: dict[str, tuple[edges.Answer, str]]) -> AsyncIterator[int]:
    """The port of an nginx that gives the same answers out of files."""
    port = free_port()
    places = []
    for path, (answer, lasting) in files.items():
        file = directory / "files" / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(answer.body)
        coding = f"add_header Content-Encoding {answer.coding};" if answer.coding else ""
        kind = answer.media_type
        places.append(_LOCATION.format(path=path, directory=directory, kind=kind, lasting=lasting, coding=coding))
    serving = f"server {{ listen 127.0.0.1:{port}; {''.join(places)} }}"
    async with edges.running_nginx(directory, serving, port, pin_server):
        yield port


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with (
        whole_node(directory) as node,
        aiohttp.ClientSession(auto_decompress=False) as http,
        browsers.chromium() as browser,
    ):
        pin_server(node.pid)
        page = Page4K(node, http, browser)
        page.path = await page.publish()
        async with _as_files(directory / "nginx", await page.files()) as page.reference_port:
            yield Contest(page.ours, page.reference, page.check)


CASE = Case(
    name="first_paint",
    unit="first paints in a row/min",
    ours=f"the page of {edge_page.SIZE} bytes of source in Chromium, each time in a new profile",
    reference="one nginx worker with the same page, sheets and scripts in files, on the same processor",
    goal=0.8,
    prepared=prepared,
)
