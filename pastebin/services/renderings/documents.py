"""Markdown as GitHub reads it, with whatever HTML it holds made harmless.

The text goes through CommonMark, tables, strikethrough, footnotes, task lists and bare links, then through a sanitiser
that knows a list of elements and attributes. No picture is fetched from elsewhere: it becomes a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from pastebin.services import highlighter, plaintext, syntaxes
from pastebin.services.jobs import HTML_CHARACTERS, CannotRender
from pastebin.services.renderings.placing import ID, SIBLING

_TAGS = frozenset(
    re.findall(
        r"\w+",
        "a abbr b bdi bdo blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption"
        " figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q rp rt ruby s samp section small span strike"
        " strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr",
    )
)
_ATTRIBUTES = {
    "*": {"dir", "id", "title"},
    "a": {"href"},
    "details": {"open"},
    "img": {"alt", "height", "src", "width"},
    "li": {"value"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_CLASSES = {
    "li": {"task"},
    "section": {"footnotes"},
    "span": {"bidi", *highlighter.CLASSES.values()},
    "td": {"center", "end"},
    "th": {"center", "end"},
}
# Their text is no text.
_REMOVED = {"iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "template", "textarea", "xmp"}
_SCHEMES = {"data", "http", "https", "mailto"}
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(?:png|gif|jpeg|webp);base64,[A-Za-z0-9+/=\s]*+", re.IGNORECASE)
_HAS_SCHEME = re.compile(r"[\s\x00-\x20]*(?:[A-Za-z][A-Za-z0-9+.-]*:|[/\\]{2})")
_WORD = re.compile(r"[\w.-]{1,200}")
_HEADING = re.compile(r"(</?h)([1-6])(?=[\s>/])", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\](?=\s)")
_SPAN_LIMIT = 100  # columns or rows that one cell takes
_ALIGNED = {"text-align:center": "center", "text-align:right": "end"}
_NUMBERS = frozenset({"colspan", "rowspan", "start", "value", "height", "width"})

_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {
    0x7F: 0x2421,
    **dict.fromkeys((*range(0x80, 0xA0), ord(ID), ord(SIBLING), *map(ord, plaintext.BIDI_CONTROLS[:5])), 0xFFFD),
}


def draw(text: str) -> str:
    """The document as HTML. Raises CannotRender."""
    html = nh3.clean(
        _parser().render(text.translate(_CONTROLS)),
        tags=set(_TAGS),
        clean_content_tags=_REMOVED,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        allowed_classes=_CLASSES,
        url_schemes=_SCHEMES,
        link_rel="nofollow noopener noreferrer ugc",
    )
    if len(html) > HTML_CHARACTERS:
        raise CannotRender("markup")
    return html


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "linkify": True, "highlight": _highlighted})
    parser.enable(["linkify", "strikethrough", "table"]).use(footnote_plugin)
    # else every `setup.py` is an address in Paraguay
    parser.linkify.set({"fuzzy_link": False})  # type: ignore[union-attr]
    parser.core.ruler.push("page", _fit)
    return parser


def _highlighted(code: str, language: str, _attributes: str) -> str:
    syntax = syntaxes.find(language)
    text = code if code.endswith("\n") else f"{code}\n"
    if syntax is None or syntax.is_plain or max(map(len, text.split("\n"))) > 1000:
        return plaintext.escape(code)
    try:
        return "".join(highlighter.markup(highlighter.tokens(text, syntax.name)))
    except CannotRender:
        return plaintext.escape(code)


def _fit(state: StateCore) -> None:
    """Make the document a part of a page: headings below the page's own with ids, no style, no foreign pictures."""
    seen: dict[str, int] = {}
    tokens = state.tokens
    for index, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
            if token.nesting == 1:
                token.attrSet("id", _unique(_slug(tokens[index + 1]), seen))
        elif token.type == "html_block":
            token.content = _lowered(token.content)
        elif token.type in ("td_open", "th_open"):
            if (name := _ALIGNED.get(str(token.attrs.pop("style", "")))) is not None:
                token.attrSet("class", name)
        elif token.type == "inline" and token.children is not None:
            if index > 1 and tokens[index - 2].type == "list_item_open":
                _check(tokens[index - 2], token.children)
            token.children = list(_pictures(token.children))


def _lowered(html: str) -> str:
    return _HEADING.sub(lambda found: f"{found[1]}{min(int(found[2]) + 2, 6)}", html)


def _slug(heading: Token) -> str:
    text = "".join(child.content for child in heading.children or () if child.type in ("text", "code_inline"))
    return re.sub(r"[^\w -]", "", text.strip().lower())[:100].replace(" ", "-") or "section"


def _unique(slug: str, seen: dict[str, int]) -> str:
    count = seen.get(slug, 0)
    seen[slug] = count + 1
    return f"{slug}-{count}" if count else slug


def _check(item: Token, children: Sequence[Token]) -> None:
    """A task of a list has a box that needs no element of a form."""
    if children and children[0].type == "text" and (found := _TASK.match(children[0].content)) is not None:
        box = "\u2610" if found[1] == " " else "\u2611"
        children[0].content = box + children[0].content[found.end() :]
        item.attrSet("class", "task")


def _pictures(children: Sequence[Token]) -> Iterator[Token]:
    """Pictures from elsewhere as links to them, or, where they stand in a link already, as what they are called."""
    depth = 0
    for token in children:
        if token.type == "html_inline":
            token.content = _lowered(token.content)
        depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        source = str(token.attrGet("src") or "") if token.type == "image" else ""
        if token.type != "image" or not _HAS_SCHEME.match(source) or _PICTURE.fullmatch(source):
            yield token
            continue
        title = "".join(child.content for child in token.children or ()) or source
        text = Token("text", "", 0, content=title)
        yield from (
            (text,)
            if depth
            else (Token("link_open", "a", 1, attrs={"href": source}), text, Token("link_close", "a", -1))
        )


def _attribute(element: str, name: str, value: str) -> str | None:
    """What becomes of an attribute of the list; None takes it away."""
    if name == "id":
        return f"{ID}{value}" if _WORD.fullmatch(value) else None
    if name == "dir":
        return value if value in ("ltr", "rtl", "auto") else None
    if name in _NUMBERS:
        return value if value.isascii() and value.isdigit() and len(value) < 5 and _is_span(name, value) else None
    if element == "a" and name == "href":
        return _target(value) if not value.startswith("#") else f"#{ID}{value[1:]}"
    if name == "src":
        return value if _PICTURE.fullmatch(value) else _sibling(value)
    return value


def _is_span(name: str, value: str) -> bool:
    return name not in ("colspan", "rowspan") or int(value) <= _SPAN_LIMIT


def _target(value: str) -> str | None:
    return value if _LINK.match(value) else _sibling(value)


def _sibling(value: str) -> str | None:
    """An address beside the document: of another file of the paste, if there is one."""
    return None if _HAS_SCHEME.match(value) or value.startswith("/") else f"{SIBLING}{value}"
