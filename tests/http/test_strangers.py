"""Nodes whose secret differs are told by name, and strangers cannot make much of it."""

from __future__ import annotations

from aiohttp import web

from pastebin.fingerprints import fingerprint
from pastebin.http.signing import SignedRoutes, Signer, Verifier
from pastebin.http.strangers import SIGNER, Strangers
from pastebin.metrics import Metrics
from tests.http.doors import behind

SECRET = b"the secret of this installation"
OTHER = b"another secret than that"


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_fingerprint_tells_secrets_apart_and_nothing_of_them() -> None:
    assert fingerprint(SECRET) == fingerprint(SECRET) != fingerprint(OTHER)
    assert len(fingerprint(SECRET)) == 16


async def test_both_sides_know_why_a_request_was_refused() -> None:
    metrics, asking_metrics = Metrics(), Metrics()
    here, there = Strangers(metrics), Strangers(asking_metrics)

    async def answer(_request: web.Request, body: bytes) -> web.Response:
        return web.Response(body=body)

    signed = SignedRoutes(Verifier(SECRET), metrics, 100.0, here)
    async with behind([web.post("/signed", signed.only(answer))]) as door:

        async def send(signer: Signer, body: bytes = b"x", **changed: str) -> tuple[int, bytes]:
            headers = {**signer.headers("POST", "/signed", b"x"), **changed}
            async with door.http.post(f"{door.url}/signed", data=body, headers=headers) as response:
                return response.status, await response.read()

        ours = Signer(SECRET, node="one")
        assert (await send(ours))[0] == 200
        assert b"stranger-refused" in (await send(ours, b"y"))[1]  # forged
        assert here.notices() == []
        theirs = Signer(OTHER, node="us-edge", strangers=there)
        status, body = await send(theirs)
        assert status == 403
        assert b"/problems/secret-differs" in body
        assert fingerprint(SECRET).encode() not in body
        theirs.heard("the edge at http://x", status, body)
    told = " has another node.secret than this node: give every node the same"
    assert here.notices() == [f"node us-edge{told}"]
    assert there.notices() == [f"the edge at http://x{told}"]
    sample = "pastebin_secrets_differ_total"
    assert metrics.registry.get_sample_value(sample, {"this": "asked"}) == 1
    assert asking_metrics.registry.get_sample_value(sample, {"this": "asking"}) == 1
    refused = "pastebin_purge_requests_refused_total"
    assert metrics.registry.get_sample_value(refused, {"reason": "secret"}) == 1


def test_few_names_are_kept_for_a_minute() -> None:
    clock = Time()
    strangers = Strangers(Metrics(), clock)
    for number in range(100):
        strangers.has_asked(f"node-{number}")
    strangers.has_asked("<script>\r\n")
    assert len(strangers.notices()) == 16
    assert "node-99" in strangers.notices()[-2]
    assert strangers.notices()[-1].startswith("a node without a name")
    clock.now = 61.0
    assert strangers.notices() == []


def test_old_nodes_that_do_not_say_which_secret_they_mean_are_as_good_as_before() -> None:
    headers = Signer(SECRET).headers("GET", "/", b"")
    del headers[SIGNER]
    assert Verifier(SECRET).refusal("GET", "/", headers, b"") is None
    headers = Signer(OTHER).headers("GET", "/", b"")
    assert Verifier(SECRET).refusal("GET", "/", headers, b"") == "secret"
    del headers[SIGNER]
    assert Verifier(SECRET).refusal("GET", "/", headers, b"") == "forged"
