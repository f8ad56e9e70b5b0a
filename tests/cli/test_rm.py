from __future__ import annotations

import orjson
from aiohttp import web

SLUG = "h8Kq2ZtV0aB"


def keep(client, server: str, *slugs: str, url: str | None = None) -> None:
    """Put pastes on the client's list as `put` does."""
    client.ledger.parent.mkdir(parents=True, exist_ok=True)
    with client.ledger.open("ab") as file:
        for slug in slugs:
            entry = {
                "server": server,
                "slug": slug,
                "url": url or f"{server}/{slug}",
                "token": f"token-of-{slug}",
                "created_at": "2026-11-22T10:00:00Z",
            }
            file.write(orjson.dumps(entry) + b"\n")


def problem(status: int, kind: str) -> web.Response:
    document = {"type": f"/problems/{kind}", "title": "No", "detail": f"It is {kind}."}
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/problem+json")


def recorder(answer) -> tuple[list[tuple[str, str, str | None]], object]:
    seen: list[tuple[str, str, str | None]] = []

    async def serve(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, request.headers.get("Authorization")))
        return answer(request)

    return seen, serve


async def test_what_is_gone_at_the_server_is_off_the_list(client, start_server) -> None:
    """A paste that had gone before counts as removed; a proxy's own 404 does not."""

    def answer(request: web.Request) -> web.Response:
        if request.path.endswith("aaa"):
            return web.Response(status=204, headers={"Pastebin-Purge": "partial; edges=3/4"})
        return problem(404, "paste-not-found") if request.path.endswith("bbb") else web.Response(status=404)

    seen, serve = recorder(answer)
    url = await start_server(serve)
    keep(client, url, "aaa", "bbb", "ccc")
    ended = await client.run("rm", "aaa", f"{url}/bbb.py", "ccc", PASTEBIN_SERVER=url)
    assert (ended.code, ended.out) == (1, b"")
    assert [line.partition(":")[2].split(":")[0] for line in ended.err.splitlines()] == [" aaa", " bbb", " ccc"]
    assert "edges=3/4" in ended.err
    assert seen == [("DELETE", f"/api/v1/pastes/{slug}", f"Bearer token-of-{slug}") for slug in ("aaa", "bbb", "ccc")]
    listed = await client.run("ls", "--json")
    assert [paste["slug"] for paste in orjson.loads(listed.out)] == ["ccc"]


async def test_a_refused_removal_keeps_the_token(client, start_server) -> None:
    _, serve = recorder(lambda request: problem(403, "edit-forbidden"))
    url = await start_server(serve)
    keep(client, url, SLUG)
    ended = await client.run("rm", SLUG, PASTEBIN_SERVER=url)
    assert (ended.code, ended.err) == (1, f"pastebin: {SLUG}: It is edit-forbidden.\n")
    assert b"token-of" in client.ledger.read_bytes()


async def test_a_token_goes_only_where_it_came_from(client, start_server) -> None:
    """Not to a server of another name, not after a redirect, not in place of the password of a netrc file."""
    stolen, steal = recorder(lambda request: web.Response(status=204))
    thief = await start_server(steal)
    seen, serve = recorder(lambda request: web.Response(status=307, headers={"Location": f"{thief}{request.path}"}))
    url = await start_server(serve)
    keep(client, url, SLUG)
    (client.home / ".netrc").write_text("default login somebody password secret\n")
    (client.home / ".netrc").chmod(0o600)
    ended = await client.run("rm", SLUG, PASTEBIN_SERVER=url)
    assert ended.code == 1
    assert thief in ended.err
    assert seen == [("DELETE", f"/api/v1/pastes/{SLUG}", f"Bearer token-of-{SLUG}")]
    ended = await client.run("rm", f"{thief}/{SLUG}")
    assert ended.code == 2
    assert stolen == []


async def test_the_public_address_leads_to_the_server_of_the_token(client, start_server) -> None:
    seen, serve = recorder(lambda request: web.Response(status=204))
    keep(client, await start_server(serve), SLUG, url=f"https://public.invalid/{SLUG}")
    ended = await client.run("rm", f"https://public.invalid/{SLUG}")
    assert (ended.code, ended.err) == (0, "")
    assert len(seen) == 1
    assert client.ledger.read_bytes() == b""


async def test_a_token_can_be_given(client, start_server) -> None:
    seen, serve = recorder(lambda request: web.Response(status=204))
    url = await start_server(serve)
    (client.home / "token").write_text("from-a-file\n")
    ended = await client.run("rm", SLUG, "--token-file", client.home / "token", PASTEBIN_SERVER=url)
    assert ended.code == 0
    ended = await client.run("rm", SLUG, PASTEBIN_SERVER=url, PASTEBIN_TOKEN="from-a-variable")
    assert ended.code == 0
    assert [authorization for _, _, authorization in seen] == ["Bearer from-a-file", "Bearer from-a-variable"]
    ended = await client.run("rm", SLUG, "aaa", "--token-file", client.home / "token", PASTEBIN_SERVER=url)
    assert ended.code == 2
    assert len(seen) == 2
