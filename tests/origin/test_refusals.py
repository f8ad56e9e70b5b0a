"""A form that is refused says so in its own words, and in the language of its page."""

from __future__ import annotations

from tests.nodes import Node
from tests.origin.test_forms import as_form, create, made


async def test_what_is_wrong_with_a_file_is_told_of_the_field_that_it_came_from(node: Node) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n"
    page = await create(node, **{"content": "one\n", "content-2": "two\n" + key, "reject_secrets": "true"})
    assert "Text 2: line 2 looks like it holds a private key" in page.words
    assert "choose them again" not in page.words
    typed = {"content": "one\n", "name": "a", "name-2": "b", "content-2": "2\n", "name-3": "a", "content-3": "3\n"}
    page = await create(node, **typed, file=("a", b"chosen"))
    assert "Name of text 3: Another file has this name." in page.words
    assert "Files: a: Another file has this name." in page.words
    assert "choose them again" in page.words
    assert "files[" not in page.text
    german = await create(node, {"Accept-Language": "de"}, **typed, file=("a", b"chosen"))
    assert "Name von Text 3: Eine andere Datei heißt auch so." in german.words


async def test_the_script_of_a_page_hears_of_it_in_the_language_of_the_page(node: Node) -> None:
    taken, _ = await made(node, content="first")
    headers = {"Accept": "application/json", "Accept-Language": "de"}
    for path, fields, words in (
        ("/mine", {"content": ""}, "darf nicht leer sein"),
        ("/", {"content": ""}, "must not be empty"),
        ("/mine", {"content": "x", "slug": taken}, "Ein anderes Paste"),
        ("/", {"content": "x", "slug": taken}, "Another paste"),
    ):
        async with node.http.post(node.url + path, data=as_form(fields), headers=headers) as response:
            assert words in await response.text(), path
