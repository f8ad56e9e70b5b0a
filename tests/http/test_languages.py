"""What requests say of languages, and what pages make of it."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from pastebin.errors import Problem
from pastebin.http import languages
from pastebin.http.assets import Assets
from pastebin.http.pages import Pages
from pastebin.languages import Choice, Voice, speaking
from pastebin.phrases import Phrase
from pastebin.sections import SiteSection

PAGES = Pages(SiteSection(), Assets.load())


def voice(language: str) -> Voice:
    return Voice(lambda: Choice(language), "/a?b")


@pytest.mark.parametrize(
    ("headers", "language"),
    [
        ([], "en"),
        ([("Accept-Language", "fr")], "fr"),
        ([("Accept-Language", "nl"), ("Accept-Language", "it")], "it"),
        ([("Accept-Language", "fr"), ("Cookie", "a=b; language=de")], "de"),
        ([("Accept-Language", "fr"), ("Cookie", "a=b"), ("Cookie", 'language = "de" ')], "de"),
        ([("Accept-Language", "fr"), ("Cookie", "language=tlh")], "fr"),
        ([("Accept-Language", "fr"), ("Cookie", "x-language=de")], "fr"),
    ],
)
def test_a_cache_says_what_is_wanted(headers: list[tuple[str, str]], language: str) -> None:
    said = CIMultiDict([*headers, ("Pastebin-Language", "ja")])
    assert languages.introduced(said).getall("Pastebin-Language") == [language]


def test_others_hear_of_accept_language() -> None:
    for asked, vary in (({}, "Accept, Accept-Language"), ({"Pastebin-Language": "de"}, "Accept, Pastebin-Language")):
        headers = CIMultiDict({"Vary": "Accept, Pastebin-Language"})
        languages.reveal(headers, CIMultiDict(asked))
        assert headers["Vary"] == vary
    untouched = CIMultiDict({"Vary": "Accept, X-Pastebin"})
    languages.reveal(untouched, CIMultiDict())
    assert untouched == {"Vary": "Accept, X-Pastebin"}


def test_a_page_says_what_is_wrong_in_its_language() -> None:
    problems = [
        Problem("title", Phrase("must be at most %(num)s characters without NUL", num=200)),
        Problem("content", "must not be empty"),
        Problem("name", "<b>nobody</b> has said this %(before)s"),
    ]
    with speaking(voice("de")):
        page = PAGES.render(
            "error.html", status=422, title="Paste not acceptable", detail="", problems=problems, request_id=""
        )
    assert "<h1>Paste nicht annehmbar</h1>" in page
    assert "darf höchstens 200 Zeichen ohne NUL lang sein" in page
    assert "darf nicht leer sein" in page
    assert "&lt;b&gt;nobody&lt;/b&gt; has said this %(before)s" in page
    assert 'href="/language?back=/a%3Fb"' in page
    assert [str(problem) for problem in problems][1] == "content: must not be empty"


def test_a_phrase_is_said_and_escaped_wherever_a_page_prints_it() -> None:
    phrase = Phrase("is the name of %(other)s too", other="<b>")
    with speaking(voice("fr")):
        page = PAGES.render("error.html", status=422, title="a", detail=phrase, problems=[], request_id="")
    assert "est aussi le nom de &lt;b&gt;" in page


def test_help_for_terminals_is_in_english() -> None:
    limits = {"max_bytes": 5 * 1024**3, "max_files": 1000, "max_lifetime_seconds": 86_400 * 3}
    with speaking(heard := voice("de")):
        text = PAGES.render("help.txt", limits=limits, site_url="http://x")
    assert "3 days" in text
    assert not heard.was_heard


def test_validators_differ_by_language() -> None:
    versions = set()
    for language in ("en", "de", "he"):
        with speaking(voice(language)):
            versions.add(PAGES.version)
    assert len(versions) == 3
