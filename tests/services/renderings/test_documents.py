"""Markdown as a document: what it can say, and what it can never do."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.services.renderings.documents import draw
from pastebin.services.renderings.placing import ID, SIBLING, Sibling, placed
from tests.browser.payloads import MARKDOWN, TEXTS


class Elements(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def check(html: str) -> None:
    """Nothing that runs, loads, submits, or reaches out of its place."""
    for tag, attributes in Elements(html).found:
        assert tag not in {
            "script",
            "style",
            "iframe",
            "object",
            "embed",
            "form",
            "input",
            "button",
            "svg",
            "math",
            "link",
        }
        for name, value in attributes.items():
            assert not name.startswith("on"), html
            assert name not in {"style", "srcset", "action", "formaction", "background", "ping", "target"}
            if name == "href":
                assert re.match(rf"(?:https?://|mailto:|#{ID}|{SIBLING})", value or "", re.IGNORECASE), html
            if name == "src":
                assert re.match(
                    rf"(?:data:image/(?:png|gif|jpeg|webp);base64,|{SIBLING})", value or "", re.IGNORECASE
                ), html
            if name == "id":
                assert (value or "").startswith(ID)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# One\n## Two", "<h3>One</h3>\n<h4>Two</h4>\n"),
        ("a | b\n--|--:\n1 | 2", '<th class="end">b</th>'),
        ("~~gone~~", "<s>gone</s>"),
        ("- [ ] to do\n- [x] done", '<li class="task">☑ done</li>'),
        ("see https://example.org/a?b=1", '<a href="https://example.org/a?b=1"'),
        ("run setup.py", "<p>run setup.py</p>"),
        ("word[^1]\n\n[^1]: the note", '<section class="footnotes">'),
        ("```python\nx = 1\n```", '<pre><code>x = <span class="m">1</span>\n</code></pre>'),
        ("```\n<b>\n```", "<pre><code>&lt;b&gt;\n</code></pre>"),
        ("<details><summary>More</summary>\n\ntext\n\n</details>", "<details><summary>More</summary>"),
        ("![a picture](https://evil.example/x.png)", '<a href="https://evil.example/x.png"'),
        ("\x00\x07", "<p>\u2400\u2407</p>"),
    ],
)
def test_what_it_says(text: str, html: str) -> None:
    assert html in re.sub(rf' id="{ID}[^"]*"', "", draw(text))


def test_headings_have_names_of_their_own() -> None:
    html = placed(draw("# Same\n# Same\n[up](#same)"), "f2-", {})
    assert re.findall(r'id="([^"]*)"', html) == ["f2-user-content-same", "f2-user-content-same-1"]
    assert 'href="#f2-user-content-same"' in html


def test_files_beside_it_are_found_by_name() -> None:
    files = {
        "img/a b.png": Sibling("#file-2", "/slug/raw/img%2Fa%20b.png"),
        "notes.md": Sibling("#file-3"),
    }
    text = "![p](img/a%20b.png) [n](./notes.md#top) [gone](gone.md) ![n](notes.md) [out](//evil.example) [root](/admin)"
    html = placed(draw(text), "", files)
    assert 'src="/slug/raw/img%2Fa%20b.png"' in html
    assert re.findall(r'href="([^"]*)"', html) == ["#file-3"]
    assert SIBLING not in html


def test_text_that_looks_like_a_file_beside_it_stays_text() -> None:
    html = draw('<p> href="&#xFDD1;<i title="x">a</i> src="&#xFDD1;<b title="y">b</b></p>')
    assert SIBLING in html
    assert placed(html, "", {}).count("<") == html.count("<")


@pytest.mark.parametrize("text", [*TEXTS, *MARKDOWN])
def test_hostile_documents(text: str) -> None:
    check(draw(text))


SCRAPS = st.lists(
    st.sampled_from(
        [
            *(
                "<",
                ">",
                "</",
                "<a href=",
                "<img src=",
                "javascript:alert(1)",
                "data:text/html,x",
                "on",
                "error=",
                '"',
                "'",
                "`",
            ),
            *(
                "[",
                "](",
                ")",
                "![",
                "<!--",
                "-->",
                "<svg>",
                "<math>",
                "<style>",
                "</style>",
                "<p>",
                "<table>",
                "\n",
                "\n\n",
            ),
            *(
                "&#106;",
                "&colon;",
                "\t",
                "\0",
                "x",
                ID,
                SIBLING,
                "id=x",
                "<b ",
                "//evil.example",
                "#",
                "|",
                "-|-",
                "```",
            ),
        ]
    ),
    max_size=30,
).map("".join)


@settings(deadline=None)
@given(SCRAPS)
def test_whatever_is_put_together_does_nothing(text: str) -> None:
    html = draw(text)
    check(html)
    assert "<script" not in html.lower()
