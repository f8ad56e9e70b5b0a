"""Text as harmless HTML: what the highlighting worker and the node both do to every byte a user sent.

Nothing here depends on a syntax, and no text can make it slow: each step is one linear pass.
"""

from __future__ import annotations

import re

# Explicit embeddings, overrides and isolates (Unicode Standard Annex 9, section 2): they can make code read
# differently from what it does (CVE-2021-42574). The implicit marks U+061C, U+200E and U+200F cannot, and stay.
BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
BIDI_MARK = '<span class="bidi" title="U+'

_REPLACEMENTS = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "\x7f": "\u2421",
    **{chr(code): chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    **{chr(code): "\ufffd" for code in range(0x80, 0xA0)},
    "\u2028": "\ufffd",
    "\u2029": "\ufffd",
    **{control: f'{BIDI_MARK}{ord(control):04X}">\ufffd</span>' for control in BIDI_CONTROLS},
}
_SPECIAL = re.compile(f"[{re.escape(''.join(_REPLACEMENTS))}]")


def decode(content: bytes) -> str:
    """The content as text whose lines all end with LF, the last one too; empty for no content.

    It is read as UTF-8 (without its byte order mark) with U+FFFD for what is not. Lines end with LF or CR LF; a lone CR
    ends a line only in a file without any LF, so that line numbers are those of grep, compilers and editors.
    """
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")
    return text if not text or text.endswith("\n") else f"{text}\n"


def escape(text: str) -> str:
    """HTML that shows `text` and can do nothing else.

    Control characters become control pictures, bidirectional ones a mark that names them; tab and LF stay.
    """
    return _SPECIAL.sub(_replace, text)


def render(content: bytes) -> tuple[str, int]:
    """The lines of `content` as HTML, joined by LF, and how many they are."""
    html = escape(decode(content))
    return html[:-1], html.count("\n")


def _replace(found: re.Match[str]) -> str:
    return _REPLACEMENTS[found[0]]
