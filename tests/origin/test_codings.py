"""Representations: every coding of an answer has a tag of its own, and conditions and ranges keep to it."""

from __future__ import annotations

import gzip

import pytest

from tests.nodes import Node
from tests.origin.answers import GZIP, HTML, TEXT, ask, paths_of


async def test_the_tag_of_metadata_changes_with_everything_it_shows(node: Node) -> None:
    created = await node.paste("one")
    url, owner = f"/api/v1/pastes/{created['slug']}", {"Authorization": f"Bearer {created['token']}"}
    seen = {(await ask(node, f"{url}?content=true")).headers["ETag"]}
    for change in ({}, {"title": "t"}, {"expires_in": "1d"}, {"content": "two"}, {"visibility": "public"}):
        if change:
            assert (await ask(node, url, "PATCH", json=change, headers=owner)).status == 200
        shown = await ask(node, url)
        etag = shown.headers["ETag"]
        assert not etag.startswith("W/")
        assert etag not in seen
        seen.add(etag)
        assert (await ask(node, url, headers={"If-None-Match": etag})).status == 304
        assert (await ask(node, url, headers={"If-Match": '"x"'})).status == 412


async def test_a_change_can_insist_on_what_was_shown(node: Node) -> None:
    created = await node.paste(TEXT)
    url, owner = f"/api/v1/pastes/{created['slug']}", {"Authorization": f"Bearer {created['token']}"}
    for query in ("", "?content=true"):
        for coding in ({}, GZIP):
            etag = (await ask(node, url + query, headers=coding)).headers["ETag"]
            first = await ask(
                node, url, "PATCH", json={"title": query + str(coding)}, headers={**owner, "If-Match": etag}
            )
            second = await ask(node, url, "PATCH", json={"title": "second"}, headers={**owner, "If-Match": etag})
            assert (first.status, second.status) == (200, 412)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/{slug}/raw", {}),
        ("/{slug}/raw?lines=1-300", {}),
        ("/{slug}", {}),
        ("/{slug}", HTML),
        ("/{slug}.py", HTML),
        ("/api/v1/pastes/{slug}?content=true", {}),
        ("/", HTML),
        ("/api/v1/syntaxes", {}),
        ("/api/v1/openapi.json", {}),
    ],
)
async def test_text_comes_in_gzip_to_who_accepts_it(node: Node, path: str, headers: dict[str, str]) -> None:
    slug, _ = await paths_of(node)
    path = path.format(slug=slug)
    plain = await ask(node, path, headers=headers)
    coded = await ask(node, path, headers={**headers, **GZIP})
    assert (plain.status, coded.status) == (200, 200)
    assert "Content-Encoding" not in plain.headers
    assert coded.headers["Content-Encoding"] == "gzip"
    assert coded.headers["Content-Length"] == str(len(coded.body))
    assert gzip.decompress(coded.body) == plain.body
    assert len(coded.body) < len(plain.body)
    assert coded.headers["ETag"] != plain.headers["ETag"]
    for name in ("Content-Type", "Vary", "Cache-Control", "CDN-Cache-Control", "Surrogate-Key"):
        assert coded.headers[name] == plain.headers[name]
    head = await ask(node, path, "HEAD", headers={**headers, **GZIP})
    for answer in (coded, head):
        for name in ("Date", "X-Request-Id"):
            del answer.headers[name]
    assert head.headers == coded.headers


async def test_a_tag_is_of_one_coding(node: Node) -> None:
    slug, paths = await paths_of(node)
    for path in paths:
        plain, coded = await ask(node, path, headers=HTML), await ask(node, path, headers={**HTML, **GZIP})
        if path == f"/api/v1/pastes/{slug}":
            continue  # too small
        for one, other in ((plain, coded), (coded, plain)):
            accept = {**HTML, **(GZIP if one is coded else {})}
            tag, foreign = one.headers["ETag"], other.headers["ETag"]
            assert (await ask(node, path, headers={**accept, "If-None-Match": tag})).status == 304
            assert (await ask(node, path, headers={**accept, "If-None-Match": foreign})).status == 200
            assert (await ask(node, path, headers={**accept, "If-Match": foreign})).status == 412
            if not tag.startswith("W/"):
                assert (await ask(node, path, headers={**accept, "If-Match": tag})).status == 200


async def test_ranges_are_of_the_plain_bytes(node: Node) -> None:
    _, paths = await paths_of(node)
    path = paths[2]
    plain, coded = await ask(node, path), await ask(node, path, headers=GZIP)
    part = {**GZIP, "Range": "bytes=5-14"}
    answer = await ask(node, path, headers=part)
    assert (answer.status, answer.body) == (206, TEXT.encode()[5:15])
    assert answer.headers["ETag"] == plain.headers["ETag"]
    assert answer.headers["Vary"] == plain.headers["Vary"]
    assert "Content-Encoding" not in answer.headers
    assert (await ask(node, path, headers={**part, "If-Range": plain.headers["ETag"]})).status == 206
    whole = await ask(node, path, headers={**part, "If-Range": coded.headers["ETag"]})
    assert (whole.status, whole.body, whole.headers["ETag"]) == (200, TEXT.encode(), plain.headers["ETag"])
    assert (await ask(node, path, headers={**part, "If-Match": coded.headers["ETag"]})).status == 412


async def test_what_is_no_text_stays_as_it_is(node: Node) -> None:
    slug = (await node.paste(b"\x89PNG\r\n\x1a\n" + b"\0" * 5000))["slug"]
    answer = await ask(node, f"/{slug}/raw", headers=GZIP)
    assert (answer.status, len(answer.body)) == (200, 5008)
    assert "Content-Encoding" not in answer.headers
    assert "Vary" not in answer.headers
