"""The main job on real input: every file of Python's standard library, one GiB, and a kill -9 in the middle.

`scripts/try-real` runs this for a person; `test_main_job.py` runs it in the suite. It prints counts, rates and memory,
and raises AssertionError as soon as anything is not what it has to be.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import statistics
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.scenarios.processes import CALM, NodeProcess

MIB = 1024 * 1024
_CONNECTIONS = 24
_BLOCK = os.urandom(MIB)

# sizes are compared, so nothing is to come compressed
PLAIN = {"Accept-Encoding": "identity"}


@dataclass
class Kept:
    """One acknowledged paste: what it must be for ever after."""

    slug: str
    sha256: str
    size: int


@dataclass
class Report:
    """What was seen, in the order it was seen."""

    lines: list[str] = field(default_factory=list)

    def add(self, what: str, value: str) -> None:
        self.lines.append(f"{what:<52} {value}")
        print(self.lines[-1], flush=True)


def library() -> list[Path]:
    """Every .py file of the running Python's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts and path.stat().st_size)


async def publish(http: aiohttp.ClientSession, url: str, path: Path, kind: int) -> Kept:
    """Paste one file by one of the three kinds of body."""
    content = path.read_bytes()
    name = path.name
    if kind == 0:
        file: dict[str, Any] = {"name": name, "content": base64.b64encode(content).decode(), "encoding": "base64"}
        if kind_is_text(content):
            file = {"name": name, "content": content.decode()}
        request = http.post(f"{url}/api/v1/pastes", json={"files": [file]})
    elif kind == 1:
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name)
        request = http.post(f"{url}/api/v1/pastes", data=form)
    else:
        request = http.post(f"{url}/api/v1/pastes", data=content, params={"name": name})
    async with request as response:
        assert response.status == 201, (path, response.status, await response.text())
        slug = (await response.json())["slug"]
    return Kept(slug, hashlib.sha256(content).hexdigest(), len(content))


def kind_is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


async def check(http: aiohttp.ClientSession, url: str, kept: Kept, *, page: bool) -> None:
    """Read a paste back raw, through HEAD, as a range and as a page."""
    raw = f"{url}/{kept.slug}/raw"
    async with http.get(raw) as response:
        body = await response.read()
        assert response.status == 200, (kept, response.status)
        assert hashlib.sha256(body).hexdigest() == kept.sha256, kept
    async with http.head(raw) as response:
        assert response.headers["Content-Length"] == str(kept.size), kept
        assert response.headers["ETag"] == f'"{kept.sha256}"', kept
    middle = kept.size // 2
    async with http.get(raw, headers={"Range": f"bytes={middle}-"}) as response:
        assert response.status == 206, (kept, response.status)
        assert await response.read() == body[middle:], kept
    if page:
        async with http.get(f"{url}/{kept.slug}", headers={"Accept": "text/html"}) as response:
            assert response.status == 200, (kept, response.status)
            assert "</html>" in await response.text(), kept


async def all_at_once(work: list[Any]) -> float:
    """Run coroutines, a bounded number at a time; returns the seconds it took."""
    gate = asyncio.Semaphore(_CONNECTIONS)

    async def run(one: Any) -> None:
        async with gate:
            await one

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for one in work:
            tasks.create_task(run(one))
    return time.perf_counter() - began


async def paste_library(
    http: aiohttp.ClientSession, node: NodeProcess, files: list[Path], report: Report
) -> list[Kept]:
    kept: list[Kept] = []

    async def one(index: int, path: Path) -> None:
        kept.append(await publish(http, node.url, path, index % 3))

    node.forget_peak()
    seconds = await all_at_once([one(index, path) for index, path in enumerate(files)])
    total = sum(one.size for one in kept)
    report.add("files pasted, by three kinds of body", f"{len(kept)} ({total / MIB:.1f} MiB)")
    report.add("  rate", f"{len(kept) / seconds:.0f} pastes/s")
    seconds = await all_at_once([check(http, node.url, one, page=False) for one in kept])
    report.add("read back raw, by HEAD and as a range", f"{3 * len(kept) / seconds:.0f} requests/s, all digests right")
    seconds = await all_at_once([check(http, node.url, one, page=True) for one in kept])
    report.add("and as highlighted pages", f"{len(kept) / seconds:.0f} pages/s, all answered")
    report.add("  peak memory of the node so far", f"{node.rss_bytes(peak=True) / MIB:.0f} MiB")
    return kept


async def one_stream(http: aiohttp.ClientSession, node: NodeProcess, mib: int, report: Report) -> Kept:
    """One large upload and download; the node must not grow with it."""
    digest = hashlib.sha256()

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(mib):
            chunk = number.to_bytes(8, "big") + _BLOCK[8:]
            digest.update(chunk)
            yield chunk

    before = node.rss_bytes()
    node.forget_peak()
    began = time.perf_counter()
    async with http.post(f"{node.url}/api/v1/pastes", data=chunks()) as response:
        assert response.status == 201, await response.text()
        slug = (await response.json())["slug"]
    seconds = time.perf_counter() - began
    report.add(f"upload of {mib} MiB", f"{mib / seconds:.0f} MiB/s")
    began = time.perf_counter()
    received = hashlib.sha256()
    async with http.get(f"{node.url}/{slug}/raw") as response:
        async for chunk in response.content.iter_chunked(MIB):
            received.update(chunk)
    seconds = time.perf_counter() - began
    assert received.digest() == digest.digest()
    report.add(f"download of {mib} MiB", f"{mib / seconds:.0f} MiB/s, digest right")
    growth = node.rss_bytes(peak=True) - before
    report.add("  growth of the node meanwhile (goal: < 64 MiB)", f"{growth / MIB:.1f} MiB")
    assert growth < 64 * MIB
    return Kept(slug, digest.hexdigest(), mib * MIB)


async def highlight_undisturbed(
    http: aiohttp.ClientSession, node: NodeProcess, report: Report, quiet_seconds: float
) -> None:
    """First views of 100 KiB of Python beside raw reads: do the reads notice?"""
    source = b"".join(path.read_bytes() for path in library()[:60])[: 100 * 1024]
    async with http.post(f"{node.url}/api/v1/pastes", data=b"raw\n") as response:
        raw = (await response.json())["raw_url"]

    async def reads(seconds: float) -> list[float]:
        latencies = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            async with http.get(raw) as response:
                await response.read()
            latencies.append((time.perf_counter() - began) * 1000)
        return latencies

    async def views(count: int) -> list[float]:
        latencies = []
        for number in range(count):
            content = b"# %d\n" % number + source
            async with http.post(f"{node.url}/api/v1/pastes", data=content, params={"name": "a.py"}) as response:
                slug = (await response.json())["slug"]
            began = time.perf_counter()
            async with http.get(f"{node.url}/{slug}", headers={"Accept": "text/html"}) as response:
                assert b'class="k"' in await response.read()
            latencies.append((time.perf_counter() - began) * 1000)
        return latencies

    quiet = await reads(quiet_seconds)
    busy, shown = await asyncio.gather(reads(2 * quiet_seconds), views(12))
    delay = statistics.quantiles(busy, n=100)[98] - statistics.quantiles(quiet, n=100)[98]
    report.add("first view of 100 KiB of Python, median", f"{statistics.median(shown):.0f} ms")
    report.add("  p99 of a raw read beside it (goal: + < 20 ms)", f"+{delay:.1f} ms ({len(busy)} reads)")


async def kill_in_the_middle(node: NodeProcess, files: list[Path], kept: list[Kept], report: Report) -> None:
    """kill -9 of node and database while pastes arrive; then everything acknowledged has to be there."""
    acknowledged: list[Kept] = []
    enough = asyncio.Event()
    dead = asyncio.Event()

    async def writer(http: aiohttp.ClientSession, index: int) -> None:
        while not dead.is_set():
            path = files[(index * 37 + len(acknowledged)) % len(files)]
            try:
                acknowledged.append(await publish(http, node.url, path, index % 3))
                if len(acknowledged) >= 300:
                    enough.set()
            except (aiohttp.ClientError, AssertionError, OSError):
                return

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield _BLOCK

    async def half_upload(http: aiohttp.ClientSession) -> None:
        try:
            async with http.post(f"{node.url}/api/v1/pastes", data=endless()) as response:
                raise AssertionError(f"an endless upload was answered: {response.status}")
        except (aiohttp.ClientError, OSError):
            return

    async with aiohttp.ClientSession(headers=PLAIN) as http, asyncio.TaskGroup() as tasks:
        for index in range(8):
            tasks.create_task(writer(http, index))
        tasks.create_task(half_upload(http))
        await enough.wait()
        await node.kill(database=True)
        dead.set()
    report.add("kill -9 of node and database while writing", f"{len(acknowledged)} acknowledged in that round")
    seconds = await node.start()
    report.add("  start afterwards, with recovery", f"{seconds:.2f} s")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600), headers=PLAIN) as http:
        everything = [*kept, *acknowledged]
        await all_at_once([check(http, node.url, one, page=False) for one in everything if one.size < 64 * MIB])
        for one in everything:
            if one.size >= 64 * MIB:
                await check(http, node.url, one, page=False)
        report.add("  read back", f"{len(everything)} of {len(everything)} acknowledged, byte for byte")
        await nothing_half_written(http, node, report)


async def nothing_half_written(http: aiohttp.ClientSession, node: NodeProcess, report: Report) -> None:
    """Whatever the database shows, acknowledged or not, is whole."""
    slugs = await every_slug(node)

    async def one(slug: str) -> None:
        async with http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
            assert response.status == 200, slug
            (file,) = (await response.json())["files"]
        digest = hashlib.sha256()
        async with http.get(f"{node.url}/{slug}/raw") as response:
            async for chunk in response.content.iter_chunked(MIB):
                digest.update(chunk)
        assert digest.hexdigest() == file["sha256"], slug

    await all_at_once([one(slug) for slug in slugs])
    report.add("  visible in the database", f"{len(slugs)}, every one of them whole")


async def every_slug(node: NodeProcess) -> list[str]:
    """What the embedded database holds, asked as its owner."""
    connection = await asyncpg.connect(node.dsn, timeout=60)
    try:
        return [row["slug"] for row in await connection.fetch("select slug from pastes where state = 'live'")]
    finally:
        await connection.close()


async def run(data_dir: Path, *, limit: int | None, mib: int, quiet_seconds: float = 3.0) -> Report:
    """The whole job; `limit` files at most, a stream of `mib` MiB. Reads are measured for `quiet_seconds`."""
    report = Report()
    files = library()[:limit]
    node = NodeProcess(data_dir, CALM)
    report.add("first start, with initdb (goal: < 8 s)", f"{await node.start():.2f} s")
    try:
        report.add("stop", f"exit code {await node.stop()}")
        report.add("second start (goal: < 3 s)", f"{await node.start():.2f} s")
        report.add("idle memory of the node (goal: < 90 MiB)", f"{node.rss_bytes() / MIB:.0f} MiB")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600), headers=PLAIN) as http:
            kept = await paste_library(http, node, files, report)
            await highlight_undisturbed(http, node, report, quiet_seconds)
            kept.append(await one_stream(http, node, mib, report))
        await kill_in_the_middle(node, files, kept, report)
    finally:
        code = await node.stop()
    report.add("last stop", f"exit code {code}")
    assert code == 0
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/try-real", description=__doc__)
    parser.add_argument("--files", type=int, default=None, help="only so many files of the standard library")
    parser.add_argument("--mib", type=int, default=1024, help="size of the one large stream")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pastebin-try-") as name:
        Path(name).chmod(0o755)
        asyncio.run(run(Path(name) / "data", limit=arguments.files, mib=arguments.mib))


if __name__ == "__main__":
    main()
