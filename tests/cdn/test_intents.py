"""What a request says about itself before the cache is asked."""

from __future__ import annotations

import pytest

from pastebin.cdn.intents import cookie_names


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("", set()),
        ("owner=t", {"owner"}),
        ("theme=dark;owner=t", {"theme", "owner"}),
        ("theme=dark;\t owner \t=t; x", {"theme", "owner"}),
        ("theme=owner=t", {"theme"}),
        ('theme="a;owner=t"', {"theme", "owner"}),  # one too many does no harm
        ("a=1;" + " " * 8000 + "x", {"a"}),  # not in cubic time
        (" " * 8000, set()),
    ],
)
def test_the_names_of_cookies(line: str, names: set[str]) -> None:
    assert cookie_names(line) == names
