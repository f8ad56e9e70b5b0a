"""Lines from the midst of a text as HTML. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pastebin.services.lines_window import Line


def window_html(lines: Sequence[Line], html: Sequence[str], first: int, prefix: str = "") -> str:
    """The lines for a `<pre>`, as `rendering.page_html` makes them, but each brings its number along.

    `html` is that of each line, harmless already. What is cut ends with a mark. `prefix` stands in ids as it is.
    """
    made = []
    for number, (line, shown) in enumerate(zip(lines, html, strict=True), first):
        cut = "" if line.hidden == 0 else '<span class="cut" aria-hidden="true">…</span>'
        made.append(
            f'<span class="line" id="{prefix}L{number}"><a class="n" href="#{prefix}L{number}" data-n="{number}"'
            f' aria-hidden="true" tabindex="-1"></a>{shown}{cut}\n</span>'
        )
    return "".join(made)
