"""Which language a reader gets, and how texts are said in it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin import catalogues, languages
from pastebin.catalogues import LANGUAGES
from pastebin.languages import Choice, Voice, choose, say, speaking
from pastebin.phrases import Phrase


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT, en;q=0.5", "de"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("nl, sv;q=0.9", "en"),
        ("nl, fr;q=0.3, *;q=0.1", "fr"),
        ("*, fr;q=0.5", "en"),
        ("de;q=0, fr", "fr"),
        ("fr;q=0.2,it;q=0.4;,es", "es"),
        ("iw", "he"),
        ("zh-Hant-TW, en;q=0.7", "zh"),
        ("PT-br", "pt"),
        ("de;q=never, ja", "ja"),
        (" ko ;q= 1 ", "ko"),
    ],
)
def test_the_language_wanted_most_that_there_is(accept: str, language: str) -> None:
    assert choose(accept) == language


@given(st.text(max_size=2000))
def test_whatever_is_asked_for_there_is_a_language(accept: str) -> None:
    assert choose(accept) in LANGUAGES


def test_a_flood_of_languages_is_cut_between_two() -> None:
    assert choose("nl," * 1000 + "de") == "en"
    assert choose("fr;q=0.1," + "nl," * 1000) == "fr"


def voice(language: str) -> Voice:
    return Voice(lambda: Choice(language))


def test_a_voice_is_heard_when_something_is_said() -> None:
    spoken = voice("fr")
    with speaking(spoken):
        heard = [spoken.was_heard]
        assert languages.gettext("New paste") == "Nouveau paste"
        heard.append(spoken.was_heard)
    assert heard == [False, True]
    assert languages.gettext("New paste") == "New paste"


def test_phrases_are_english_and_more() -> None:
    phrase = Phrase("must be at most %(num)s seconds here", num=86400)
    assert phrase == "must be at most 86400 seconds here"
    assert orjson.dumps({"message": phrase}) == b'{"message":"must be at most 86400 seconds here"}'
    with speaking(voice("de")):
        assert say(phrase) == "darf hier höchstens 86.400 Sekunden sein"
    days = [Phrase("%(num)s day", "%(num)s days", num=number) for number in (1, 2, 5)]
    assert days == ["1 day", "2 days", "5 days"]
    with speaking(voice("ru")):
        assert [say(one) for one in days] == ["1 день", "2 дня", "5 дней"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_no_catalogue_knows_is_said_as_it_is(language: str) -> None:
    with speaking(voice(language)):
        for text in ("", "nobody %(has)s translated <b>this</b> %", "\ud800"):
            assert say(text) == text


def test_numbers_are_written_as_the_language_writes_them() -> None:
    shown = {}
    for language in ("en", "de", "fr", "ar"):
        with speaking(voice(language)):
            shown[language] = languages.number(1234567.5)
    assert shown == {"en": "1,234,567.5", "de": "1.234.567,5", "fr": "1\u202f234\u202f567,5", "ar": "1,234,567.5"}


def test_every_catalogue_is_there() -> None:
    assert catalogues.edition() == catalogues.edition()
    assert {language for language in LANGUAGES if languages.direction(language) == "rtl"} == {"ar", "he"}
