"""The program that searches: each line is asked alone, wherever the text was cut on its way, by either engine."""

from __future__ import annotations

import builtins
import io
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services import confinement, lines_grep
from pastebin.services.lines_grep import LENGTH, Question, Refused, compiled, excerpt, serve

# what both engines and the oracle understand alike
PATTERNS = ["a", "^a", "b$", "^$", "a.*b", r"\s", r"[^x]+", "(a|bc)+", "", "x*", r"a\b"]
BODIES = st.lists(st.sampled_from([b"\n", b"a", b"bc", b" ", b"b", b"x", b"\n\n"]), max_size=40).map(b"".join)


@pytest.fixture(params=["re2", "re"], autouse=True)
def _engine(request: pytest.FixtureRequest) -> Iterator[None]:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "re2":
            raise ImportError(name)
        return real(name, *rest)

    with patch.object(builtins, "__import__", real if request.param == "re2" else without):
        yield


def question(text: str, **options: Any) -> Question:
    given = {"is_regex": True, "ignores_case": False, "line": 1, "limit": 1000, "cpu_seconds": 60.0, **options}
    return Question(text, **given)


def ask(what: Question, *texts: list[bytes]) -> list[list[Any]]:
    """What the program says to texts that arrive in these chunks."""
    members = {name: getattr(what, name) for name in Question.__slots__}
    frames = [json.dumps(members).encode(), *(chunk for text in texts for chunk in (*filter(None, text), b""))]
    said = io.BytesIO()
    with patch.object(confinement, "limit_cpu"):
        serve(io.BytesIO(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames)), said)
    return [json.loads(line) for line in said.getvalue().splitlines()]


def found(said: list[list[Any]]) -> list[tuple[int, str, str, str]]:
    return [tuple(rest) for word, *rest in said if word == "found"]


@given(st.sampled_from(PATTERNS), BODIES, st.lists(st.integers(0, 100)))
def test_it_finds_what_asking_each_line_finds(pattern: str, body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    lines = [line.removesuffix(b"\n") for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", body)]
    expected = []
    for number, line in enumerate(lines, 1):
        if match := re.search(pattern.encode(), line):
            texts = (line[: match.start()], match[0], line[match.end() :])
            expected.append((number, *(text.decode() for text in texts)))
    said = ask(question(pattern), [body[start:stop] for start, stop in pairwise(edges)])
    assert found(said) == expected
    assert said[-2:] == [["text"], ["done"]]


def test_literal_text_is_no_expression() -> None:
    assert found(ask(question("a.b(", is_regex=False), [b"aXb(\nsay a.b(c\n"])) == [(2, "say ", "a.b(", "c")]


def test_case_can_be_ignored() -> None:
    lines = [b"Warning\nwarning\nWARN\n"]
    assert [line for line, *_ in found(ask(question("warn", is_regex=False), lines))] == [2]
    for is_regex in (False, True):
        assert len(found(ask(question("wARn", is_regex=is_regex, ignores_case=True), lines))) == 3


def test_it_says_how_far_it_has_come_and_goes_from_text_to_text() -> None:
    said = ask(question("x", line=7), [b"a\nx\n", b"b\n"], [], [b"x"])
    assert said == [
        *(["found", 8, "", "x", ""], ["passed", 9], ["passed", 10], ["text"]),
        *(["text"], ["found", 1, "", "x", ""], ["passed", 1], ["text"], ["done"]),
    ]


def test_enough_is_enough() -> None:
    said = ask(question("x", limit=2), [b"x\n" * 10])
    assert [word for word, *_ in said] == ["found", "found", "done"]


def test_a_line_without_an_end_is_searched_in_pieces_and_found_once() -> None:
    with patch.object(lines_grep, "PIECE_BYTES", 10):
        said = ask(question("x"), [b"x" * 8, b"x" * 8, b"x" * 8 + b"\nx\n"])
    assert [line for line, *_ in found(said)] == [1, 2]


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "*", "(?P<x"])
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    with pytest.raises(Refused):
        compiled(question(pattern))
    ((word, why),) = ask(question(pattern), [b"x\n"])
    assert (word, bool(why)) == ("refused", True)


@given(st.binary(max_size=2000), st.integers(0, 2000), st.integers(0, 2000))
def test_what_is_shown_of_a_line_is_bounded(line: bytes, start: int, length: int) -> None:
    start = min(start, len(line))
    before, match, after = excerpt(line, start, min(start + length, len(line)))
    assert len(before) <= 160
    assert len(match) <= 320
    assert len(after) <= 160
