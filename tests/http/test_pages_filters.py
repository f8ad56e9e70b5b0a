"""The filters of the templates: how hostile text, sizes and moments are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import Problem
from pastebin.http import pages


def test_names_are_isolated_and_show_what_they_hide() -> None:
    assert pages.name("a\r\n<b>\u202egnp.exe\x7f\x85") == "<bdi>a\u240d\u240a&lt;b&gt;\ufffdgnp.exe\u2421\ufffd</bdi>"


def test_scripts_and_emoji_keep_their_joiners() -> None:
    for text in ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f4bb", "שלום.txt"):
        assert pages.visible(text) == text


@given(st.text())
def test_visible_text_is_one_line_and_stays_as_it_is(text: str) -> None:
    shown = pages.visible(text)
    assert len(shown) == len(text)
    assert len(shown.splitlines()) <= 1
    assert pages.visible(shown) == shown
    shown.encode()


def test_problems_find_their_fields() -> None:
    problems = [Problem("files[0].name", "is empty"), Problem("expires_at", "is past"), Problem("slug", "is taken")]
    assert pages.about(problems, "file") == ["files[0].name: is empty"]
    assert pages.about(problems, "expires_at") == ["is past"]
    assert pages.elsewhere(problems, {"file", "expires_at"}) == [problems[2]]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1 MiB"),
        (5 * 1024**3, "5 GiB"),
        (1024**6, "1024 PiB"),
    ],
)
def test_filesize(size: int, text: str) -> None:
    assert pages.filesize(size) == text


@given(st.integers(min_value=0, max_value=2**60))
def test_filesize_is_off_by_less_than_a_tenth(size: int) -> None:
    amount, unit = pages.filesize(size).split()
    power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    assert abs(float(amount) - size / 1024**power) <= 0.0501
    assert len(amount) <= 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (86_400, "1 day"),
        (2_592_000, "30 days"),
        (7200, "2 hours"),
        (5400, "90 minutes"),
        (61, "61 seconds"),
        (1, "1 second"),
    ],
)
def test_duration(seconds: int, text: str) -> None:
    assert pages.duration(seconds) == text


def test_moment_is_utc_wherever_it_comes_from() -> None:
    at = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
    expected = '<time datetime="2026-11-22T10:00:30Z">2026-11-22 10:00 UTC</time>'
    assert pages.moment(at) == expected
    assert pages.moment(at.astimezone(timezone(timedelta(hours=5, minutes=30)))) == expected
