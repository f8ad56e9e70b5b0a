"""JSON as a tree: every value as it is written, and nothing that is not JSON."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pastebin.services.jobs import CannotRender
from pastebin.services.renderings.trees import DEPTH, VALUES, draw

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


@given(JSON, st.sampled_from([None, 2]), st.booleans())
def test_every_value_is_there_as_it_is_written(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    tree = draw(text.replace("\u2028", "").replace("\u2029", ""))
    assert (tree.shown, tree.total) == (count(value), count(value))
    assert tree.html.count("<li>") == count(value)
    for tag in ("ul", "li", "details", "summary", "span"):
        assert tree.html.count(f"<{tag}") == tree.html.count(f"</{tag}>")


@given(st.text(st.sampled_from('{}[],:"\\1e.-tn \n')))
def test_what_is_no_json_is_refused(text: str) -> None:
    try:
        json.loads(text, strict=True)
        is_one = True
    except ValueError:
        is_one = False
    try:
        tree = draw(text)
    except CannotRender:
        assert not is_one or re.search(r"(?<!\d)-?0\d|\\", text)
        return
    assert is_one or tree.html.startswith("<ul><li>"), "one value after another"


def test_nothing_is_changed() -> None:
    text = '{"a": 12345678901234567890123, "a": 1.50, "<script>": "\\u003cb\\u003e </script>"}'
    shown = html.unescape(re.sub("<[^>]*>", "", draw(text).html))
    assert shown == '{3}"a": 12345678901234567890123"a": 1.50"<script>": "\\u003cb\\u003e </script>"'


def test_one_value_on_each_line() -> None:
    assert draw('{"a": 1}\n{"a": 2}\n').total == 4


def test_only_so_many_values_are_shown() -> None:
    tree = draw("[" + ",".join(["[1]"] * VALUES) + "]")
    assert VALUES <= tree.shown <= VALUES * 1.01
    assert tree.total == 2 * VALUES + 1
    assert tree.html.count("<li>") < VALUES + 10


def test_no_deeper_than_a_browser_takes() -> None:
    tree = draw("[" * 100_000 + "1" + "]" * 100_000)
    assert tree.html.count("<details") <= DEPTH
    assert tree.total == 100_001
    assert "[\u2026]" in tree.html
