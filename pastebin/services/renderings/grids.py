"""Delimited text (RFC 4180 and its relatives) as a table."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from pastebin.services import plaintext
from pastebin.services.jobs import HTML_CHARACTERS, CannotRender

ROWS = 2000
CELLS = 40_000
COLUMNS = 200

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"(?:[^"]|"")*+"?')
# Also with a sign, groups of three, a unit of per cent: what people align at its end.
_NUMBER = re.compile(r"\s*+[+\-\u2212]?[$\u20ac\u00a3]?\d[\d,._' \u202f]*+(?:[eE][+-]?\d++)?\s?%?\s*+")


@dataclass(frozen=True, slots=True)
class Grid:
    """The first `shown` of `total` rows as HTML; the row of headings does not count."""

    html: str
    shown: int
    total: int


def draw(text: str, syntax: str) -> Grid:
    """The table. A first row without any number is the headings. Raises CannotRender."""
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    delimiter = "\t" if syntax == "tsv" else _delimiter(text)
    rows: list[list[str]] = []
    total = cells = 0
    try:
        for row in csv.reader((f"{line}\n" for line in text.split("\n")), delimiter=delimiter):
            if not row:
                continue
            total += 1
            if len(rows) <= ROWS and cells < CELLS:
                rows.append(row if len(row) <= COLUMNS else [*row[:COLUMNS], "\u2026"])
                cells += len(rows[-1])
    except csv.Error as error:
        raise CannotRender("malformed") from error
    if not rows:
        raise CannotRender("malformed")
    headings = rows.pop(0) if len(rows) > 1 and _is_heading(rows[0]) else None
    rows = rows[:ROWS]
    html = _html(headings, rows)
    if len(html) > HTML_CHARACTERS:
        raise CannotRender("markup")
    return Grid(html, len(rows), total - (headings is not None))


def _delimiter(text: str) -> str:
    """The one that the first line has most of, outside of what is quoted."""
    line = _QUOTED.sub("", text[:10_000]).partition("\n")[0]
    return max(_DELIMITERS, key=line.count)


def _is_heading(row: list[str]) -> bool:
    return all(cell.strip() and not _NUMBER.fullmatch(cell) for cell in row)


def _html(headings: list[str] | None, rows: list[list[str]]) -> str:
    width = max(map(len, [headings or [], *rows]))
    ends = [_is_numeric(rows, column) for column in range(width)]
    names = headings if headings is not None else [str(column + 1) for column in range(width)]
    names += [""] * (width - len(names))
    head = "".join(
        f'<th scope="col"{_class(is_end)}>{plaintext.escape(name)}</th>' if name else f"<td{_class(is_end)}></td>"
        for name, is_end in zip(names, ends, strict=True)
    )
    body = "".join(f'<tr><th scope="row">{number}</th>{_cells(row, ends)}</tr>\n' for number, row in enumerate(rows, 1))
    return f"<thead><tr><td></td>{head}</tr></thead>\n<tbody>\n{body}</tbody>"


def _cells(row: list[str], ends: list[bool]) -> str:
    cells = [f"<td{_class(is_end)}>{plaintext.escape(cell)}</td>" for cell, is_end in zip(row, ends, strict=False)]
    return "".join(cells) + "<td></td>" * (len(ends) - len(row))


def _is_numeric(rows: list[list[str]], column: int) -> bool:
    cells = [row[column] for row in rows if len(row) > column and row[column]]
    return bool(cells) and all(map(_NUMBER.fullmatch, cells))


def _class(is_end: bool) -> str:
    return ' class="end"' if is_end else ""
