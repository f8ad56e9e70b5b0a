"""A gateway against one nginx worker as a reverse proxy, before the same upstream: an nginx with pages in files.

The gateway and the proxy are on one processor, the upstream and the load on the others. Both keep their connections to
the upstream. What a gateway adds to a request is told by one client that asks it and the upstream itself in turns.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.bench import edges
from tests.bench.edges import BROWSER, Answer, Sides, Traffic
from tests.bench.harness import Contest, WrongAnswer, pin_client, pin_server
from tests.nodes import SECRET
from tests.ports import free_port

_START_SECONDS = 60.0
_PROXY = """
    proxy_buffering on;
    upstream pages {{
        server 127.0.0.1:{upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://pages;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-Id $request_id;
        }}
    }}
"""


@asynccontextmanager
async def contest(directory: Path, traffic: Traffic, samples: int) -> AsyncIterator[Contest]:
    """A gateway and a proxy that are ready; `samples` requests tell what the gateway adds."""
    answers = {
        traffic.target(f"page{number}"): Answer(content, traffic.media_type, None)
        for number, content in enumerate(traffic.contents)
    }
    proxy, ours = free_port(), free_port()
    async with (
        edges.nginx(directory / "upstream", answers, pin_client) as upstream,
        edges.running_nginx(
            directory / "proxy", _PROXY.format(upstream=upstream, port=proxy), proxy, pin_server
        ) as proxy_pid,
        _gateway(directory / "gateway", upstream, ours) as gateway_pid,
    ):
        sides = Sides(directory, traffic, answers)

        async def check() -> None:
            for port in (ours, proxy):
                added = await asyncio.to_thread(_added, port, upstream, answers, samples)
                median, p99 = (1e3 * seconds for seconds in added)
                print(f"  {'gateway' if port == ours else 'nginx'} adds {median:.3f} ms, p99 {p99:.3f} ms", flush=True)

        yield Contest(
            lambda seconds: sides.measure(ours, seconds),
            lambda seconds: sides.measure(proxy, seconds),
            check,
            {"gateway": gateway_pid, "nginx": proxy_pid},
        )


@asynccontextmanager
async def _gateway(directory: Path, upstream: int, port: int) -> AsyncIterator[int]:
    """A gateway before one node at the upstream's port; its process id."""
    directory.mkdir()
    internal = free_port()
    config = directory / "node.toml"
    config.touch(mode=0o600)
    config.write_text(
        f'[node]\nsecret = "{SECRET}"\nroles = ["gateway"]\ndata_dir = "{directory}"\n'
        f'[doors]\ngateway = "127.0.0.1:{port}"\ninternal = "127.0.0.1:{internal}"\n'
        f'[regions.us]\naddresses = ["192.0.2.1"]\n'
        f'[[regions.us.nodes]]\nname = "one"\nurl = "http://127.0.0.1:{upstream}"\nroles = ["web", "read"]\n',
        encoding="utf-8",
    )
    with (directory / "node.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pastebin", "serve", f"--config={config}"), stdout=log, stderr=log
        )
    try:
        await _ready(f"http://127.0.0.1:{internal}/readyz", process)
        pin_server(process.pid)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(_START_SECONDS):
        while process.returncode is None:
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.02)  # there is no event to await in a process that does not listen yet
    raise WrongAnswer("the gateway does not start")


def _added(port: int, direct: int, answers: dict[str, Answer], samples: int) -> tuple[float, float]:
    """Seconds that a request takes longer through this port, at the median and at the p99. Raises WrongAnswer."""
    times: dict[int, list[float]] = {port: [], direct: []}
    targets = list(answers)
    with _connected(port) as through, _connected(direct) as straight:
        for number in range(samples):
            target = targets[number % len(targets)]
            for where, connection in ((port, through), (direct, straight)):
                began = time.perf_counter()
                body = _got(connection, target, where)
                times[where].append(time.perf_counter() - began)
                if hashlib.sha256(body).hexdigest() != answers[target].digest:
                    raise WrongAnswer(f"{target} is not what it was")
    quantile: Callable[[list[float]], float] = lambda values: statistics.quantiles(values, n=100)[98]  # noqa: E731
    return (
        statistics.median(times[port]) - statistics.median(times[direct]),
        quantile(times[port]) - quantile(times[direct]),
    )


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _got(connection: socket.socket, target: str, port: int) -> bytes:
    lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {BROWSER[name]}" for name in BROWSER)]
    connection.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    head, body = data[:end].lower(), data[end + 4 :]
    if not head.startswith(b"http/1.1 200 "):
        raise WrongAnswer(f"{target}: {head[:60]!r}")
    length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise WrongAnswer("an answer ends too early")
    return data
