"""The languages of the pages: which one a reader gets, and how a text is said in it.

Every text is written in English where it is used; that is its name in the catalogues (GNU gettext). What says it
need not know for whom: the language is that of the request at hand, or English where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

from pastebin import catalogues
from pastebin.catalogues import ENGLISH, LANGUAGES
from pastebin.phrases import Phrase

_RIGHT_TO_LEFT = frozenset({"ar", "he"})
# Names that browsers and libraries still use for languages that have another one now (ISO 639-1).
_FORMER = {"iw": "he", "ji": "yi", "in": "id"}
_MOST_CHARACTERS = 512
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """A language, and whether that was a choice which caches cannot see."""

    language: str
    is_hidden: bool = False


class Voice:
    """The language of one answer, found when it is first asked for.

    `was_heard` says that something of the answer depends on it. `here` is the address that is answered, for links
    that lead back to it.
    """

    __slots__ = ("_choice", "_read", "here")

    def __init__(self, read: Callable[[], Choice], here: str = "/") -> None:
        self._read = read
        self._choice: Choice | None = None
        self.here = here

    @property
    def was_heard(self) -> bool:
        return self._choice is not None

    @property
    def choice(self) -> Choice:
        if self._choice is None:
            self._choice = self._read()
        return self._choice


_VOICE: ContextVar[Voice | None] = ContextVar("voice", default=None)


@contextmanager
def speaking(voice: Voice) -> Iterator[None]:
    """Whatever is said within the block is said with this voice."""
    reset = _VOICE.set(voice)
    try:
        yield
    finally:
        _VOICE.reset(reset)


def in_english() -> AbstractContextManager[None]:
    """Whatever is said within the block is said in English, whoever asks."""
    return speaking(Voice(lambda: Choice(ENGLISH)))


def current() -> str:
    """The language of the answer at hand, which from now on depends on it."""
    voice = _VOICE.get()
    return ENGLISH if voice is None else voice.choice.language


def here() -> str:
    """The address that is being answered."""
    voice = _VOICE.get()
    return "/" if voice is None else voice.here


def direction(language: str) -> str:
    """`ltr` or `rtl`, as HTML's `dir` has it."""
    return "rtl" if language in _RIGHT_TO_LEFT else "ltr"


def gettext(message: str) -> str:
    """A text of the pages in the language of the answer."""
    return catalogues.of(current()).gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    """Likewise, in the form that goes with the number."""
    return catalogues.of(current()).ngettext(singular, plural, number)


def pgettext(context: str, message: str) -> str:
    """Likewise, for a text that means different things in different places."""
    return catalogues.of(current()).pgettext(context, message)


def npgettext(context: str, singular: str, plural: str, number: int) -> str:
    """Both."""
    return catalogues.of(current()).npgettext(context, singular, plural, number)


def say(text: str) -> str:
    """A text that was made elsewhere: a Phrase with its values, or a whole sentence; as it is where neither is known.

    No markup: whoever shows it escapes it.
    """
    if not isinstance(text, Phrase):
        return gettext(text) if text else ""  # the name of the empty text is that of the head of a catalogue
    forms = text.pattern, text.plural
    pattern = ngettext(*forms, int(text.values["num"])) if text.plural else gettext(text.pattern)
    return pattern % {name: _value(value) for name, value in text.values.items()}


def number(value: float) -> str:
    """A number with the separators of the language, as many decimals as it has, two at most."""
    return catalogues.decimal(value, current())


def decimal(value: float) -> str:
    """Likewise without those between thousands."""
    return catalogues.decimal(value, current(), is_grouped=False)


def isolated(text: str) -> str:
    """A text of numbers and Latin letters, so that it stays in its order among those that run from right to left."""
    return f"\u2066{text}\u2069" if direction(current()) == "rtl" else text


def choose(accept_language: str) -> str:
    """The language for an Accept-Language header: RFC 4647, section 3.4, by primary subtag; English at last."""
    if len(accept_language) > _MOST_CHARACTERS:
        accept_language = accept_language[:_MOST_CHARACTERS].rpartition(",")[0]
    return _choose(accept_language)


@lru_cache(_REMEMBERED)
def _choose(accept_language: str) -> str:
    wanted: list[tuple[float, str]] = []
    for element in accept_language.lower().split(","):
        tag, _, parameter = element.partition(";")
        primary = tag.strip(" \t").partition("-")[0]
        language = ENGLISH if primary == "*" else _FORMER.get(primary, primary)
        if language in LANGUAGES and (quality := _quality(parameter)) > 0:
            wanted.append((quality, language))
    # the first of those that are wanted most
    return max(wanted, key=lambda one: one[0], default=(0.0, ENGLISH))[1]


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip(" \t").partition("=")
    if name.strip(" \t") != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0


def _value(value: str | float) -> str:
    return say(value) if isinstance(value, Phrase) else value if isinstance(value, str) else number(value)
