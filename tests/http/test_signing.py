"""What only nodes of one installation may send: whatever is changed, late or repeated is refused without a reason."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from pastebin.errors import PastebinError
from pastebin.http import problems
from pastebin.http.signing import BODY_BYTES, NONCE, SIGNATURE, TIMESTAMP, SignedRoutes, Signer, Verifier
from pastebin.metrics import Metrics

SECRET = b"the secret of this installation"
TARGET = "/cdn/purges?a=1"


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def pair(**options: int) -> tuple[Time, Signer, Verifier]:
    clock = Time()
    return clock, Signer(SECRET, clock), Verifier(SECRET, clock=clock, **options)


def test_while_the_secret_changes_both_are_accepted() -> None:
    clock = Time()
    verifier = Verifier(b"the next secret", SECRET, clock=clock)
    for secret, refusal in ((SECRET, None), (b"the next secret", None), (b"a third one", "secret")):
        headers = Signer(secret, clock).headers("POST", TARGET, b"body")
        assert verifier.refusal("POST", TARGET, headers, b"body") == refusal


def test_what_was_signed_is_accepted_once() -> None:
    _, signer, verifier = pair()
    headers = signer.headers("POST", TARGET, b"body")
    assert verifier.refusal("POST", TARGET, headers, b"body") is None
    assert verifier.refusal("POST", TARGET, headers, b"body") == "replayed"
    assert verifier.refusal("POST", TARGET, signer.headers("POST", TARGET, b"body"), b"body") is None


@pytest.mark.parametrize(
    ("method", "target", "body", "changed"),
    [
        ("PUT", TARGET, b"body", {}),
        ("POST", "/cdn/purges?a=2", b"body", {}),
        ("POST", TARGET, b"bodx", {}),
        ("POST", TARGET, b"body", {NONCE: "0" * 32}),
        ("POST", TARGET, b"body", {TIMESTAMP: "1700000001"}),
        ("POST", TARGET, b"body", {SIGNATURE: "0" * 64}),
        ("POST", TARGET, b"body", {SIGNATURE: "\u00e4"}),
    ],
)
def test_what_was_changed_is_forged(method: str, target: str, body: bytes, changed: dict[str, str]) -> None:
    _, signer, verifier = pair()
    headers = {**signer.headers("POST", TARGET, b"body"), **changed}
    assert verifier.refusal(method, target, headers, body) == "forged"


@pytest.mark.parametrize("missing", [NONCE, SIGNATURE, TIMESTAMP])
def test_what_lacks_a_part_is_unsigned(missing: str) -> None:
    _, signer, verifier = pair()
    headers = signer.headers("POST", TARGET, b"")
    del headers[missing]
    assert verifier.refusal("POST", TARGET, headers, b"") == "unsigned"


@pytest.mark.parametrize("strange", ["", "-1", "1e9", "9" * 13, "\u0661", "1.5"])
def test_a_time_is_a_number(strange: str) -> None:
    _, signer, verifier = pair()
    assert verifier.refusal("GET", "/", {**signer.headers("GET", "/", b""), TIMESTAMP: strange}, b"") == "unsigned"


@pytest.mark.parametrize("seconds", [-31.0, 31.0])
def test_clocks_may_differ_a_little(seconds: float) -> None:
    clock, signer, verifier = pair()
    headers = signer.headers("GET", "/", b"")
    clock.now += seconds
    assert verifier.refusal("GET", "/", headers, b"") == "untimely"
    clock.now -= seconds / 2
    assert verifier.refusal("GET", "/", headers, b"") is None


def test_what_was_accepted_is_remembered_for_as_long_as_it_could_return() -> None:
    clock, signer, verifier = pair(most=2)
    first = signer.headers("GET", "/", b"")
    assert verifier.refusal("GET", "/", first, b"") is None
    clock.now += 29
    assert verifier.refusal("GET", "/", first, b"") == "replayed"
    assert verifier.refusal("GET", "/", signer.headers("GET", "/", b""), b"") is None
    assert verifier.refusal("GET", "/", signer.headers("GET", "/", b""), b"") == "crowded"
    clock.now += 2
    assert verifier.refusal("GET", "/", first, b"") == "untimely"
    assert verifier.refusal("GET", "/", signer.headers("GET", "/", b""), b"") is None


def test_another_installation_is_a_stranger() -> None:
    clock, _, verifier = pair()
    headers = Signer(b"another secret", clock).headers("GET", "/", b"")
    assert verifier.refusal("GET", "/", headers, b"") == "secret"


@asynccontextmanager
async def door(metrics: Metrics, per_second: float = 1000.0) -> AsyncIterator[str]:
    """A door with one signed address, which answers with the size of the body."""

    async def answer(_request: web.Request, body: bytes) -> web.Response:
        return web.Response(text=str(len(body)))

    @web.middleware
    async def translate(request: web.Request, handler: object) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)  # type: ignore[operator]
        except PastebinError as error:
            return web.json_response(problems.describe(error, "id").detail, status=problems.row_of(error).status)
        return response

    application = web.Application(middlewares=[translate], client_max_size=1)
    application.add_routes([web.post("/here", SignedRoutes(Verifier(SECRET), metrics, per_second).only(answer))])
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/here"
    finally:
        await runner.cleanup()


def count(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("pastebin_purge_requests_refused_total", {"reason": reason}) or 0.0


async def test_strangers_learn_nothing_and_are_counted() -> None:
    metrics, signer = Metrics(), Signer(SECRET)
    async with door(metrics) as url, aiohttp.ClientSession() as http:

        async def send(headers: dict[str, str], body: bytes) -> tuple[int, str]:
            async with http.post(url, data=io.BytesIO(body), headers=headers) as response:
                return response.status, await response.text()

        good = signer.headers("POST", "/here", b"body")
        assert await send(good, b"body") == (200, "4")
        refusals = [
            await send({}, b"body"),
            await send(good, b"body"),
            await send(signer.headers("POST", "/here", b"body"), b"else"),
            await send(Signer(SECRET, lambda: 1.0).headers("POST", "/here", b""), b""),
        ]
        large = b"x" * (BODY_BYTES + 1)
        refusals.append(await send(signer.headers("POST", "/here", large), large))
        assert len(set(refusals)) == 1
        assert refusals[0][0] == 403
        whole = b"x" * BODY_BYTES
        assert await send(signer.headers("POST", "/here", whole), whole) == (200, str(BODY_BYTES))
    reasons = ("unsigned", "replayed", "forged", "untimely", "oversized")
    assert [count(metrics, reason) for reason in reasons] == [1.0] * 5


async def test_a_body_without_a_length_is_bounded_too() -> None:
    metrics, signer = Metrics(), Signer(SECRET)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    async with door(metrics) as url, aiohttp.ClientSession() as http:
        try:
            async with http.post(url, data=endless(), headers=signer.headers("POST", "/here", b"")) as response:
                assert response.status == 403
        except aiohttp.ClientError:
            pass  # it was cut off while it was still sending
    assert count(metrics, "oversized") == 1


async def test_our_own_are_asked_for_patience() -> None:
    metrics, signer = Metrics(), Signer(SECRET)
    async with door(metrics, per_second=0.001) as url, aiohttp.ClientSession() as http:
        statuses = []
        for _ in range(2):
            async with http.post(url, data=b"x", headers=signer.headers("POST", "/here", b"x")) as response:
                statuses.append(response.status)
    assert statuses == [200, 503]
    assert count(metrics, "crowded") == 1
