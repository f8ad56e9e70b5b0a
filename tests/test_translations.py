"""Nothing that a page says is left in English, and translations say as much as what they are of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import pytest
from babel.messages.catalog import Message
from jinja2 import nodes

from pastebin import catalogues
from pastebin.catalogues import ENGLISH, LANGUAGES

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted(ROOT.joinpath("pastebin", "templates").glob("*.html"))
MODULES = sorted(ROOT.joinpath("pastebin", "static").glob("*.js"))
OTHERS = [language for language in LANGUAGES if language != ENGLISH]

_VALUE = re.compile(r"%\(\w+\)s|%%|\{\w+\}")
_TAG = re.compile(r"</?[a-z][^>]*>")
_WORD = re.compile(r"[^\W\d_]{2,}")
# The same in every language, and what is typed or written by programs.
_NAMES = re.compile(r"\b(API|CSV|JSON|QR|RSS|URL|curl|ms|nbsp|amp)\b|[\w-]+=\"[^\"]*\"|&\w+;|https?:\S*")
_CODE = frozenset({"code", "pre", "kbd", "samp", "script", "style", "svg"})
_TOLD = frozenset({"alt", "aria-label", "aria-description", "placeholder", "title", "label"})
_SAYING = frozenset({"_", "gettext", "ngettext", "pgettext", "npgettext"})
_SENTENCE = re.compile(r"[A-Z][a-z]+ [a-z]+|^[A-Z][a-z]{2,}$")

_SET = re.compile(
    r"""\b(?:textContent|innerText|title|placeholder|alt|label|ariaLabel)\s*=\s*["'`][^"'`]*[A-Za-z]{2}"""
    r"""|setAttribute\(\s*["'](?:aria-label|title|placeholder|alt)["'],\s*["'`]|\b(?:alert|confirm|prompt)\("""
)
_LITERAL = re.compile(r"\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`")
_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.DOTALL)


@cache
def tool() -> ModuleType:
    """The script that brings catalogues up to date: it knows what there is to translate."""
    loader = SourceFileLoader("translations", str(ROOT / "scripts" / "translations"))
    spec = spec_from_loader("translations", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@cache
def texts() -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = tool().texts()
    return found


@pytest.mark.parametrize("language", OTHERS)
def test_everything_has_a_translation(language: str) -> None:
    missing = [f"{text} ({', '.join(texts()[context, text])})" for context, text in tool().missing(language, texts())]
    assert missing == [], "scripts/translations adds what is new to the catalogues"


@pytest.mark.parametrize("language", OTHERS)
def test_translations_have_the_same_values_and_the_same_markup(language: str) -> None:
    """They are trusted like templates: what they hold of HTML is what the English text holds of it."""
    offences = []
    for message in tool().catalogue(language):
        if not message.id:
            continue
        for said in strings(message):
            if said and (not says_as_much(message, said) or re.search(r"[\x00-\x08\x0b-\x1f\u2028-\u202e]", said)):
                offences.append((message.id, said))
    assert offences == []


def strings(message: Message) -> tuple[str, ...]:
    given = message.string if isinstance(message.string, tuple | list) else (message.string or "",)
    return tuple(given)


def says_as_much(message: Message, said: str) -> bool:
    own = message.id if isinstance(message.id, str) else message.id[1]
    values, given = set(_VALUE.findall(own)), set(_VALUE.findall(said))
    # a form for one thing may spell out its number
    is_whole = given == values or not isinstance(message.id, str)
    return given <= values and is_whole and sorted(_TAG.findall(own)) == sorted(_TAG.findall(said))


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_can_be_compiled_and_counts(language: str) -> None:
    catalogue = catalogues.of(language)
    assert catalogue.info()["language"] == language
    forms = {catalogue.ngettext("%(num)s day", "%(num)s days", number) for number in range(200)}
    assert len(forms) == len(set(strings(tool().catalogue(language).get("%(num)s day"))))


@pytest.mark.parametrize("template", [path.name for path in TEMPLATES])
def test_templates_say_nothing_untranslated(template: str) -> None:
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    source = ROOT.joinpath("pastebin", "templates", template).read_text()
    found = [text for text in Told.of(environment, source) if _WORD.search(_NAMES.sub("", text))]
    found += [text for text in constants(environment.parse(source)) if _SENTENCE.search(_NAMES.sub("", text))]
    assert found == []


@pytest.mark.parametrize("template", [path.name for path in TEMPLATES])
def test_only_constants_are_said_as_markup(template: str) -> None:
    """What gettext returns is not escaped any more, so it must never be given what a user wrote; `say` is for that."""
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    tree = environment.parse(ROOT.joinpath("pastebin", "templates", template).read_text())
    offences = []
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in _SAYING:
            first = call.args[:2] if call.node.name == "ngettext" else call.args[:1]
            offences += [call.lineno for argument in first if not isinstance(argument, nodes.Const)]
    assert offences == []


@pytest.mark.parametrize("module", [path.name for path in MODULES])
def test_modules_have_no_words_of_their_own(module: str) -> None:
    source = _COMMENT.sub("", ROOT.joinpath("pastebin", "static", module).read_text())
    found = [match[0] for match in _SET.finditer(source)]
    for match in _LITERAL.finditer(source):
        text = next(group for group in match.groups() if group is not None)
        if re.search(r"[A-Z][a-z]+ [a-z]{2,}", text):
            found.append(text)
    assert found == []


class Told(HTMLParser):
    """The texts of a template that stand in it as they are: between tags, and in attributes that people are told."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.inside: list[str] = []

    @classmethod
    def of(cls, environment: jinja2.Environment, source: str) -> list[str]:
        parser = cls()
        parser.feed("".join(_plain(environment, source)))
        parser.close()
        return parser.texts

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _CODE:
            self.inside.append(tag)
        self.texts += [value for name, value in attrs if name in _TOLD and value]

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside and data.strip():
            self.texts.append(data.strip())


def _plain(environment: jinja2.Environment, source: str) -> Iterator[str]:
    """The source without what Jinja does, and without what stands between `trans` and `endtrans`."""
    is_translated = False
    name: str | None = None
    for _, kind, value in environment.lex(source):
        if kind == "block_begin":
            name = ""
        elif kind == "name" and name == "":
            name = value
            is_translated = value == "trans" or (is_translated and value != "endtrans")
        elif kind in ("block_end", "variable_end"):
            yield " "
        elif kind == "data" and not is_translated:
            yield value


def constants(tree: nodes.Node) -> Iterator[str]:
    """The strings of a template's expressions, but for those that are translated."""
    for child in tree.iter_child_nodes():
        if isinstance(child, nodes.Call) and isinstance(child.node, nodes.Name) and child.node.name in _SAYING:
            for one in child.kwargs:
                yield from constants(one)
        elif isinstance(child, nodes.Const):
            if isinstance(child.value, str):
                yield child.value
        else:
            yield from constants(child)
