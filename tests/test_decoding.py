"""Outside data becomes Structs, or a list of everything that is wrong with it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from pastebin.decoding import decode


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=5)] | None = None
    size: Annotated[int, Meta(ge=0)] = 0


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    mode: Literal["fast", "slow"] = "fast"
    modes: list[Literal["a", "b"]] = []
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    urgent: bool = False
    renamed: int = msgspec.field(default=0, name="outside")
    part: Part | None = None
    parts: Annotated[list[Part], Meta(min_length=1, max_length=3)] | None = None
    pieces: Annotated[list[Part], Meta(max_length=2)] = []
    at: datetime | None = None
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


def problems(data: dict[str, Any], **options: Any) -> list[str]:
    decoded, found = decode(Order, data, **options)
    assert (decoded is None) == bool(found)
    return [str(problem) for problem in found]


def test_what_is_right_becomes_a_struct() -> None:
    decoded, found = decode(
        Order,
        {
            "title": "t",
            "mode": "slow",
            "outside": 7,
            "part": {"name": "a"},
            "parts": [{"size": 1}, {"size": 2}],
        },
    )
    assert found == []
    assert decoded == Order(title="t", mode="slow", renamed=7, part=Part(name="a"), parts=[Part(size=1), Part(size=2)])


def test_everything_wrong_is_told_at_once() -> None:
    wrong = {
        "bogus": 1,
        "mode": "medium",
        "count": 10,
        "part": {"name": "", "bogus": 2},
        "parts": [{"size": -1}, 7, {"name": "too long"}],
    }
    assert problems(wrong) == [
        "bogus: is not known here;"
        " allowed: at, count, high, low, mode, modes, outside, part, parts, pieces, title, urgent",
        "title: is required",
        "mode: must be one of fast, slow",
        "count: expected integer <= 9",
        "part.bogus: is not known here; allowed: name, size",
        "part.name: expected string of length >= 1",
        "parts[0].size: expected integer >= 0",
        "parts[1]: must be an object",
        "parts[2].name: expected string of length <= 5",
    ]


def test_what_is_allowed_is_said_once_and_only_so_many_problems_are_told() -> None:
    named = ["a, b"] + ["x" * 1000] + [f"{number}" for number in range(500)]
    told = problems({"title": "t", "part": dict.fromkeys(named)})
    assert told[0] == "part.a, b: is not known here; allowed: name, size"
    assert told[1].startswith("part.xxx")
    assert len(told[1]) < 150
    assert told[2] == "part.0: is not known here"
    assert (len(told), told[-1]) == (101, "and 402 more problems")


def test_the_place_begins_with_the_path_of_the_caller() -> None:
    assert problems({"title": 1}, path="order.") == ["order.title: expected string, got integer"]


@pytest.mark.parametrize("number", [0, 4])
def test_the_length_of_a_list_of_structs_counts(number: int) -> None:
    limit = "array of length >= 1" if number == 0 else "array of length <= 3"
    assert problems({"title": "t", "parts": [{}] * number}) == [f"parts: expected {limit}"]
    assert problems({"title": "t", "pieces": [{}] * 4}) == ["pieces: expected array of length <= 2"]


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("mode", 3, "expected string, got integer"),
        ("modes", "a", "expected array, got string"),
        ("modes", ["a", "c"], "must be one of a, b"),
        ("part", [], "expected object or null, got array"),
        ("parts", {"name": "a"}, "expected array or null, got object"),
        ("urgent", "yes", "expected boolean, got string"),
        ("at", "tomorrow", "must be a date and time (RFC 3339), such as 2030-01-31T12:00:00Z"),
        ("at", 7.5, "expected date and time or null, got number"),
    ],
)
def test_a_wrong_kind_is_named(member: str, value: Any, expected: str) -> None:
    assert problems({"title": "t", member: value}) == [f"{member}: {expected}"]


def test_rules_about_several_members_speak_for_the_whole() -> None:
    assert problems({"title": "t", "low": 5, "high": 4}) == ["low must not be above high"]


def test_form_text_stands_for_numbers_where_it_is_asked_for() -> None:
    text = {"title": "t", "count": "7", "urgent": "true"}
    assert problems(text) == ["count: expected integer, got string", "urgent: expected boolean, got string"]
    decoded, _ = decode(Order, text, strict=False)
    assert decoded == Order(title="t", count=7, urgent=True)


MEMBERS = [field.encode_name for kind in (Order, Part) for field in msgspec.structs.fields(kind)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS) | st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=6), JSON, max_size=8), st.booleans())
def test_anything_is_decoded_or_explained(data: dict[str, Any], strict: bool) -> None:
    """Never an exception; and one answer or the other, never both."""
    decoded, found = decode(Order, data, strict=strict)
    assert (decoded is None) == bool(found)
    assert all(problem.message for problem in found)


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=8))
def test_it_is_as_strict_as_msgspec(data: dict[str, Any]) -> None:
    """Taking the members apart lets nothing through that the whole would refuse, and refuses nothing more."""
    data = {"title": "t", **data}
    decoded, _ = decode(Order, data)
    try:
        whole = msgspec.convert(data, Order)
    except msgspec.ValidationError:
        whole = None
    assert decoded == whole
