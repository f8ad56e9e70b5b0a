"""How a file is shown on a page beside, or instead of, its text: what `views.html` and `drawn.html` are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Tab:
    """A view that the file has, and the address of the page with it."""

    view: str
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Some of a file's bytes: from `first` to before `end` of `size`, and the pages of them beside."""

    first: int
    end: int
    size: int
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One file in one of its views.

    `html` is None where the view is its text, or where the page makes an element for it (media). `lack` says why the
    view asked for is not there. `text_follows` where the source stands below, since nothing else on the page leads
    there.
    """

    view: str
    tabs: tuple[Tab, ...] = ()
    html: Markup | None = None
    shown: int = 0
    total: int = 0
    lack: str | None = None
    window: Window | None = None
    text_follows: bool = False
