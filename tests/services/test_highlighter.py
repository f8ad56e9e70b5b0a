from __future__ import annotations

import html
import io
import re
import resource
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.token import Keyword

import pastebin
from pastebin.services import highlighter, jobs, plaintext, renderer
from pastebin.services.highlighter import CLASSES, highlight
from pastebin.services.jobs import LINE_CHARACTERS, Answer, Job

OURS = re.compile(r'<span class="[a-z]{1,4}">|<span class="bidi" title="U\+[0-9A-F]{4}">|</span>')
STYLES = (Path(pastebin.__file__).parent / "static" / "highlight.css").read_text()
LIGHT = ("#ffffff", "#f6f8fa", "#f8f7f4", "#fff3c4")
DARK = ("#0d1117", "#131618", "#161b22", "#1a1e21", "#3b3517")


def shown(answer: Answer) -> str:
    """What a reader sees: our own elements taken away, the escapes undone."""
    assert answer.html is not None
    text = OURS.sub("", answer.html)
    assert not set(text) & {"<", ">"}
    return html.unescape(text)


def plainly(content: bytes) -> str:
    return html.unescape(OURS.sub("", plaintext.render(content)[0]))


def test_tokens_get_classes() -> None:
    answer = highlight(b"def f(x):\n    return x + 1  # one\n", "python")
    assert answer.html == (
        '<span class="k">def</span> <span class="nf">f</span>(x):\n'
        '    <span class="k">return</span> x + <span class="m">1</span>  <span class="c"># one</span>'
    )
    assert (answer.syntax, answer.line_count, answer.trouble) == ("python", 2, None)


def test_a_token_over_several_lines_is_closed_and_opened_again() -> None:
    answer = highlight(b'x = """a\n\n  <b>\n"""', "python")
    assert answer.html is not None
    assert answer.html.split("\n") == [
        'x = <span class="s">&quot;&quot;&quot;a</span>'.replace("&quot;", '"'),
        "",
        '<span class="s">  &lt;b&gt;</span>',
        '<span class="s">"""</span>',
    ]


def test_php_without_its_tag_is_still_php() -> None:
    answer = highlight(b"echo $x;\n", "php")
    assert answer.html == '<span class="k">echo</span> <span class="nv">$x</span>;'


@pytest.mark.parametrize(
    ("content", "syntax", "trouble"),
    [
        (b"just some words\n", None, "unknown"),
        (b"x = 1;" * LINE_CHARACTERS, "javascript", "long-line"),
        (b"1\n" * 2**20, "python", "markup"),
    ],
)
def test_what_is_not_highlighted(
    content: bytes, syntax: str | None, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(highlighter, "HTML_CHARACTERS", 10_000)
    assert highlight(content, syntax) == Answer(syntax, trouble=trouble)  # type: ignore[arg-type]


def test_a_lexer_that_drops_text_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful:
        def get_tokens_unprocessed(self, text: str) -> list[tuple[int, object, str]]:
            return [(0, Keyword, text[1:])]

    class Failing:
        def get_tokens_unprocessed(self, text: str) -> list[tuple[int, object, str]]:
            raise KeyError(text)

    for lexer in (Forgetful, Failing):
        monkeypatch.setattr(highlighter, "find_lexer_class_by_name", lambda _, lexer=lexer: lexer)
        assert highlight(b"secret\n", "python") == Answer("python", trouble="lexer")


def test_content_decides_where_nothing_is_said() -> None:
    assert highlight(b'package main\n\nfunc main() {\n\tfmt.Println("hi")\n}\n', None).syntax == "go"


SYNTAXES = st.sampled_from(
    ["python", "c", "html", "javascript", "diff", "console", "markdown", "json", "bash", "php", "rhtml", "yaml", "tex"]
)
SCRAPS = st.lists(
    st.sampled_from(
        ['"""', "'", "<b>", "&", "\r\n", "\n", "\r", "\0", "\u202e", "/*", "#", " ", "x", "{", "$ ", "```\n"]
    )
).map("".join)


@settings(deadline=None)
@given(st.binary(max_size=200) | SCRAPS.map(str.encode), SYNTAXES)
def test_whatever_it_is_the_page_shows_it_and_nothing_else(content: bytes, syntax: str) -> None:
    answer = highlight(content, syntax)
    if answer.html is None:
        assert answer.trouble == "lexer"
        return
    assert shown(answer) == plainly(content)
    assert answer.line_count == plaintext.decode(content).count("\n")
    for line in answer.html.split("\n"):
        assert line.count("<span") == line.count("</span>"), "each line stands on its own"


@pytest.fixture
def processor_time() -> Iterator[None]:
    """What a conversation limits is the whole process: here that of the tests, which would be killed much later."""
    limits = resource.getrlimit(resource.RLIMIT_CPU)
    yield
    resource.setrlimit(resource.RLIMIT_CPU, limits)


@pytest.mark.usefixtures("processor_time")
def test_a_conversation() -> None:
    said = io.BytesIO(jobs.frame(Job(b"x = 1\n", "python", 60)) + jobs.frame(Job(b"hello\n", None, 60)))
    heard = io.BytesIO()
    renderer.serve(said, heard)
    heard.seek(0)
    assert jobs.read(heard) == b"", "it says first that it is ready"
    answers = [msgspec.msgpack.decode(jobs.read(heard) or b"", type=Answer) for _ in range(2)]
    assert answers == [Answer("python", 'x = <span class="m">1</span>', 1), Answer(None, trouble="unknown")]
    assert jobs.read(heard) is None


@pytest.mark.usefixtures("processor_time")
def test_half_a_job_is_the_end_of_the_conversation() -> None:
    heard = io.BytesIO()
    renderer.serve(io.BytesIO(jobs.frame(Job(b"x = 1\n", "python", 60))[:-1]), heard)
    assert heard.getvalue() == jobs.frame(None)


# The colours


def colours(scheme: int) -> dict[str, str]:
    """The colour of each class: in the light scheme (0), or in the dark one (1)."""
    found = {}
    for names, value in re.findall(r"^(\.[^{:]+?) \{ color: (light-dark\([^)]*\)|inherit);", STYLES, re.MULTILINE):
        pair = re.findall(r"#[0-9a-f]{6}", value) or ["inherit"] * 2
        found.update({name.strip().removeprefix("."): pair[scheme] for name in names.split(",")})
    return found


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_wcag_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_every_colour_can_be_read_on_every_background() -> None:
    poor = [
        (name, colour, background, round(contrast(colour, background), 2))
        for scheme, backgrounds in enumerate((LIGHT, DARK))
        for (name, colour), background in product(colours(scheme).items(), backgrounds)
        if colour != "inherit" and contrast(colour, background) < 4.5
    ]
    assert poor == []


def test_every_class_has_its_colour_in_both_schemes() -> None:
    assert colours(0).keys() == colours(1).keys() == {*CLASSES.values(), "bidi"}
    assert "prefers-color-scheme" not in STYLES, "readers may choose another scheme than that of their system"
