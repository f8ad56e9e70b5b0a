"""Creating by all three kinds of body, from programs and from terminals."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from pastebin.embedded.server import Server
from pastebin.services import intake
from tests.nodes import SECRET, Node, directory, started
from tests.tcp_proxy import TcpProxy

HOSTILE_NAMES = [
    "../../etc/passwd",
    'a"b.txt',
    "line\r\nbreak: x.txt",
    "‮gpj.exe",
    '"><img src=x onerror=alert(1)>',
    "a/b\\c.txt",
    "..",
    "ü" * 127,
    " leading and trailing ",
]


async def raw(node: Node, path: str, **headers: str) -> tuple[int, bytes, Any]:
    async with node.http.get(node.url + path, headers=headers) as response:
        return response.status, await response.read(), response.headers.copy()


async def post(node: Node, body: Any, path: str = "/api/v1/pastes", **headers: str) -> tuple[int, dict[str, Any]]:
    async with node.http.post(node.url + path, data=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def test_json_body(node: Node) -> None:
    async with node.http.post(
        f"{node.url}/api/v1/pastes", json={"content": "print(1)\n", "name": "a.py", "title": "T", "expires_in": "2h"}
    ) as response:
        created = await response.json()
        assert response.status == 201
        assert response.headers["Location"] == created["url"] == f"{node.url}/{created['slug']}"
        assert response.headers["Pastebin-Token"] == created["token"]
        assert response.headers["Cache-Control"] == "no-store"
    assert len(created["slug"]) == 11
    assert (created["title"], created["visibility"], created["protection"]) == ("T", "unlisted", "none")
    assert created["revision"] == 1
    assert created["expires_at"].endswith("Z")
    (file,) = created["files"]
    assert file == {
        "name": "a.py",
        "size": 9,
        "sha256": hashlib.sha256(b"print(1)\n").hexdigest(),
        "media_type": "text/plain",
        "syntax": "python",
        "raw_url": f"{created['url']}/raw",
    }
    assert (await raw(node, f"/{created['slug']}/raw"))[1] == b"print(1)\n"


async def test_json_body_with_several_files_and_base64(node: Node) -> None:
    binary = bytes(range(256)) * 3
    files = [
        {"name": "a.sh", "content": "#!/bin/sh\n"},
        {"name": "b.bin", "content": base64.b64encode(binary).decode(), "encoding": "base64"},
        {"content": "no name\n", "syntax": "text"},
    ]
    status, created = await post(node, json.dumps({"files": files}), **{"Content-Type": "application/json"})
    assert status == 201
    assert [file["name"] for file in created["files"]] == ["a.sh", "b.bin", "file-3"]
    assert created["size"] == 10 + len(binary) + 8
    for file, content in zip(created["files"], [b"#!/bin/sh\n", binary, b"no name\n"], strict=True):
        async with node.http.get(file["raw_url"]) as response:
            assert await response.read() == content
    status, body, _ = await raw(node, f"/{created['slug']}")
    assert body.decode().split() == [file["raw_url"] for file in created["files"]]


async def test_form_with_files_and_options(node: Node) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"one\r\n", filename="one.txt")
    form.add_field("title", "A form")
    form.add_field("f", b"two\n", filename="two.txt")
    form.add_field("expires_in", "")
    status, created = await post(node, form)
    assert status == 201
    assert created["title"] == "A form"
    assert [file["name"] for file in created["files"]] == ["one.txt", "two.txt"]
    async with node.http.get(created["files"][0]["raw_url"]) as response:
        assert await response.read() == b"one\r\n"


@pytest.mark.parametrize("newlines", ["lf", None])
async def test_form_field_keeps_its_bytes_unless_a_page_asks_for_unix_newlines(
    node: Node, newlines: str | None
) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    if newlines:
        form.add_field("newlines", newlines)
    form.add_field("content", "a\r\nb\r\n")
    _, created = await post(node, form)
    expected = b"a\nb\n" if newlines else b"a\r\nb\r\n"
    assert (await raw(node, f"/{created['slug']}/raw"))[1] == expected


async def test_raw_body_with_options_in_the_query(node: Node) -> None:
    status, created = await post(
        node, b"x = 1\n", "/api/v1/pastes?syntax=python&expires_in=1h&name=x.txt&visibility=public"
    )
    assert status == 201
    assert created["files"][0]["syntax"] == "python"
    assert created["visibility"] == "public"


async def test_chunked_body_of_unknown_length(node: Node) -> None:
    pieces = [b"%d\n" % number for number in range(50_000)]

    async def chunks() -> Any:
        for start in range(0, len(pieces), 5000):
            yield b"".join(pieces[start : start + 5000])

    status, created = await post(node, chunks(), **{"Content-Type": "text/plain"})
    assert status == 201
    whole = b"".join(pieces)
    assert created["files"][0]["sha256"] == hashlib.sha256(whole).hexdigest()
    assert (await raw(node, f"/{created['slug']}/raw"))[1] == whole


@pytest.mark.parametrize(
    ("method", "path", "name"), [("POST", "/", None), ("PUT", "/", None), ("PUT", "/b%20c.log", "b c.log")]
)
async def test_from_a_terminal_the_answer_is_the_address(node: Node, method: str, path: str, name: str | None) -> None:
    async with node.http.request(
        method,
        node.url + path,
        data=b"log\n",
        headers={"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"},
    ) as response:
        text = await response.text()
        assert response.status == 201
        assert response.content_type == "text/plain"
        assert text == response.headers["Location"] + "\n"
        assert response.headers["Pastebin-Token"]
    async with node.http.get(text.strip()) as response:
        assert await response.read() == b"log\n"
    async with node.http.get(f"{node.url}/api/v1/pastes/{text.strip().rsplit('/', 1)[1]}") as response:
        assert (await response.json())["files"][0]["name"] == name


async def test_from_a_terminal_with_json_accepted(node: Node) -> None:
    async with node.http.post(f"{node.url}/", data=b"x", headers={"Accept": "application/json"}) as response:
        assert (await response.json())["token"] == response.headers["Pastebin-Token"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_hostile_file_names_are_kept_and_harmless(node: Node, name: str) -> None:
    created = await node.paste("content\n", name=name)
    assert created["files"][0]["name"] == name
    async with node.http.get(created["raw_url"] + "?download") as response:
        assert await response.read() == b"content\n"
        disposition = response.headers["Content-Disposition"]
        assert disposition.isprintable()
        assert disposition.startswith("attachment")
        assert "/" not in disposition.split("filename*=")[0]
    files = [{"name": name, "content": "1"}, {"name": "other", "content": "2"}]
    status, several = await post(node, json.dumps({"files": files}), **{"Content-Type": "application/json"})
    assert status == 201
    async with node.http.get(several["files"][0]["raw_url"]) as response:
        assert await response.read() == b"1"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff\xfe\x00broken \x80 utf-8", id="invalid UTF-8"),
        pytest.param(b"a\0b\0", id="NUL"),
        pytest.param(b"x" * 1_000_000, id="1 MB line"),
        pytest.param(b"(" * 10_000_000, id="10 MB of parentheses"),
        pytest.param("grüße".encode("latin-1"), id="latin-1"),
        pytest.param(b"\r\r\n\n", id="line ends"),
        pytest.param(b"\xef\xbb\xbfBOM", id="BOM"),
    ],
)
async def test_bodies_come_back_byte_for_byte_and_the_page_answers(node: Node, content: bytes) -> None:
    created = await node.paste(content)
    status, body, headers = await raw(node, f"/{created['slug']}/raw")
    assert (status, body) == (200, content)
    assert headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    status, page, _ = await raw(node, f"/{created['slug']}", Accept="text/html")
    assert status == 200
    assert b"</html>" in page


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 300_000])
async def test_around_the_inline_limit(node: Node, size: int) -> None:
    content = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    created = await node.paste(content)
    assert (await raw(node, f"/{created['slug']}/raw"))[1] == content
    (row,) = await node.sql(
        "select body is null as blob from files f join pastes p on p.id = f.paste_id where slug = $1", created["slug"]
    )
    assert row["blob"] == (size > 65_536)


async def test_own_slug_is_taken_once(node: Node) -> None:
    slug = f"mine-{uuid.uuid4().hex[:8]}"
    assert (await node.paste(slug=slug))["slug"] == slug
    status, problem = await post(
        node, json.dumps({"content": "x", "slug": slug}), **{"Content-Type": "application/json"}
    )
    assert status == 409
    assert problem["type"] == "/problems/slug-taken"


async def test_protected_pastes_get_long_slugs(node: Node) -> None:
    for options in ({"burn": True}, {"password": "secret"}, {"visibility": "private"}):
        assert len((await node.paste(**options))["slug"]) == 22


async def test_idempotency_key_makes_one_paste_however_often_it_is_sent(node: Node) -> None:
    key = str(uuid.uuid4())

    async def once() -> dict[str, Any]:
        status, created = await post(node, b"exactly once" * 10_000, **{"Idempotency-Key": key})
        assert status == 201
        return created

    rounds = await asyncio.gather(*(once() for _ in range(8)))
    assert len({created["slug"] for created in rounds}) == 1
    assert len({created["token"] for created in rounds}) == 1
    status, problem = await post(node, b"something else", **{"Idempotency-Key": key})
    assert (status, problem["type"]) == (422, "/problems/idempotency-mismatch")
    async with node.http.delete(
        f"{node.url}/api/v1/pastes/{rounds[0]['slug']}", headers={"Authorization": f"Bearer {rounds[0]['token']}"}
    ) as response:
        assert response.status == 204


async def test_expiry_is_the_database_s_clock(node: Node) -> None:
    created = await node.paste(expires_in=3600)
    await node.sql("update pastes set expires_at = now() - interval '1 second' where slug = $1", created["slug"])
    for path in (f"/{created['slug']}", f"/{created['slug']}/raw", f"/api/v1/pastes/{created['slug']}"):
        assert (await raw(node, path))[0] == 404


async def test_who_repeats_a_key_with_another_password_asks_for_something_else(node: Node) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [
        await post(
            node, json.dumps({"content": "x", "password": password}), **key, **{"Content-Type": "application/json"}
        )
        for password in ("one", "one", "two")
    ]
    assert [status for status, _ in answers] == [201, 201, 422]
    assert answers[0][1]["slug"] == answers[1][1]["slug"]


async def test_a_key_finds_its_paste_and_the_token_of_it_while_the_secret_changes(database_dsn: str) -> None:
    """A node that has the new secret already, and one that has not, are asked the same."""
    next_secret = "the next secret of thirty-two characters, or more"
    bodies = [json.dumps({"content": "x", **more}) for more in ({}, {"password": "one"}, {"max_reads": 3})]
    async with (
        directory() as path,
        directory() as other,
        started(database_dsn, path, node__secret_previous=next_secret, blobs__directory=str(path)) as before,
        started(
            database_dsn,
            other,
            node__secret=next_secret,
            node__secret_previous=SECRET,
            blobs__directory=str(path),
        ) as after,
    ):
        for first, second in ((before, after), (after, before)):
            for body in bodies:
                headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
                answers = [await post(node, body, **headers) for node in (first, second, first)]
                assert [status for status, _ in answers] == [201] * 3
                assert len({(created["slug"], created["token"]) for _, created in answers}) == 1
                assert (await post(second, body.replace('"x"', '"y"'), **headers))[0] == 422


async def test_no_moment_lies_beyond_the_longest_lifetime(small_node: Node) -> None:
    now = datetime.now(UTC)
    created = await small_node.paste(expires_at=(now + timedelta(hours=23)).isoformat())
    beyond = {"expires_at": (now + timedelta(hours=25)).isoformat()}
    headers = {"Authorization": f"Bearer {created['token']}"}
    address = f"{small_node.url}/api/v1/pastes"
    async with small_node.http.post(address, json={"content": "x", **beyond}) as response:
        answers = [(response.status, await response.json(content_type=None))]
    async with small_node.http.patch(f"{address}/{created['slug']}", json=beyond, headers=headers) as response:
        answers.append((response.status, await response.json(content_type=None)))
    assert [(status, problem["errors"][0]["field"]) for status, problem in answers] == [(422, "expires_at")] * 2


async def test_without_room_nothing_is_taken_but_things_can_be_deleted(database_dsn: str) -> None:
    async with directory() as path:
        async with started(database_dsn, path) as node:
            created = await node.paste()
        async with started(database_dsn, path, blobs__min_free_bytes=2**60) as node:
            address = f"{node.url}/api/v1/pastes/{created['slug']}"
            headers = {"Authorization": f"Bearer {created['token']}"}
            assert (await post(node, b"small"))[0] == 507
            async with node.http.patch(address, json={"content": "small"}, headers=headers) as response:
                assert response.status == 507
            async with node.http.patch(address, json={"title": "new"}, headers=headers) as response:
                assert response.status == 200
            async with node.http.delete(address, headers=headers) as response:
                assert response.status == 204


async def test_a_commit_that_nobody_heard_of_keeps_its_content(postgres: Server, database_dsn: str) -> None:
    """The connection breaks between the statement and its answer; the bytes stay, and a retry finds them."""
    content = b"large\n" * 100_000
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    name, path = urlsplit(database_dsn).path, "/api/v1/pastes?slug=in-doubt"
    async with directory() as data, TcpProxy.opened(postgres.socket_dir / ".s.PGSQL.5432") as proxy:
        dsn = f"postgresql://pastebin@127.0.0.1:{proxy.port}{name}"
        watch = await asyncpg.connect(database_dsn)
        try:
            async with started(dsn, data) as node:
                async with asyncio.TaskGroup() as tasks, asyncio.timeout(60):
                    rival = watch.transaction()  # the create waits for what becomes of it
                    await rival.start()
                    await watch.execute(
                        "insert into pastes (slug, visibility, token_hash) values ('in-doubt', 'unlisted', $1)",
                        bytes(32),
                    )
                    first = tasks.create_task(post(node, content, path, **headers))
                    waiting = """select count(*) from pg_stat_activity
                                 where datname = current_database() and wait_event = 'transactionid'"""
                    while not await watch.fetchval(waiting):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                    proxy.disconnect()
                    status, _ = await first
                    await rival.rollback()
                assert status == 503
                async with asyncio.timeout(60):
                    while not await watch.fetchval("select count(*) from pastes"):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert (await raw(node, "/in-doubt/raw"))[:2] == (200, content)
                status, created = await post(node, content, path, **headers)
                assert (status, created["slug"]) == (201, "in-doubt")
                assert (await raw(node, "/in-doubt/raw"))[:2] == (200, content)
                assert await watch.fetchval("select count(*) from blobs where state = 'live'") == 1
        finally:
            await watch.close()


async def test_all_blobs_of_a_long_upload_are_kept(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that were complete long before the last one; by nobody else, nor swept before they are renewed."""
    monkeypatch.setattr(intake, "_RENEW_SECONDS", 0.01)
    old = "select count(*) from blobs where changed_at < now() - interval '1 hour' and state = 'pending'"
    begun, go_on = asyncio.Event(), asyncio.Event()
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\n' + bytes(300_000) + b"\r\n"

    async def body() -> Any:
        yield part % 1 + part % 2
        begun.set()
        await go_on.wait()
        yield b"--b--\r\n"

    async with (
        directory() as path,
        started(database_dsn, path, sweeping__interval_seconds=3600.0) as node,
        asyncio.TaskGroup() as tasks,
        asyncio.timeout(60),
    ):
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        upload = tasks.create_task(post(node, body(), **kind))
        await begun.wait()
        count = "select count(*) from blobs where state = 'pending'"
        while (await node.sql(count))[0][0] < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await node.sql("update blobs set changed_at = now() - interval '2 hours' where state = 'pending'")
        while (await node.sql(old))[0][0]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        go_on.set()
        assert (await upload)[0] == 201
