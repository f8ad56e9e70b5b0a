"""Tables for spreadsheets hold what was put in, and no formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services import tables


def read(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2)))
def test_every_cell_comes_back(rows: list[list[str]]) -> None:
    found = read(tables.of_cells(["a", "b"], rows))
    assert found[0] == ["a", "b"]
    assert [[cell.removeprefix("'") for cell in row] for row in found[1:]] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(text: str) -> None:
    (_, (cell,)) = read(tables.of_cells(["a"], [[text]]))
    assert cell == f"'{text}"


def test_numbers_stay_numbers_and_lines_end_as_they_should() -> None:
    assert tables.of_cells(["a", "b"], [[-1, 'say "hi"']]) == b'a,b\r\n-1,"say ""hi"""\r\n'
