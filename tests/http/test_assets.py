from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from pastebin.http.assets import Assets

Client = TestClient[web.Request, web.Application]

PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets.load()


@pytest.fixture(scope="module")
async def client(assets: Assets) -> AsyncIterator[Client]:
    application = web.Application()
    application.add_routes(assets.routes())
    async with TestClient(TestServer(application)) as client:
        yield client


def test_address_follows_the_content() -> None:
    one, same, other = (Assets({"a.css": body}).url("a.css") for body in (b"a{}", b"a{}", b"b{}"))
    assert one == same != other
    assert re.fullmatch(r"/static/a\.[0-9a-f]{16}\.css", one)


def test_version_changes_with_any_file() -> None:
    versions = {
        Assets(contents).version
        for contents in ({"a.css": b"1", "b.css": b"2"}, {"a.css": b"1", "b.css": b"3"}, {"a.css": b"1"})
    }
    assert len(versions) == 3


async def test_a_module_names_the_address_of_what_it_imports() -> None:
    """So a change of one is a change of all that stand above it, and none of them is ever half of each version."""
    above, below = b'import {a} from "./b.js";\nimport "./c.js";', b'const c = await import("./c.js");'
    old, new = (Assets({"a.js": above, "b.js": below, "c.js": body}) for body in (b"1", b"2"))
    assert all(old.url(name) != new.url(name) for name in ("a.js", "b.js", "c.js"))
    application = web.Application()
    application.add_routes(old.routes())
    async with TestClient(TestServer(application)) as client, client.get(old.url("a.js"), headers=PLAIN) as response:
        module = await response.text()
    assert module == f'import {{a}} from "{old.url("b.js")}";\nimport "{old.url("c.js")}";'


def test_modules_that_cannot_be_loaded_are_refused() -> None:
    for contents in ({"a.js": b'import "./b.js"'}, {"a.js": b'import "./b.js"', "b.js": b'import "./a.js"'}):
        with pytest.raises(KeyError):
            Assets(contents)


def test_files_of_unknown_kind_are_not_served() -> None:
    with pytest.raises(KeyError):
        Assets({"style.css~": b"", "notes": b""}).url("style.css~")


def test_style_sheets_are_small_and_load_nothing(assets: Assets) -> None:
    for name in ("style.css", "highlight.css"):
        asset = assets._by_address[assets.url(name).removeprefix("/static/")]
        assert len(asset.body) < 12 * 1024
        assert b"url(" not in asset.body
        assert b"@import" not in asset.body


@pytest.mark.parametrize(
    ("name", "media_type"), [("style.css", "text/css; charset=utf-8"), ("favicon.svg", "image/svg+xml")]
)
async def test_file_may_be_kept_for_ever(client: Client, assets: Assets, name: str, media_type: str) -> None:
    async with client.get(assets.url(name), headers=PLAIN) as response:
        body = await response.read()
        assert response.status == 200
        assert response.headers["Content-Type"] == media_type
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert len(body) == response.content_length
    async with client.head(assets.url(name), headers=PLAIN) as head:
        assert head.status == 200
        assert await head.read() == b""
        assert _lasting(head) == _lasting(response)


async def test_known_file_is_not_sent_again(client: Client, assets: Assets) -> None:
    address = assets.url("style.css")
    async with client.get(address) as response:
        etag = response.headers["ETag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        for method in ("GET", "HEAD"):
            async with client.request(method, address, headers={"If-None-Match": condition}) as again:
                assert again.status == 304, condition
                assert await again.read() == b""
                assert again.headers["ETag"] == etag
                assert again.headers["Cache-Control"] == response.headers["Cache-Control"]
    async with client.get(address, headers={"If-None-Match": '"other"'}) as changed:
        assert changed.status == 200


@pytest.mark.parametrize(
    "path",
    ["/static/style.css", "/static/stile.0000000000000000.css", "/static/..%2fpages.py", "/static/%00", "/static/"],
)
async def test_other_addresses_hold_nothing(client: Client, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 404


async def test_pages_of_another_version_get_the_file_of_this_one(client: Client, assets: Assets) -> None:
    """A page in a cache, or of a node that is not upgraded yet, names a file that is not here."""
    for name in ("style.css", "highlight.css"):
        current = assets.url(name)
        other = re.sub(r"[0-9a-f]{16}", "0123456789abcdef", current)
        async with client.get(current, headers=PLAIN) as response, client.get(other, headers=PLAIN) as again:
            assert (again.status, await again.read()) == (200, await response.read())
            assert again.headers["Cache-Control"] == "no-cache"
            assert again.headers["CDN-Cache-Control"].startswith("max-age=60,")


async def test_favicon_answers_where_browsers_look_for_it(client: Client) -> None:
    async with client.get("/favicon.ico") as response:
        assert response.headers["Content-Type"] == "image/svg+xml"
        assert "immutable" not in response.headers["Cache-Control"]
        assert (await response.read()).startswith(b"<svg")
    async with client.get("/favicon.ico", headers={"If-None-Match": response.headers["ETag"]}) as again:
        assert again.status == 304


async def test_robots_may_read_the_front_page_only(client: Client) -> None:
    async with client.get("/robots.txt") as response:
        lines = (await response.text()).splitlines()
    assert lines[0] == "User-agent: *"
    assert {"Allow: /$", "Disallow: /"} <= set(lines)


def test_style_sheets_leave_the_scheme_to_the_reader(assets: Assets) -> None:
    """Who has chosen another scheme than that of the system gets it by `color-scheme`, which `light-dark()` follows."""
    sheets = [asset.body for asset in assets._by_address.values() if asset.media_type.startswith("text/css")]
    assert sheets
    assert not any(b"prefers-color-scheme" in sheet for sheet in sheets)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(assets: Assets, scheme: int) -> None:
    """WCAG 2.2, 1.4.3: text 4.5:1 on every ground it stands on; 1.4.11: the edges of controls 3:1."""
    sheet = assets._by_address[assets.url("style.css").removeprefix("/static/")].body.decode()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", sheet)
    colours = {name: pair[scheme] for name, *pair in pairs}
    for ink in ("ink", "soft", "accent", "alarm"):
        for ground in ("page", "sheet", "tint", "mark", "alarm-tint"):
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for kind in ("accent", "alarm"):
        assert _contrast(colours[f"on-{kind}"], colours[kind]) >= 4.5
    for ground in ("page", "sheet"):
        assert _contrast(colours["edge"], colours[ground]) >= 3


def _lasting(response: ClientResponse) -> dict[str, str]:
    """The headers, without the one that the clock writes."""
    return {name: value for name, value in response.headers.items() if name != "Date"}


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
