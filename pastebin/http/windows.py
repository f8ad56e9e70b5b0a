"""What a page shows of a text that is too large for it: where a window of its lines stands, and where others are."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from pastebin.models import File, Paste


@dataclass(frozen=True, slots=True)
class WindowView:
    """Lines `first` to `last` of a file. Addresses are None where there is nothing more in that direction.

    `html` is the lines, highlighted, of a terminal if `is_screen`. `line_count` is None while the lines are being
    counted. `syntax` is what the reader asked to have them read as, empty for what the file itself says.
    """

    html: Markup
    page: str
    number: int
    first: int
    last: int
    line_count: int | None
    is_cut: bool
    is_screen: bool
    syntax: str
    first_url: str | None
    previous_url: str | None
    next_url: str | None
    last_url: str | None
    text_url: str


def lines_path(paste: Paste, file: File, line: int | str | None = None, **more: str) -> str:
    """Address of the page that shows a file from a line on; the first file and the first line need not be named.

    What is empty of `more` is left out.
    """
    query = {
        **({"file": str(file.position + 1)} if file.position else {}),
        **({"line": str(line)} if line not in (None, 1) else {}),
        **{name: value for name, value in more.items() if value},
    }
    return f"/{paste.slug}/lines{f'?{urlencode(query)}' if query else ''}"
