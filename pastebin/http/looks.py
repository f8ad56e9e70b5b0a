"""How a reader wants pages to look: the words of one cookie, and the style sheet that is made of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COOKIE = "look"

# What can be chosen, and what each choice says in CSS; the first one is what style.css does by itself.
_SCREEN = "@media screen {{ :root {{ color-scheme: {}; }} }}\n"
_ROOT = ":root {{ {} }}\n"
CHOICES: dict[str, dict[str, str]] = {
    "theme": {
        "system": "",
        "light": _SCREEN.format("light"),
        "dark": _SCREEN.format("dark"),
    },
    "wrap": {
        "off": "",
        "on": _ROOT.format("--wrap: pre-wrap; --code-width: auto;"),
    },
    "size": {
        "normal": "",
        "small": _ROOT.format("--code-size: .75rem;"),
        "large": _ROOT.format("--code-size: 1.0625rem;"),
        "huge": _ROOT.format("--code-size: 1.375rem;"),
    },
    "tab": {
        "4": "",
        **{width: _ROOT.format(f"--tab: {width};") for width in ("2", "3", "8")},
    },
}

_NOTHING = "/* as the system likes it */\n"
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Look:
    """One choice of each kind; every value is one of CHOICES, whatever the outside says."""

    theme: str = "system"
    wrap: str = "off"
    size: str = "normal"
    tab: str = "4"

    @classmethod
    def of(cls, cookie: str | None) -> Look:
        """What a cookie asks for. What it says and nobody knows is as if it were not said."""
        words = (cookie or "")[:_LONGEST].split(".")
        return cls().changed(dict(word.split("-", 1) for word in words if "-" in word))

    def changed(self, asked: Mapping[str, str]) -> Look:
        """The same with what is asked of the choices that there are."""
        known = {kind: asked[kind] for kind, choices in CHOICES.items() if asked.get(kind) in choices}
        return Look(**{kind: known.get(kind, getattr(self, kind)) for kind in CHOICES})

    @property
    def cookie(self) -> str:
        """The words for a cookie; empty for what needs none."""
        own = Look()
        return ".".join(f"{kind}-{value}" for kind in CHOICES if (value := getattr(self, kind)) != getattr(own, kind))

    @property
    def css(self) -> str:
        """The style sheet that comes after style.css."""
        return "".join(choices[getattr(self, kind)] for kind, choices in CHOICES.items()) or _NOTHING
