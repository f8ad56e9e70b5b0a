"""A node's edge against one nginx worker with the same bodies in files: the same processor, the same requests by wrk.

Needs nginx and wrk (Debian: nginx-light, wrk). nginx runs as this user on files of its own, tuned as one would: with
sendfile, a cache of open files, and without an access log.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import random
import re
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from pastebin.store import schema
from tests.bench.harness import Contest, WrongAnswer, as_client, durable_postgres, pin_server
from tests.bench.nodes import whole_node
from tests.nodes import SECRET
from tests.ports import free_port
from tests.scenarios.processes import NodeProcess, node_process

BINARY = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"

_SCRIPT = Path(__file__).with_name("zipf.lua")
_SAMPLES = 25
_WRITERS = 32
_START_SECONDS = 10.0
_WARM_SECONDS = 60.0
_LASTING = re.compile("; hit; ttl=([0-9]+)")
_LASTING_SECONDS = 3600
# Chrome 130 on its way to an address that was typed or clicked.
BROWSER = {
    "Connection": "keep-alive",
    "sec-ch-ua": '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
}
_NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    sendfile_max_chunk 0;
    keepalive_requests 1000000000;
    open_file_cache max=20000 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {serving}
}}
"""
_FILES = """
    default_type "{media_type}";
    server {{
        listen 127.0.0.1:{port};
        root {directory}/files;
        {coding}
    }}
"""


@dataclass(frozen=True)
class Answer:
    """What a browser gets for an address."""

    body: bytes
    media_type: str
    coding: str | None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Traffic:
    """What is asked for: pastes of this content, at these addresses, over so many connections."""

    contents: Sequence[bytes]
    media_type: str
    target: Callable[[str], str]
    connections: int
    in_bytes: bool = False  # measured in MB/s instead of requests/s
    options: Mapping[str, str] = field(default_factory=dict)  # of every paste


@asynccontextmanager
async def contest(directory: Path, traffic: Traffic) -> AsyncIterator[Contest]:
    """A node that has answered everything once, and an nginx with the same answers in files."""
    for program in ("nginx", "wrk"):
        if shutil.which(program) is None:
            raise WrongAnswer(f"{program} is not installed: apt-get install nginx-light wrk")
    async with whole_node(directory) as node:
        targets = await _publish(node, traffic)
        answers = await _warm(node, targets)
        async with nginx(directory / "nginx", answers) as reference:
            pin_server(node.pid)
            sides = Sides(directory, traffic, answers)
            yield Contest(
                lambda seconds: sides.measure(node.port, seconds),
                lambda seconds: sides.measure(reference, seconds),
                lambda: sides.check(node.port, reference),
            )


@asynccontextmanager
async def counted_contest(directory: Path, traffic: Traffic, most_microseconds: float) -> AsyncIterator[Contest]:
    """One node that counts visits against one that does not, in hits per second of processor time."""
    if shutil.which("wrk") is None:
        raise WrongAnswer("wrk is not installed: apt-get install wrk")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(durable_postgres(directory))
        await schema.migrate(server.dsn)
        receiver = await stack.enter_async_context(_receiver())
        found: dict[str, tuple[NodeProcess, Sides]] = {}
        for name, visits in (("counts", f'url = "{receiver}"'), ("blind", "count = false")):
            config = directory / f"{name}.toml"
            roles = '"web", "read", "write", "cdn-worker", "edge"'
            config.write_text(
                f'[node]\nsecret = "{SECRET}"\nroles = [{roles}]\n[visits]\n{visits}\n'
                f'[database]\nprimary = "{server.dsn}"\n',
                encoding="utf-8",
            )
            config.chmod(0o600)
            node = await stack.enter_async_context(node_process(directory / name, f"--config={config}"))
            answers = await _warm(node, await _publish(node, traffic))
            pin_server(node.pid)
            (directory / f"load-{name}").mkdir()
            found[name] = node, Sides(directory / f"load-{name}", traffic, answers)
        costs: dict[str, list[float]] = {"counts": [], "blind": []}

        async def measure(name: str, seconds: float) -> float:
            node, sides = found[name]
            before = _processor_seconds(node.pid)
            hits = await sides.measure(node.port, seconds) * max(1, round(seconds))
            spent = _processor_seconds(node.pid) - before
            costs[name].append(spent / hits * 1e6)
            return hits / spent

        async def check() -> None:
            pairs = zip(costs["counts"][1:], costs["blind"][1:], strict=True)  # the first one is to warm up
            cost = statistics.median(one - other for one, other in pairs)  # of long rounds: a cold second is dear
            print(f"  counting costs {cost:.2f} microseconds a hit", flush=True)
            if cost > most_microseconds:
                raise WrongAnswer(f"counting costs {cost:.2f} microseconds a hit, not {most_microseconds:g}")

        yield Contest(lambda seconds: measure("counts", seconds), lambda seconds: measure("blind", seconds), check)


@asynccontextmanager
async def _receiver() -> AsyncIterator[str]:
    """An analytics service that takes everything."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"taken": True})

    application = web.Application(client_max_size=0)
    application.router.add_route("*", "/{path:.*}", take)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


def _processor_seconds(pid: int) -> float:
    """What all threads of a process have used so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sides:
    """The same load for both."""

    def __init__(self, directory: Path, traffic: Traffic, answers: dict[str, Answer]) -> None:
        self._traffic = traffic
        self._answers = answers
        self._targets = directory / "targets"
        self._targets.write_text("".join(f"{target}\n" for target in answers), encoding="ascii")
        self._heads = directory / "heads"

    async def measure(self, port: int, seconds: float) -> float:
        """Requests/s, or MB/s. Raises WrongAnswer."""
        lines = {"Host": f"127.0.0.1:{port}", **BROWSER}
        self._heads.write_text("".join(f"{name}: {value}\n" for name, value in lines.items()), encoding="ascii")
        async with as_client():
            process = await asyncio.create_subprocess_exec(
                *("wrk", "-t1", f"-c{self._traffic.connections}", f"-d{max(1, round(seconds))}", "--timeout=20s"),
                f"-s{_SCRIPT}",
                *(f"http://127.0.0.1:{port}/", "--", str(self._targets), str(self._heads)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            out, _ = await asyncio.wait_for(process.communicate(), seconds + 60)
        result = next((line.split() for line in out.decode().splitlines() if line.startswith("RESULT ")), None)
        if result is None or process.returncode:
            raise WrongAnswer(f"wrk: {out.decode()[-500:]}")
        requests, size, microseconds, wrong = map(int, result[1:])
        if wrong or not requests:
            raise WrongAnswer(f"{wrong} of {requests} answers were errors")
        return (size if self._traffic.in_bytes else requests * 1e6) / microseconds

    async def check(self, ours: int, reference: int) -> None:
        """Samples of both: status, size and digest, and that ours came from the cache. Raises WrongAnswer."""
        chosen = random.sample(list(self._answers), min(_SAMPLES, len(self._answers)))
        await asyncio.to_thread(self._check, ours, chosen, is_ours=True)
        await asyncio.to_thread(self._check, reference, chosen, is_ours=False)

    def _check(self, port: int, targets: list[str], *, is_ours: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            for target in targets:
                connection.request("GET", target, headers=BROWSER)
                response = connection.getresponse()
                body = response.read()
                expected = self._answers[target]
                if response.status != 200 or hashlib.sha256(body).hexdigest() != expected.digest:
                    raise WrongAnswer(f"{target}: {response.status}, {len(body)} bytes of {len(expected.body)}")
                if is_ours and "; hit" not in (response.headers["Cache-Status"] or ""):
                    raise WrongAnswer(f"{target} was no hit: {response.headers['Cache-Status']}")
        finally:
            connection.close()


async def _publish(node: NodeProcess, traffic: Traffic) -> list[str]:
    """Make the pastes; their addresses."""
    targets: list[str] = [""] * len(traffic.contents)
    numbers = iter(range(len(traffic.contents)))

    async def write(http: aiohttp.ClientSession) -> None:
        for number in numbers:
            async with http.post(
                f"{node.url}/api/v1/pastes",
                params=traffic.options,
                data=traffic.contents[number],
                headers={"Content-Type": traffic.media_type},
            ) as response:
                if response.status != 201:
                    raise WrongAnswer(f"{response.status}: {await response.text()}")
                targets[number] = traffic.target((await response.json())["slug"])

    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        for _ in range(_WRITERS):
            tasks.create_task(write(http))
    return targets


async def _warm(node: NodeProcess, targets: list[str]) -> dict[str, Answer]:
    """Ask for everything until it comes from the cache, to stay there. Raises WrongAnswer if something never does."""
    answers: dict[str, Answer] = {}
    left = iter(targets)

    async def read(http: aiohttp.ClientSession) -> None:
        for target in left:
            until = time.perf_counter() + _WARM_SECONDS
            while target not in answers:
                async with http.get(f"{node.url}{target}") as response:
                    body, headers = await response.read(), response.headers
                found = _LASTING.search(headers.get("Cache-Status", ""))
                if response.status == 200 and found is not None and int(found[1]) > _LASTING_SECONDS:
                    answers[target] = Answer(body, headers["Content-Type"], headers.get("Content-Encoding"))
                elif time.perf_counter() > until:
                    raise WrongAnswer(f"{target} is not cached: {response.status} {dict(headers)}")
                elif found is not None:
                    await asyncio.sleep(1.0)  # a page that was not highlighted in time is made anew when it is stale

    async with (
        aiohttp.ClientSession(headers=BROWSER, auto_decompress=False) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(_WRITERS):
            tasks.create_task(read(http))
    return {target: answers[target] for target in targets}


@asynccontextmanager
async def nginx(
    directory: Path, answers: dict[str, Answer], pin: Callable[[int], None] = pin_server
) -> AsyncIterator[int]:
    """The port of an nginx that serves these answers."""
    files = directory / "files"
    for target, answer in answers.items():
        path = files / target.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer.body)
    sample = next(iter(answers.values()))
    port = free_port()
    coding = f"add_header Content-Encoding {sample.coding};" if sample.coding else ""
    serving = _FILES.format(directory=directory, media_type=sample.media_type, port=port, coding=coding)
    async with running_nginx(directory, serving, port, pin):
        yield port


@asynccontextmanager
async def running_nginx(directory: Path, serving: str, port: int, pin: Callable[[int], None]) -> AsyncIterator[int]:
    """An nginx that listens at this port, on the processor where `pin` puts it; yields its process id."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, serving=serving), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        "nginx", "-e", str(directory / "error.log"), "-c", str(config), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        pin(process.pid)
        await _listening(port)
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    until = time.perf_counter() + _START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            if time.perf_counter() > until:
                raise WrongAnswer("nginx does not listen") from None
            await asyncio.sleep(0.02)  # it tells nobody when it does
        else:
            writer.close()
            return
