"""Delimited text as a table."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services.jobs import CannotRender
from pastebin.services.renderings.grids import CELLS, ROWS, draw


def cells(markup: str) -> list[list[str]]:
    """The rows without their numbers, as a reader sees them."""
    body = markup.partition("<tbody>")[2]
    rows = re.findall(r'<tr><th scope="row">\d+</th>(.*?)</tr>\n', body, re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]


def headings(markup: str) -> list[str]:
    return re.findall(r'<th scope="col"[^>]*>(.*?)</th>', markup.partition("<tbody>")[0], re.DOTALL)


@pytest.mark.parametrize(
    ("text", "syntax", "names", "rows"),
    [
        ("name,age\nAda,36\n", "csv", ["name", "age"], [["Ada", "36"]]),
        ("name;age\nA,da;36\n", "csv", ["name", "age"], [["A,da", "36"]]),
        ("name\tage\nAda\t36\n", "tsv", ["name", "age"], [["Ada", "36"]]),
        ("a\tb\n1\t2\n", "csv", ["a", "b"], [["1", "2"]]),
        ("1,2\n3,4\n", "csv", ["1", "2"], [["1", "2"], ["3", "4"]]),
        ('a,b\n"x, ""y""\nz",2\n', "csv", ["a", "b"], [['x, "y"\nz', "2"]]),
        ("a,b\n1\n1,2,3\n", "csv", ["a", "b"], [["1", "", ""], ["1", "2", "3"]]),
        ("alone\n", "csv", ["1"], [["alone"]]),
        ("a,b\n<script>,=cmd()\n", "csv", ["a", "b"], [["<script>", "=cmd()"]]),
    ],
)
def test_rows_and_headings(text: str, syntax: str, names: list[str], rows: list[list[str]]) -> None:
    grid = draw(text, syntax)
    assert headings(grid.html) == names
    assert cells(grid.html) == rows
    assert (grid.shown, grid.total) == (len(rows), len(rows))


def test_numbers_stand_at_the_end() -> None:
    grid = draw("name,price\nx,1.50\ny,-2\nz,\n", "csv")
    assert grid.html.count('class="end"') == 4
    assert '<th scope="col">name' in grid.html


def test_only_so_many_rows_are_shown() -> None:
    grid = draw("a,b\n" + "1,2\n" * (ROWS * 2), "csv")
    assert (grid.shown, grid.total) == (ROWS, ROWS * 2)
    wide = draw("\n".join([",".join("1" * 300)] * 1000) + "\n", "csv")
    assert wide.shown <= CELLS // 200 + 1 < wide.total == 1000
    assert "\u2026" in wide.html


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_nothing_is_no_table(text: str) -> None:
    with pytest.raises(CannotRender):
        draw(text, "csv")


CELL = st.text(st.sampled_from('ab1 ,;"<&\n'), min_size=1)


@given(st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=5))
def test_every_cell_is_there(rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    grid = draw(written.getvalue(), "tsv")
    shown = [html.unescape(name) for name in headings(grid.html)] + [cell for row in cells(grid.html) for cell in row]
    assert [cell for row in rows for cell in row] == [cell for cell in shown if cell][-sum(map(len, rows)) :]
