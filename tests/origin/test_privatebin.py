"""PrivateBin's dialect, asked by an unmodified client of PrivateBin's and by hand."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import privatebin
import pytest
from privatebin import Attachment, Compression, Expiration, Formatter, PrivateBin, PrivateBinError

from tests.nodes import Node, directory, started

SPOKEN = {"X-Requested-With": "JSONHttpRequest"}
CIPHER = [base64.b64encode(b"i" * 16).decode(), base64.b64encode(b"s" * 8).decode(), 100_000, 256, 128]
ADATA = [[*CIPHER, "aes", "gcm", "zlib"], "plaintext", 0, 0]
CT = base64.b64encode(os.urandom(60)).decode()
GOOD = {"v": 2, "adata": ADATA, "ct": CT, "meta": {"expire": "1day"}}

Answer = TypeVar("Answer")


async def by_client(node: Node, ask: Callable[[PrivateBin], Answer]) -> Answer:
    def asked() -> Answer:
        with PrivateBin(f"{node.url}/") as client:
            return ask(client)

    return await asyncio.to_thread(asked)


async def post(node: Node, document: Any, method: str = "POST") -> dict[str, Any]:
    async with node.http.request(method, f"{node.url}/", json=document, headers=SPOKEN) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        answer: dict[str, Any] = await response.json()
        return answer


async def look(node: Node, query: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    url = f"{node.url}/?{query}"
    async with node.http.request(method, url, headers=headers or SPOKEN, allow_redirects=False) as response:
        is_json = response.content_type == "application/json" and method != "HEAD"
        return response.status, await response.json() if is_json else response.headers.get("Location", "")


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("password", [None, "pass wörd"])
async def test_an_unmodified_client_reads_what_it_made(
    node: Node, compression: Compression, password: str | None
) -> None:
    attachment = Attachment(name="ü.bin", content=os.urandom(300_000))
    receipt = await by_client(
        node,
        lambda client: client.create(
            "grüße\n", attachment=attachment, password=password, compression=compression, formatter=Formatter.MARKDOWN
        ),
    )
    assert receipt.url.unmask().startswith(f"{node.url}/?{receipt.url.id}#")
    paste = await asyncio.to_thread(privatebin.get, receipt, password=password)
    assert (paste.text, paste.attachment, paste.formatter) == ("grüße\n", attachment, Formatter.MARKDOWN)
    assert paste.time_to_live is not None
    assert 600_000 < paste.time_to_live.total_seconds() <= 604_800
    async with node.http.get(f"{node.url}/api/v1/pastes/{receipt.url.id}") as response:
        shown = await response.json()
    assert (shown["protection"], shown["max_reads"], len(shown["files"])) == ("end-to-end", None, 1)
    assert (shown["encryption"]["v"], shown["files"][0]["name"]) == (2, None)


async def test_what_never_expires_says_so(node: Node) -> None:
    receipt = await by_client(node, lambda client: client.create("x", expiration=Expiration.NEVER))
    assert (await asyncio.to_thread(privatebin.get, receipt)).time_to_live is None


async def test_what_burns_is_read_once_and_by_its_own_clients_only(node: Node) -> None:
    receipt = await by_client(node, lambda client: client.create("once", burn_after_reading=True))
    slug = receipt.url.id
    page = {"Accept": "text/html"}
    for headers in (page, {"Accept": "*/*"}, {**SPOKEN, "Sec-Purpose": "prefetch"}):
        await look(node, slug, **headers)
    await look(node, slug, "HEAD")
    assert (await look(node, slug, **page)) == (303, f"/{slug}")
    async with node.http.get(f"{node.url}/{slug}/raw") as response:
        assert response.status == 403
    assert (await asyncio.to_thread(privatebin.get, receipt)).text == "once"
    status, answer = await look(node, slug)
    assert (status, answer["status"]) == (200, 1)


async def test_an_unmodified_client_deletes(node: Node) -> None:
    receipt = await by_client(node, lambda client: client.create("x"))
    slug = receipt.url.id
    with pytest.raises(PrivateBinError, match="Wrong deletion token"):
        await by_client(node, lambda client: client.delete(id=slug, delete_token="0" * 64))
    await by_client(node, lambda client: client.delete(id=slug, delete_token=receipt.delete_token))
    with pytest.raises(PrivateBinError, match="does not exist"):
        await by_client(node, lambda client: client.delete(id=slug, delete_token=receipt.delete_token))
    assert (await look(node, slug))[1]["status"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"v": 1},
        {"v": "2"},
        {"ct": "AAAA!"},
        {"ct": None},
        {"ct": base64.b64encode(b"plain text " * 30).decode()},
        {"ct": ""},
        {"meta": {}},
        {"meta": {"expire": "2years"}},
        {"meta": {"expire": ["1day"]}},
        {"meta": {"expire": "1day", "more": 1}},
        {"meta": "1day"},
        {"more": 1},
        {"adata": []},
        {"adata": {}},
        {"adata": [ADATA[0], "plaintext", 1, 1]},
        {"adata": [ADATA[0], "plaintext", 0, True]},
        {"adata": [ADATA[0], ["plaintext"], 0, 0]},
        {"adata": [[*CIPHER, "aes", "cbc", "zlib"], "plaintext", 0, 0]},
        {"adata": [[*CIPHER[:2], 10_000, 256, 128, "aes", "gcm", "zlib"], "plaintext", 0, 0]},
        {"adata": [[*CIPHER[:2], 10**9, 256, 128, "aes", "gcm", "zlib"], "plaintext", 0, 0]},
        {"adata": [["a" * 28, *CIPHER[1:], "aes", "gcm", "zlib"], "plaintext", 0, 0]},
    ],
    ids=str,
)
async def test_what_privatebin_refuses_is_refused(node: Node, change: dict[str, Any]) -> None:
    answer = await post(node, GOOD | change)
    assert (answer["status"], answer["message"]) == (1, "Invalid data.")


async def test_every_way_to_ask(node: Node) -> None:
    made = await post(node, GOOD, "PUT")
    assert made.keys() == {"status", "id", "url", "deletetoken"}
    assert (made["status"], made["url"]) == (0, f"/?{made['id']}")
    for query in (made["id"], f"{made['id']}="):
        status, read = await look(node, query)
        assert (status, read["status"], read["adata"], read["ct"]) == (200, 0, ADATA, CT)
    assert (read["v"], read["comments"], read["comment_count"], read["@context"]) == (2, [], 0, "?jsonld=paste")
    comment = {"pasteid": made["id"], "parentid": made["id"], "v": 2, "ct": CT, "adata": ADATA[0]}
    assert (await post(node, comment))["status"] == 1
    gone = await post(node, {"pasteid": made["id"], "deletetoken": made["deletetoken"]}, "DELETE")
    assert gone == {"status": 0, "id": made["id"], "url": f"/?{made['id']}"}
    assert (await post(node, {"pasteid": 7, "deletetoken": []}))["status"] == 1


async def test_a_client_that_does_not_say_so_is_known_by_what_it_sends(node: Node) -> None:
    """But it uses up no reading by GET: that takes the header."""
    burning = GOOD | {"adata": [ADATA[0], "plaintext", 0, 1]}
    slugs = []
    for document in (GOOD, burning):
        async with node.http.post(f"{node.url}/", json=document) as response:
            answer = await response.json()
        assert (response.status, answer["status"]) == (200, 0)
        slugs.append(answer["id"])
    read = [(await look(node, slug, Accept="application/json"))[1]["status"] for slug in slugs]
    assert read == [0, 1]
    assert (await look(node, slugs[1]))[1]["status"] == 0
    ours = {"content": '"adata" and "ct"'}
    async with node.http.post(f"{node.url}/", json=ours) as response:
        assert (response.status, (await response.text()).startswith(node.url)) == (201, True)
    async with node.http.post(f"{node.url}/", json=GOOD | {"more": 1}) as response:
        assert response.status == 422


async def test_the_version_is_told_and_other_origins_may_ask(node: Node) -> None:
    async with node.http.get(f"{node.url}/?jsonld=paste") as response:
        assert (response.content_type, response.status) == ("application/ld+json", 200)
        assert (await response.json(content_type=None))["@context"]["v"]["@value"] == 2
    async with node.http.options(f"{node.url}/", headers={"Origin": "https://elsewhere.example"}) as response:
        assert response.status == 204
        assert "X-Requested-With" in response.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_nothing_else_is_told_of(node: Node) -> None:
    """What is not of this format, has a password of the server's, or is private looks like what is not there."""
    plain = await node.paste("x")
    other = await node.paste("x", encryption={"v": 2})
    locked = await node.paste("x", encryption={"v": 2, "adata": ADATA}, password="open sesame")
    private = await node.paste("x", encryption={"v": 2, "adata": ADATA}, visibility="private")
    answers = [(await look(node, one["slug"]))[1] for one in (plain, other, locked, private, {"slug": "nowhere00"})]
    assert [one["status"] for one in answers] == [1] * 5
    assert len({one["message"] for one in answers}) == 1


async def test_the_verifier_of_ours_is_not_asked_of_theirs(node: Node) -> None:
    """They have none; the password keeps a mistake on our own page from using up a reading."""
    parameters = {"v": 2, "adata": ADATA, "verifier": True}
    made = await node.paste("\x00\x01", encryption=parameters, password="verifier", burn=True)
    assert (await look(node, made["slug"]))[1]["status"] == 0
    assert (await look(node, made["slug"]))[1]["status"] == 1


async def test_a_link_of_its_form_leads_to_the_page(node: Node) -> None:
    """Where browsers keep the fragment; who follows a link for deleting is asked first."""
    accept = {"Accept": "text/html"}
    assert await look(node, "h8Kq2ZtV0aB", **accept) == (303, "/h8Kq2ZtV0aB")
    assert await look(node, "pasteid=h8Kq2ZtV0aB&deletetoken=x", **accept) == (303, "/h8Kq2ZtV0aB/manage")
    for query in ("//evil.example", "a=b", "%2F%2Fevil.example", "pasteid=//evil.example&deletetoken=x"):
        assert (await look(node, query, **accept))[0] == 200


async def test_a_body_has_its_limits(small_node: Node) -> None:
    large = GOOD | {"ct": base64.b64encode(os.urandom(60_000)).decode()}
    assert (await post(small_node, large))["status"] == 1
    assert (await post(small_node, GOOD | {"meta": {"expire": "never"}}))["status"] == 1
    assert (await post(small_node, []))["status"] == 1
    async with small_node.http.post(f"{small_node.url}/", data=b"{", headers=SPOKEN) as response:
        assert (await response.json())["status"] == 1


@pytest.fixture(scope="module")
async def edge_node(module_database_dsn: str) -> AsyncIterator[Node]:
    """A node as it is without any configuration, with an edge before it."""
    async with directory() as path:
        roles = ["web", "read", "write", "cdn-worker", "edge"]
        async with started(module_database_dsn, path, node__roles=roles) as node:
            yield node


@pytest.mark.parametrize("burns", [False, True])
async def test_an_edge_keeps_nothing_of_it(edge_node: Node, burns: bool) -> None:
    receipt = await by_client(edge_node, lambda client: client.create("x", burn_after_reading=burns))
    slug = receipt.url.id
    assert (await look(edge_node, slug, "HEAD"))[0] == 200
    assert (await look(edge_node, slug, Accept="text/html")) == (303, f"/{slug}")
    answers = await asyncio.gather(*(look(edge_node, slug) for _ in range(5)))
    assert sum(answer["status"] == 0 for _, answer in answers) == (1 if burns else 5)
    async with edge_node.http.get(f"{edge_node.url}/?{slug}", headers=SPOKEN) as response:
        assert response.headers["Cache-Status"] == "pastebin; fwd=bypass; detail=query"
    async with edge_node.http.get(f"{edge_node.url}/?jsonld=paste") as response:
        assert (await response.json(content_type=None))["@context"]["v"]["@value"] == 2
