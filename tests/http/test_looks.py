"""What the cookie of looks can say, and what becomes of it."""

from __future__ import annotations

from itertools import product
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.looks import CHOICES, Look

EVERY = [Look(*values) for values in product(*CHOICES.values())]


def test_the_first_choices_are_those_of_who_has_chosen_nothing() -> None:
    assert Look() == Look(*(next(iter(choices)) for choices in CHOICES.values())) == Look.of(None) == Look.of("")
    assert Look().cookie == ""
    assert ":root" not in Look().css


def test_every_look_comes_back_from_its_cookie() -> None:
    for look in EVERY:
        assert Look.of(look.cookie) == look
        assert unquote(look.cookie) == look.cookie
        assert len(look.cookie) < 100


def test_every_look_has_a_style_sheet_of_its_own() -> None:
    assert len({look.css for look in EVERY}) == len(EVERY)


def test_paper_stays_light() -> None:
    assert Look(theme="dark").css.startswith("@media screen {")


@given(
    st.text() | st.lists(st.sampled_from(["theme", "dark", "-", ".", "wrap", "on", ";", "}", "size-huge"])).map("".join)
)
def test_whatever_a_cookie_says_only_what_is_known_counts(cookie: str) -> None:
    assert Look.of(cookie) in EVERY
    assert Look.of(cookie).css in {look.css for look in EVERY}


@pytest.mark.parametrize("asked", [{"theme": "pink"}, {"tab": "80"}, {"wrap": ""}, {"pink": "theme"}])
def test_what_is_no_choice_changes_nothing(asked: dict[str, str]) -> None:
    look = Look(theme="dark", wrap="on", tab="8")
    assert look.changed(asked) == look
