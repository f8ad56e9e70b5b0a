"""What can be done with a paste on its page, beside reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from pastebin.http import caching
from pastebin.models import Paste
from pastebin.services import syntaxes

# What stands in the choice on every page; the others, hundreds, are behind MORE.
_COMMON = """
    bash c cpp csharp css diff docker elixir go graphql haskell html ini java javascript json kotlin lua make markdown
    nginx nix perl php powershell python r ruby rust scala sql swift text toml typescript xml yaml zig
"""
MORE: Final = "more"
_CHOICES = sorted(
    ((known.name, known.label) for name in _COMMON.split() if (known := syntaxes.find(name)) is not None),
    key=lambda choice: choice[1].lower(),
)


@dataclass(frozen=True, slots=True)
class Tools:
    """`here` is the address of the page, to come back to; `qr_url` is None where the link leads nowhere any more."""

    here: str
    choices: list[tuple[str, str]]
    chosen: str
    archives: list[tuple[str, str]]
    qr_url: str | None


def of(paste: Paste, syntax: str | None, *, revealed: bool) -> Tools:
    """The tools of one page. A revealed one cannot be come back to, so nothing on it leads away for a moment."""
    chosen = syntaxes.find(syntax) if syntax else None
    extra = [(chosen.name, chosen.label)] if chosen and (chosen.name, chosen.label) not in _CHOICES else []
    qr_url = f"/{paste.slug}/qr.svg" if paste.reads_left != 0 and paste.encryption is None else None
    if revealed:
        return Tools("", [], "", [], qr_url)
    return Tools(
        here=address(paste, chosen.name if chosen else None),
        choices=[*extra, *_CHOICES] if any(file.is_text for file in paste.files) else [],
        chosen=chosen.name if chosen else "",
        archives=[(kind, _archive(paste, kind)) for kind in ("zip", "tar.gz")] if len(paste.files) > 1 else [],
        qr_url=qr_url,
    )


def address(paste: Paste, syntax: str | None) -> str:
    """The page in that syntax. An owner's browser sends its token below the paste's name, not beside it."""
    if syntax is None:
        return f"/{paste.slug}"
    return f"/{paste.slug}{'.' if caching.is_for_all(paste) else '?syntax='}{quote(syntax, safe='')}"


def shown_as(paste: Paste, asked: str) -> web.Response:
    """From what a form can say to the address of that page."""
    known = syntaxes.find(asked)
    location = f"/look?back={quote(address(paste, None), safe='')}#syntax" if asked == MORE else None
    location = location or address(paste, known.name if known else None)
    return web.Response(status=303, headers={hdrs.LOCATION: location, **caching.secret()})


def _archive(paste: Paste, kind: str) -> str:
    return f"/{paste.slug}{'.' if caching.is_for_all(paste) else '/files.'}{kind}"
