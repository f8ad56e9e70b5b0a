"""Source with its syntax in colours.

Pygments' expressions can be made to run for ever, so only a process that may be killed uses this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from pygments.lexers import find_lexer_class_by_name
from pygments.token import (
    Comment,
    Error,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
)

from pastebin.services import plaintext, signatures
from pastebin.services.jobs import HTML_CHARACTERS, LINE_CHARACTERS, Answer, CannotRender

# The token types that have a colour in highlight.css, by its class; a type that is not here looks like its parent, and
# what has no coloured ancestor stays without markup.
CLASSES = {
    Comment: "c",
    Comment.Preproc: "cp",
    Comment.PreprocFile: "s",
    Error: "err",
    Generic.Deleted: "gd",
    Generic.Emph: "ge",
    Generic.Error: "gr",
    Generic.Heading: "gh",
    Generic.Inserted: "gi",
    Generic.Prompt: "gp",
    Generic.Strong: "gs",
    Generic.Subheading: "gu",
    Generic.Traceback: "gr",
    Keyword: "k",
    Keyword.Constant: "kc",
    Keyword.Type: "kt",
    Name.Attribute: "na",
    Name.Builtin: "nb",
    Name.Class: "nc",
    Name.Constant: "no",
    Name.Decorator: "nd",
    Name.Entity: "ni",
    Name.Exception: "nc",
    Name.Function: "nf",
    Name.Label: "nl",
    Name.Namespace: "nn",
    Name.Tag: "nt",
    Name.Variable: "nv",
    Number: "m",
    Operator.Word: "k",
    String: "s",
    String.Doc: "c",
    String.Escape: "se",
    String.Interpol: "si",
    String.Regex: "sr",
}


def highlight(content: bytes, syntax: str | None) -> Answer:
    """Highlight one file as `syntax`, or as what its content proves to be."""
    text = plaintext.decode(content)
    syntax = syntax or signatures.recognize(text)
    if syntax is None:
        return Answer(None, trouble="unknown")
    if max(map(len, text.split("\n"))) > LINE_CHARACTERS:
        return Answer(syntax, trouble="long-line")
    try:
        html = "".join(markup(tokens(text, syntax)))
    except CannotRender as reason:
        return Answer(syntax, trouble=reason.trouble)
    return Answer(syntax, html[:-1], html.count("\n"))


def tokens(text: str, syntax: str) -> Iterator[tuple[Any, str]]:
    """(token type, text) of the whole of `text`, which must end with LF.

    Several lexers drop, repeat or refuse what they do not expect. Such a file is not highlighted: what is shown is
    always what was pasted.
    """
    position = 0
    for kind, value in _lex(text, syntax):
        if not text.startswith(value, position):
            raise CannotRender("lexer")
        position += len(value)
        yield kind, value
    if position != len(text):
        raise CannotRender("lexer")


def markup(stream: Iterable[tuple[Any, str]]) -> Iterator[str]:
    """The tokens as HTML in which every element is closed before the end of its line."""
    written = 0
    for style, text in _merged(stream):
        html = "\n".join(_span(style, line) for line in text.split("\n"))
        written += len(html)
        if written > HTML_CHARACTERS:
            raise CannotRender("markup")
        yield html


def _lex(text: str, syntax: str) -> Iterator[tuple[Any, str]]:
    try:
        lexer = find_lexer_class_by_name(syntax)(**_options(text, syntax))
        for _, kind, value in lexer.get_tokens_unprocessed(text):
            yield kind, value
    except MemoryError:
        raise
    except Exception as error:  # 600 lexers by as many authors raise whatever they like
        raise CannotRender("lexer") from error


def _options(text: str, syntax: str) -> dict[str, Any]:
    # without an opening tag the whole of a PHP snippet would count as HTML
    return {"startinline": True} if syntax == "php" and "<?" not in text else {}


def _merged(stream: Iterable[tuple[Any, str]]) -> Iterator[tuple[str, str]]:
    """(class, text) with neighbours of the same class made one."""
    current = ""
    pending: list[str] = []
    for kind, value in stream:
        style = _style(kind)
        if style != current:
            yield current, "".join(pending)
            current = style
            pending = []
        pending.append(value)
    yield current, "".join(pending)


@cache
def _style(kind: Any) -> str:
    if kind is None:
        return ""
    return CLASSES.get(kind) or _style(kind.parent)


def _span(style: str, line: str) -> str:
    html = plaintext.escape(line)
    return f'<span class="{style}">{html}</span>' if style and line and not line.isspace() else html
