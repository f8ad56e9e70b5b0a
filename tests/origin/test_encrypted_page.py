"""The page of an encrypted paste as the server gives it: what it runs, who may keep it, and what it never takes."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from typing import Any

import pytest

from tests.nodes import Node

ADATA = [
    [base64.b64encode(b"i" * 16).decode(), "c2FsdHNhbHQ=", 100_000, 256, 128, "aes", "gcm", "zlib"],
    "plaintext",
    0,
    0,
]
SEALED = {"v": 2, "adata": ADATA}
ACCEPT = {"Accept": "text/html"}
BYTES = bytes(range(256))


async def made(node: Node, **options: Any) -> str:
    files = [{"content": base64.b64encode(BYTES).decode(), "encoding": "base64"}]
    body = {"files": files, "encryption": SEALED, **options}
    async with node.http.post(f"{node.url}/api/v1/pastes", json=body) as response:
        assert response.status == 201, await response.text()
        return str((await response.json())["slug"])


async def shown(node: Node, slug: str, **headers: str) -> tuple[Any, str]:
    async with node.http.get(f"{node.url}/{slug}", headers=ACCEPT | headers) as response:
        return response, await response.text()


async def test_it_runs_what_it_names_and_nothing_else(node: Node) -> None:
    response, text = await shown(node, await made(node))
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert response.headers["Referrer-Policy"] == "no-referrer"
    scripts = re.findall(r"<script[^>]*>", text)
    of_this_page = [tag for tag in scripts if "sealing" in tag or "encryption" in tag]
    assert len(of_this_page) == 2
    for tag in of_this_page:
        address, integrity = (re.search(rf'{name}="([^"]*)"', tag) for name in ("src", "integrity"))
        assert address and integrity
        async with node.http.get(node.url + address[1]) as asset:
            digest = hashlib.sha384(await asset.read()).digest()
        assert integrity[1] == f"sha384-{base64.b64encode(digest).decode()}"
    held = re.search(r'data-sealed="([^"]*)"', text)
    assert held
    assert json.loads(html.unescape(held[1])) == SEALED


@pytest.mark.parametrize(
    ("options", "is_kept"),
    [({}, True), ({"visibility": "public"}, True), ({"burn": True}, False), ({"max_reads": 3}, False)],
)
async def test_it_is_kept_for_a_moment_where_everybody_may_see_it(
    node: Node, options: dict[str, Any], is_kept: bool
) -> None:
    slug = await made(node, **options)
    response, _ = await shown(node, slug)
    kept = response.headers["CDN-Cache-Control"]
    assert kept.startswith("max-age=10") if is_kept else kept == "no-store"
    again, _ = await shown(node, slug, **{"If-None-Match": response.headers["ETag"]})
    assert again.status == 304
    created, _ = await shown(node, f"{slug}?created")
    assert created.headers["CDN-Cache-Control"] == "no-store"


async def test_showing_it_uses_up_nothing_and_revealing_gives_the_bytes_once(node: Node) -> None:
    parameters = {**SEALED, "verifier": True}
    slug = await made(node, encryption=parameters, burn=True, password="verifier")
    for _ in range(3):
        response, text = await shown(node, slug)
        assert (response.status, 'data-left="1"' in text) == (200, True)
    for password, status in (({}, 403), ({"password": "wrong"}, 403), ({"password": "verifier"}, 200)):
        async with node.http.post(f"{node.url}/{slug}/reveal", data=password) as response:
            assert response.status == status
            body = await response.read()
    assert body == BYTES
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Cache-Control"] == "private, no-store"
    assert (await shown(node, slug))[0].status == 404


@pytest.mark.parametrize(
    "options",
    [
        {"encryption": {"v": 1}},
        {"encryption": {**SEALED, "more": 1}},
        {"password": "of the server's"},
        {"files": [{"content": "a", "name": "a"}, {"content": "b", "name": "b"}]},
    ],
    ids=str,
)
async def test_what_is_encrypted_in_another_way_has_the_pages_that_it_had(node: Node, options: dict[str, Any]) -> None:
    response, text = await shown(node, await made(node, **options))
    assert response.status == 200
    assert "data-sealed" not in text


async def test_a_private_one_is_for_its_owner(node: Node) -> None:
    body = {"content": "x", "encryption": SEALED, "visibility": "private"}
    async with node.http.post(f"{node.url}/api/v1/pastes", json=body) as response:
        created = await response.json()
    assert (await shown(node, created["slug"]))[0].status == 404
    response, text = await shown(node, created["slug"], Cookie=f"owner={created['token']}")
    assert (response.status, "data-sealed" in text) == (200, True)
