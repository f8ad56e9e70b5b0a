"""The create form without a script: several texts and files, their names, an exact time; nothing typed is lost."""

from __future__ import annotations

import aiohttp
import pytest

from tests.nodes import Node
from tests.origin.test_forms import create, made, slug_of, visit


async def test_every_text_of_a_refused_form_comes_back(node: Node) -> None:
    first, second = "a" * 100_000 + "\n", "<b>\n" * 30_000
    typed = {"name-2": "b.md", "syntax-2": "rust", "slug": "x!", "expires_at": "2001-01-01T10:00", "parent": "abcdefg"}
    page = await create(node, content=first, **typed, **{"content-2": second, "name-3": "c", "content-3": "third"})
    assert page.status == 422
    assert page.value("content") == first
    assert page.value("content-2") == second
    assert page.value("content-3") == "third"
    for field, value in typed.items():
        assert page.value(field) == value, field
    assert "Own link: must be" in page.words
    again = await create(node, content="x" * 1_000_000, **typed, **{"content-2": "y" * 100_000})
    assert (again.status, again.value("content")) == (422, "")
    assert "too long to be shown here again" in again.words


async def test_several_texts_with_names_and_syntaxes_of_their_own(node: Node) -> None:
    more = {"name-2": "b", "syntax-2": "rust", "content-2": "two\n", "name-3": "empty", "content-3": "", "name-4": ""}
    slug, _ = await made(node, content="one\n", name="a.py", **more, **{"content-4": "four"}, file=("d.bin", b"\0"))
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
        files = (await response.json())["files"]
    found = [(file["name"], file["syntax"], file["size"]) for file in files]
    assert found == [
        ("a.py", "python", 4),
        ("d.bin", None, 1),
        ("b", "rust", 4),
        ("empty", None, 0),
        ("file-5", None, 4),
    ]


async def test_the_exact_time_is_in_utc_and_goes_before_the_usual_choice(node: Node) -> None:
    for typed in ("2099-12-24T18:00", "2099-12-24 18:00:00", "2099-12-24T19:00:00+01:00"):
        slug, _ = await made(node, content="x", expires_in="10m", expires_at=typed)
        async with node.http.get(f"{node.url}/api/v1/pastes/{slug}") as response:
            assert (await response.json())["expires_at"] == "2099-12-24T18:00:00Z"
    for typed in ("2001-01-01T10:00", "soon"):
        page = await create(node, content="x", expires_at=typed)
        assert (page.status, "Exact time: " in page.words) == (422, True)


@pytest.mark.parametrize(
    ("sent", "name"),
    [("%22a%22.txt", '"a".txt'), ("a%0D%0Ab", "a\r\nb"), ("../%2e/x", "../%2e/x"), ("a/b.py", "a/b.py")],
)
async def test_names_as_browsers_write_them(node: Node, sent: str, name: str) -> None:
    boundary = "b0undary"
    parts = [
        'Content-Disposition: form-data; name="newlines"\r\n\r\nlf',
        f'Content-Disposition: form-data; name="file"; filename="{sent}"\r\n\r\nx',
    ]
    body = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    page = await visit(node, "/mine", data=body.encode(), **kind)
    assert page.status == 303, page.words
    async with node.http.get(f"{node.url}/api/v1/pastes/{slug_of(page)}") as response:
        assert [file["name"] for file in (await response.json())["files"]] == [name]


async def test_a_bad_name_among_several_files_is_told(node: Node) -> None:
    page = await create(node, content="x", name="fine", file=("n" * 256, b"y"))
    assert (page.status, f"Files: {'n' * 256}: must be 1 to 255 bytes" in page.words) == (422, True)
    page = await create(node, content="x", name="n" * 256, file=("fine", b"y"))
    assert (page.status, page.words.count("must be 1 to 255 bytes")) == (422, 2)  # above the form, and beside the field


async def test_a_thousand_files_and_one_more(node: Node) -> None:
    for count, status in ((1000, 303), (1001, 422)):
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("newlines", "lf")
        for number in range(count):
            form.add_field("file", b"%d" % number, filename=f"folder/{number}.txt")
        page = await visit(node, "/mine", data=form)
        assert page.status == status
    assert "a paste has at most 1,000 files" in page.words
