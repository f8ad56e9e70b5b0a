"""Tables as text for spreadsheets: RFC 4180, and no cell that one would take for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"

# What makes a spreadsheet compute; a tab or a carriage return before it is skipped by some of them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def of_rows(kind: type[Any], rows: Iterable[Any]) -> bytes:
    """One line for each row, a dataclass of this kind; the names of its members stand above."""
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    return of_cells(names, ([getattr(row, name) for name in names] for row in rows))


def of_cells(names: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """RFC 4180, section 2: lines end with CRLF, cells that need it are quoted."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
