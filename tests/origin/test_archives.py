"""All files of a paste in one archive: complete, harmless wherever it is unpacked, and kept from whom it is not for."""

from __future__ import annotations

import io
import re
import tarfile
import unicodedata
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.models import File, Paste
from pastebin.origin.archives import paths_of
from tests.nodes import Node
from tests.origin.answers import HTML, ask

HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows",
    "C:\\autoexec.bat",
    "a/../../b",
    "a\0b",
    "a\r\nb",
    "\u202egnp.exe",
    "nul.txt",
    ".bashrc",
    "a",
    "A",
    "a/b",
    "a",
    "..",
    "x" * 255,
    "x" * 255,
    '"><img src=x onerror=alert(1)>',
]


def names(*given: str | None) -> list[str]:
    files = tuple(File(position, name, "text/plain", None, 1, bytes(32)) for position, name in enumerate(given))
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return paths_of(Paste(1, "aslug", None, "unlisted", at, at, None, None, 0, None, None, b"", None, 1, files))


def check(paths: list[str]) -> None:
    """Nothing leaves the place where it is unpacked, and nothing takes the place of anything else."""
    assert len({path.casefold() for path in paths}) == len(paths)
    folders = {
        "/".join(path.split("/")[:depth]).casefold() for path in paths for depth in range(1, path.count("/") + 1)
    }
    assert folders.isdisjoint(path.casefold() for path in paths)
    for path in paths:
        assert not re.search(r'[\\:*?"<>|\0-\x1f\x7f]', path)
        for part in path.split("/"):
            assert part not in ("", ".", "..")
            assert len(part.encode()) <= 255
            assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in part)


def test_hostile_names() -> None:
    check(names(*HOSTILE))


@given(st.lists(st.none() | st.text("aA./\\é\u0301 ()2\0\u202e", max_size=12) | st.text(max_size=300), max_size=12))
def test_whatever_files_are_called(given_names: list[str | None]) -> None:
    check(names(*given_names))


def test_good_names_stay() -> None:
    assert names("src/main.py", "README", "src/a b.txt") == ["src/main.py", "README", "src/a b.txt"]
    assert names(None, "a.txt", "a.txt") == ["file-1.txt", "a.txt", "a (2).txt"]


def test_a_thousand_equal_names() -> None:
    assert len(set(names(*["a.txt"] * 1000))) == 1000


def unpacked(body: bytes, kind: str) -> dict[str, bytes]:
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(fileobj=io.BytesIO(body)) as tape:
        return {one.name: tape.extractfile(one).read() for one in tape}  # type: ignore[union-attr]


async def several(node: Node, **options: Any) -> dict[str, Any]:
    large = "0123456789abcdef" * 10_000
    files = [{"name": "src/a.py", "content": "x = 1\n"}, {"name": "ü.txt", "content": large}]
    async with node.http.post(f"{node.url}/api/v1/pastes", json={"files": files, **options}) as response:
        assert response.status == 201, await response.text()
        return {**await response.json(), "contents": {"src/a.py": b"x = 1\n", "ü.txt": large.encode()}}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
async def test_all_files_in_one(node: Node, kind: str) -> None:
    created = await several(node, title='Quarter "4"/2026')
    path = f"/{created['slug']}.{kind}"
    answer = await ask(node, path)
    assert answer.status == 200
    assert unpacked(answer.body, kind) == created["contents"]
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="Quarter _4__2026.')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.shared is not None
    assert answer.keys == {f"p-{created['slug']}", "all"}
    head = await ask(node, path, "HEAD")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", answer.headers["ETag"])
    assert (await ask(node, path, headers={"If-None-Match": answer.headers["ETag"]})).status == 304


async def test_a_revision_is_another_archive(node: Node) -> None:
    created = await several(node)
    path = f"/{created['slug']}.zip"
    before = (await ask(node, path)).headers["ETag"]
    owner = {"Authorization": f"Bearer {created['token']}"}
    await ask(node, f"/api/v1/pastes/{created['slug']}", "PATCH", json={"content": "new\n"}, headers=owner)
    answer = await ask(node, path, headers={"If-None-Match": before})
    assert answer.status == 200
    assert list(unpacked(answer.body, "zip").values()) == [b"new\n"]


@pytest.mark.parametrize("options", [{"burn": True}, {"password": "x"}, {"max_reads": 3}])
async def test_what_takes_a_button_is_in_no_archive(node: Node, options: dict[str, Any]) -> None:
    created = await several(node, **options)
    for method in ("GET", "HEAD"):
        answer = await ask(node, f"/{created['slug']}.zip", method)
        assert answer.status == 403
        assert answer.is_secret
    (row,) = await node.sql("select reads from pastes where slug = $1", created["slug"])
    assert row["reads"] == 0


async def test_a_private_paste_is_packed_for_its_owner_only(node: Node) -> None:
    created = await several(node, visibility="private")
    slug, cookie = created["slug"], {"Cookie": f"owner={created['token']}"}
    page = await ask(node, f"/{slug}", headers={**HTML, **cookie})
    assert f'href="/{slug}/files.zip"' in page.body.decode(), "below the path of the cookie"
    for kind in ("zip", "tar.gz"):
        address = f"/{slug}/files.{kind}"
        answer = await ask(node, address, headers=cookie)
        assert unpacked(answer.body, kind) == created["contents"]
        assert answer.is_secret
        assert (await ask(node, address)).status == 404
        assert (await ask(node, f"/{slug}.{kind}")).status == 404


async def test_what_is_not_there_has_no_archive(node: Node) -> None:
    for path in ("/unknown0000.zip", "/unknown0000.tar.gz", "/unknown0000/files.zip"):
        assert (await ask(node, path)).status == 404
