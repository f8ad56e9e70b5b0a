"""How a reader wants pages to look, behind an edge: pages are kept for all, so is the sheet of who wants nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.nodes import Node, directory, started
from tests.origin.answers import HTML, ask

SHEET = "/look/style.css"
FORM = {**HTML, "Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def node(session_database_dsn: str) -> AsyncIterator[Node]:
    async with directory() as path:
        roles = ["web", "read", "write", "cdn-worker", "edge"]
        async with started(session_database_dsn, path, node__roles=roles) as running:
            while "hit" not in await status(running, "/api/v1/limits"):
                pass  # the worker has not told it yet that it knows everything
            yield running


async def status(node: Node, target: str, **headers: str) -> str:
    return str((await ask(node, target, headers={**HTML, **headers})).headers["Cache-Status"])


async def test_who_wants_nothing_is_answered_by_the_edge(node: Node) -> None:
    await status(node, SHEET)
    assert "; hit" in await status(node, SHEET)
    dark = {"Cookie": "look=theme-dark"}
    for _ in range(3):
        answer = await ask(node, SHEET, headers={**HTML, **dark})
        assert b"dark" in answer.body
        assert "; hit" not in answer.headers["Cache-Status"]
        assert answer.headers["Cache-Control"].startswith("private")
    plain = await ask(node, SHEET, headers=HTML)
    assert "; hit" in plain.headers["Cache-Status"]
    assert b"dark" not in plain.body


async def test_the_form_works_through_it(node: Node) -> None:
    slug = (await node.paste())["slug"]
    page = await ask(node, f"/look?back=/{slug}", headers=HTML)
    assert f'value="/{slug}"' in page.body.decode()
    other = await ask(node, "/look?back=/other", headers=HTML)
    assert 'value="/other"' in other.body.decode()
    answer = await ask(node, "/look", "POST", data=f"theme=dark&back=/{slug}", headers=FORM)
    assert (answer.status, answer.headers["Location"]) == (303, f"/{slug}")
    assert answer.headers["Set-Cookie"].startswith("look=theme-dark;")
    assert "consistency" not in "".join(answer.headers.getall("Set-Cookie")), "pages are still for all"


async def test_archives_codes_and_syntaxes_through_it(node: Node) -> None:
    slug = (await node.paste("x = 1\n" * 1000))["slug"]
    for path in (f"/{slug}.zip", f"/{slug}.tar.gz", f"/{slug}/qr.svg"):
        first = await ask(node, path)
        again = await ask(node, path)
        assert (first.status, again.status) == (200, 200)
        assert "; hit" in again.headers["Cache-Status"], path
        assert first.body == again.body
    for syntax in ("python", "ruby"):
        answer = await ask(node, f"/{slug}?syntax={syntax}", headers=HTML)
        assert (answer.status, answer.headers["Location"]) == (303, f"/{slug}.{syntax}")


async def test_a_page_in_the_language_of_a_cookie_is_kept_by_no_cache_further_on(node: Node) -> None:
    """Such a cache sees Accept-Language, and would give it to everybody who sends the same."""
    slug = (await node.paste("some text\n"))["slug"]
    english = {**HTML, "Accept-Language": "en"}
    for _ in range(2):
        chosen = await ask(node, f"/{slug}", headers={**english, "Cookie": "language=de"})
        assert 'lang="de"' in chosen.body.decode()
        assert chosen.headers["CDN-Cache-Control"] == "no-store"
        assert chosen.headers["Cache-Control"] == "private, no-cache"
        for_all = await ask(node, f"/{slug}", headers=english)
        assert 'lang="en"' in for_all.body.decode()
        assert for_all.headers["CDN-Cache-Control"].startswith("max-age=")
