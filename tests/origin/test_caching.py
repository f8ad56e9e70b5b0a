"""What caches are told: every answer of the origin says who may keep it, for how long, and under which keys."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from pastebin.http.consistency import Tokens
from pastebin.positions import Position
from pastebin.services.warming import Warming
from tests.nodes import SECRET, Node
from tests.origin.answers import GZIP, HTML, TEXT, ask, paths_of

SESSION = "Pastebin-Consistency"
DAY = 86_400


async def test_what_everybody_may_see_is_for_shared_caches(node: Node) -> None:
    for options in ({}, {"visibility": "public"}, {"encryption": {"v": 2}}):
        slug, paths = await paths_of(node, **options)
        for path in paths:
            for accept in ({}, HTML):
                answer = await ask(node, path, headers=accept)
                assert answer.status == 200
                assert answer.headers["Cache-Control"] == "no-cache", "browsers ask again: nobody can purge them"
                assert answer.shared == {"max-age": DAY, "stale-while-revalidate": 60, "stale-if-error": 3600}
                assert answer.keys == {f"p-{slug}", "all"}
                assert "Set-Cookie" not in answer.headers
                assert SESSION not in answer.headers


async def test_what_caches_keep_of_an_absence_is_nobody_s_in_particular(node: Node) -> None:
    """The id of a request is that of whoever asked first, so it is in the header alone."""
    for path in ("/unknown0000", "/unknown0000/raw", "/api/v1/pastes/unknown0000"):
        for accept in ({}, HTML):
            given = {"X-Request-Id": "somebodys-request", **accept}
            answer = await ask(node, path, headers=given)
            assert (answer.status, answer.shared) == (404, {"max-age": 5})
            assert b"somebodys-request" not in answer.body
            assert answer.headers["X-Request-Id"] == "somebodys-request"
            alone = await ask(node, path, headers={**given, "Authorization": "Bearer x"})
            assert (alone.status, alone.shared) == (404, None)
            assert b"somebodys-request" in alone.body


async def test_a_part_and_a_list_are_for_shared_caches_too(node: Node) -> None:
    _, paths = await paths_of(node)
    part = await ask(node, paths[2], headers={"Range": "bytes=0-9"})
    assert (part.status, part.headers["Vary"]) == (206, "Accept-Encoding")
    assert part.shared is not None
    files = [{"name": name, "content": "x"} for name in ("a", "b")]
    created = await ask(node, "/api/v1/pastes", "POST", json={"files": files})
    slug = json.loads(created.body)["slug"]
    for path in (f"/{slug}", f"/{slug}/raw", f"/{slug}/raw/a"):
        answer = await ask(node, path)
        assert (answer.status, answer.keys) == (200, {f"p-{slug}", "all"})
        assert answer.shared is not None
        again = await ask(node, path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status == 304


async def test_large_files_are_for_shared_caches_too(node: Node) -> None:
    created = await node.paste(b"0123456789" * 20_000, expires_in="1h")
    answer = await ask(node, f"/{created['slug']}/raw", headers=GZIP)
    assert answer.shared is not None
    assert 3500 < answer.shared["max-age"] <= 3600
    assert "Content-Encoding" not in answer.headers
    assert "Vary" not in answer.headers


async def test_nobody_keeps_a_paste_beyond_its_end(node: Node) -> None:
    for lifetime, longest in ((600, 600), (DAY + 600, DAY), (2 * DAY, DAY)):
        began = time.monotonic()
        _, paths = await paths_of(node, expires_in=lifetime)
        for path in paths:
            shared = (await ask(node, path, headers=HTML)).shared
            assert shared is not None
            fresh = shared.pop("max-age")
            assert longest - (time.monotonic() - began) - 2 <= fresh <= longest
            assert all(fresh + stale <= lifetime for stale in shared.values())
            assert bool(shared) == (lifetime > DAY)


async def test_the_end_is_told_by_the_database(node: Node) -> None:
    slug, paths = await paths_of(node, expires_in="7d")
    await node.sql("update pastes set expires_at = now() + interval '0.9 s' where slug = $1", slug)
    answer = await ask(node, paths[2])
    assert answer.status in (200, 404)
    if answer.status == 200:
        assert answer.shared == {"max-age": 0}


@pytest.mark.parametrize(
    "options", [{"burn": True}, {"max_reads": 3}, {"password": "x"}, {"password": "x", "visibility": "public"}]
)
async def test_what_is_protected_is_kept_by_nobody(node: Node, options: dict[str, Any]) -> None:
    slug, paths = await paths_of(node, **options)
    for path in paths:
        for accept in ({}, HTML):
            answer = await ask(node, path, headers={**accept, **GZIP})
            assert answer.status in (200, 403)
            assert answer.is_secret
            assert "Content-Encoding" not in answer.headers
    body = {"password": "x"} if "password" in options else {}
    revealed = await ask(node, f"/api/v1/pastes/{slug}/reveal", "POST", json=body, headers=GZIP)
    assert revealed.status == 200
    assert revealed.is_secret
    assert "Content-Encoding" not in revealed.headers


async def test_a_private_paste_is_kept_by_nobody_and_its_absence_only_for_strangers(node: Node) -> None:
    created = await node.paste(TEXT, visibility="private")
    slug, token = created["slug"], created["token"]
    for path in (f"/{slug}", f"/{slug}/raw", f"/api/v1/pastes/{slug}"):
        by_cookie = 404 if path.startswith("/api/") else 200
        for given, status in (({"Authorization": f"Bearer {token}"}, 200), ({"Cookie": f"owner={token}"}, by_cookie)):
            answer = await ask(node, path, headers=given)
            assert answer.status == status
            assert answer.is_secret
        assert (await ask(node, path)).shared == {"max-age": 5}


async def test_what_is_told_to_an_owner_is_told_to_nobody_else(node: Node) -> None:
    created = await node.paste(TEXT)
    slug, token = created["slug"], created["token"]
    for path in (f"/{slug}", f"/{slug}/raw", f"/api/v1/pastes/{slug}"):
        for given in (
            {"Authorization": f"Bearer {token}"},
            {"Authorization": "Basic eDp5"},
            {"Cookie": f"owner={token}"},
        ):
            answer = await ask(node, path, headers={**HTML, **GZIP, **given})
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "private, no-store"
            assert answer.is_secret
            assert "Content-Encoding" not in answer.headers
    for path in (f"/{slug}?created", f"/{slug}/manage"):
        for given in ({}, {"Cookie": f"owner={token}"}):
            answer = await ask(node, path, headers={**HTML, **GZIP, **given})
            assert answer.status == 200
            assert answer.is_secret
            assert "Content-Encoding" not in answer.headers


async def test_changes_are_kept_by_nobody(node: Node) -> None:
    made = await ask(node, "/api/v1/pastes", "POST", json={"content": TEXT}, headers=GZIP)
    created = json.loads(made.body)
    url, owner = f"/api/v1/pastes/{created['slug']}", {"Authorization": f"Bearer {created['token']}"}
    answers = [
        made,
        await ask(node, "/", "POST", data=b"x"),
        await ask(node, "/", "POST", data={"content": "x"}, headers=HTML),
        await ask(node, url, "PATCH", json={"title": "t"}, headers=owner),
        await ask(node, url, "DELETE", headers=owner),
    ]
    assert [answer.status for answer in answers] == [201, 201, 303, 200, 204]
    for answer in answers:
        assert answer.is_secret
        assert "Content-Encoding" not in answer.headers


async def test_there_is_nothing_is_news_for_a_moment(node: Node) -> None:
    created = await node.paste()
    await ask(
        node, f"/api/v1/pastes/{created['slug']}", "DELETE", headers={"Authorization": f"Bearer {created['token']}"}
    )
    for slug in ("unknown0000", created["slug"]):
        for path in (f"/{slug}", f"/{slug}.py", f"/{slug}/raw", f"/raw/{slug}", f"/api/v1/pastes/{slug}"):
            for method in ("GET", "HEAD"):
                answer = await ask(node, path, method)
                assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-store")
                assert (answer.shared, answer.keys) == ({"max-age": 5}, {f"p-{slug}", "all"})
                assert answer.headers["Vary"] == ("Cookie" if path.startswith("/api/") else "Accept, Cookie")
            for who in ({"Authorization": "Bearer x"}, {"Cookie": "owner=x"}, {"Cookie": "a=b"}, {SESSION: ""}):
                assert (await ask(node, path, headers=who)).is_secret
    for path in ("/nothing/at/all", "/static/nothing.css", "/problems/nothing", "/a%00b", "/ab"):
        answer = await ask(node, path)
        assert answer.status == 404
        assert answer.is_secret


async def test_other_refusals_are_kept_by_nobody(node: Node) -> None:
    slug = (await node.paste(TEXT))["slug"]
    answers = [
        await ask(node, f"/{slug}/raw?lines=x"),
        await ask(node, f"/{slug}/raw", headers={"If-Match": '"x"'}),
        await ask(node, f"/{slug}/raw", headers={"Range": "bytes=900000-"}),
        await ask(node, f"/api/v1/pastes/{slug}?what=1"),
        await ask(node, f"/{slug}", "DELETE"),
        await ask(node, f"/api/v1/pastes/{slug}", "DELETE"),
    ]
    assert [answer.status for answer in answers] == [422, 412, 416, 422, 405, 401]
    for answer in answers:
        assert answer.is_secret
        assert answer.body.endswith(b"}\n")


async def test_what_is_the_site_s_own_has_the_key_of_everything(node: Node) -> None:
    front = await ask(node, "/", headers=HTML)
    style = re.search(r"/static/style\.[0-9a-f]{16}\.css", front.body.decode())
    assert style
    for path, browsers, seconds in (
        ("/", "no-cache", 300),
        ("/api/v1/limits", "public, max-age=300", 300),
        ("/api/v1/syntaxes", "public, max-age=3600", 3600),
        ("/api/v1/openapi.json", "public, max-age=300", 300),
        ("/problems/paste-not-found", "public, max-age=3600", 3600),
        ("/robots.txt", "public, max-age=86400", DAY),
        ("/favicon.ico", "public, max-age=86400", DAY),
        (style[0], "public, max-age=31536000, immutable", 31_536_000),
    ):
        for who in ({}, {SESSION: ""}, {"Cookie": "owner=x"}):
            answer = await ask(node, path, headers={**HTML, **who})
            assert (answer.status, answer.headers["Cache-Control"]) == (200, browsers)
            assert answer.shared is not None
            assert answer.shared["max-age"] == seconds
            assert answer.keys == {"all"}
            assert SESSION not in answer.headers
            again = await ask(node, path, headers={**HTML, "If-None-Match": answer.headers["ETag"]})
            assert (again.status, again.shared, again.keys) == (304, answer.shared, {"all"})


async def test_not_modified_says_again_what_caches_may_do(node: Node) -> None:
    slug, paths = await paths_of(node, expires_in="1h")
    for path in paths:
        for accept in (HTML, {**HTML, **GZIP}):
            whole = await ask(node, path, headers=accept)
            for tag in (whole.headers["ETag"], "*", f'"x", {whole.headers["ETag"]}'):
                again = await ask(node, path, headers={**accept, "If-None-Match": tag})
                assert (again.status, again.body) == (304, b"")
                for name in ("ETag", "Cache-Control", "Surrogate-Key", "Vary"):
                    assert again.headers.get(name) == whole.headers.get(name)
                assert again.shared is not None
                assert again.shared["max-age"] <= 3600
                assert "Content-Encoding" not in again.headers
                assert SESSION not in again.headers
    assert f"p-{slug}" in again.keys


async def test_vary_names_what_counted(node: Node) -> None:
    slug, _ = await paths_of(node)
    small = (await node.paste("small"))["slug"]
    for path, vary in (
        ("/", "Accept, Accept-Encoding"),
        (f"/{slug}", "Accept, Accept-Encoding"),
        (f"/{slug}.py", "Accept-Encoding"),
        (f"/{slug}/raw", "Accept-Encoding"),
        (f"/api/v1/pastes/{slug}?content=true", "Accept-Encoding"),
        (f"/{small}/raw", None),
    ):
        for accept in ({}, HTML):
            for coding in ({}, GZIP):
                answer = await ask(node, path, headers={**accept, **coding})
                is_page = answer.headers["Content-Type"].startswith("text/html")
                assert answer.headers.get("Vary") == (f"{vary}, Accept-Language" if is_page else vary)
    assert (await ask(node, f"/{small}")).headers["Vary"] == "Accept"


# Sessions


async def test_who_keeps_a_session_gets_its_token_and_nobody_else_gets_the_answer(node: Node) -> None:
    created = await node.paste(TEXT)
    async with node.http.post(f"{node.url}/", data=b"x") as response:
        token = response.headers[SESSION]
    _, paths = await paths_of(node)
    for path in (*paths, f"/{created['slug']}"):
        for given in ({SESSION: token}, {SESSION: ""}, {SESSION: "rubbish"}, {"Cookie": f"consistency={token}"}):
            answer = await ask(node, path, headers={**HTML, **given})
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert answer.shared is None
            assert answer.headers[SESSION]
            etag = answer.headers["ETag"]
            again = await ask(node, path, headers={**HTML, **given, "If-None-Match": etag})
            assert (again.status, again.shared, bool(again.headers[SESSION])) == (304, None, True)


async def test_a_cache_that_refills_gets_what_it_may_keep(node: Node) -> None:
    """`Pastebin-Min-LSN` says how new the answer must be; the answer is the same to everybody who asks so."""
    tokens = Tokens(SECRET.encode(), 60)
    async with node.http.post(f"{node.url}/", data=TEXT) as response:
        position = tokens.unseal(response.headers[SESSION], now=0)
        slug = (await response.text()).strip().rpartition("/")[2]
    assert position
    seals = [tokens.seal(position, now=2**33, purpose="min-lsn"), "rubbish"]
    seals.append(tokens.seal(Position(position.system_id, position.timeline + 1, 1), now=2**33, purpose="min-lsn"))
    for seal in seals:
        for path in (f"/{slug}", f"/{slug}/raw", f"/api/v1/pastes/{slug}"):
            answer = await ask(node, path, headers={"Pastebin-Min-LSN": seal})
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
            assert answer.shared is not None
            assert SESSION not in answer.headers
            assert "Set-Cookie" not in answer.headers
        absence = await ask(node, "/unknown0000", headers={"Pastebin-Min-LSN": seal})
        assert (absence.status, absence.shared) == (404, {"max-age": 5})


# Heat


async def test_readings_that_an_edge_could_have_answered_are_counted(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[str, str, bool]] = []

    def note(_self: Warming, slug: str, path: str, *, is_fill: bool) -> None:
        noted.append((slug, path, is_fill))

    monkeypatch.setattr(Warming, "note", note)
    slug, _ = await paths_of(node)
    edge = {"Via": "1.1 pastebin"}
    await ask(node, f"/{slug}", headers=HTML)
    await ask(node, f"/{slug}", headers=edge)
    await ask(node, f"/{slug}.py", headers={**HTML, **edge})
    await ask(node, f"/{slug}/raw")
    await ask(node, f"/raw/{slug}", headers=edge)
    assert noted == [
        (slug, f"/{slug}", False),
        (slug, f"/{slug}", True),
        (slug, f"/{slug}.py", True),
        (slug, f"/{slug}/raw", False),
        (slug, f"/raw/{slug}", True),
    ]
    noted.clear()
    secrets = [await paths_of(node, **options) for options in ({"burn": True}, {"password": "x"})]
    for path in (f"/{slug}", f"/{slug}/raw"):
        await ask(node, path, "HEAD")
        await ask(node, f"{path}?x=1")
        await ask(node, path, headers={"Authorization": "Bearer x"})
        await ask(node, path, headers={"Cookie": "owner=x"})
        await ask(node, path, headers={**edge, "Sec-Purpose": "prefetch"})
    for path in ("/unknown0000", "/", *(path for _, paths in secrets for path in paths)):
        await ask(node, path)
        await ask(node, path, headers={**HTML, **edge})
    assert noted == []
