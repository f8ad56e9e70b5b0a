"""HTML pages and the terminal's help text: one Jinja environment, and the headers that keep a page harmless."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Literal

from aiohttp import hdrs, web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pastebin import catalogues, languages
from pastebin.errors import Problem
from pastebin.http.assets import Assets
from pastebin.http.drawn import Drawn
from pastebin.http.windows import WindowView
from pastebin.models import File, Paste
from pastebin.phrases import Phrase, forms
from pastebin.sections import SiteSection

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

# For pages of pastes, which hold sounds, films and documents of the reader's own choice.
WITH_MEDIA = "media-src 'self' data:; frame-src 'self'"

# For pages, which modules of ours make handier; they say everything without them.
SCRIPTED = f"{CONTENT_SECURITY_POLICY}; script-src 'self'; connect-src 'self'"

# The raster images that a paste page shows in place; their raw address serves them by their magic bytes.
SHOWN_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})

# Control and line-breaking characters, lone surrogates, and the marks that reorder or hide text in a name
# (UAX #9 section 2, UTS #39 section 5.4). ZWJ and ZWNJ stay: scripts and emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff]"
)

_OPENING_BYTES, _OPENING_CHARACTERS = 1024, 200
_PARTS_ON_THE_LOOP = 20
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
_LIFETIMES = (
    (86_400, forms("%(num)s day", "%(num)s days")),
    (3600, forms("%(num)s hour", "%(num)s hours")),
    (60, forms("%(num)s minute", "%(num)s minutes")),
    (1, forms("%(num)s second", "%(num)s seconds")),
)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as `paste.html` shows it.

    `html` is the highlighted lines, or, not `is_numbered`, the mere text; None for what is not shown as text, or by a
    `window` of its lines only. `note` says why a file is plain or not shown. The addresses are None where a file can be
    had only by revealing the paste again.
    """

    file: File
    label: str
    html: Markup | None = None
    note: str | None = None
    raw_url: str | None = None
    download_url: str | None = None
    lines_count: int = 0
    is_numbered: bool = True
    window: WindowView | None = None
    drawn: Drawn | None = None


class Pages:
    """Every page of the site. Templates are compiled once, here: rendering touches no disk.

    What a template prints is escaped, and a name that its context lacks is an error, never an empty string.
    `version` changes with every template, static file and catalogue, and with the language of the answer at hand:
    validators of pages include it, since a page that is kept over an upgrade would name style sheets that are gone.
    """

    def __init__(self, site: SiteSection, assets: Assets) -> None:
        self._site_url = site.url.rstrip("/")
        self._environment = Environment(
            loader=PackageLoader("pastebin"),
            extensions=["jinja2.ext.i18n"],
            finalize=_finished,
            autoescape=_is_markup,  # noqa: S701  (it decides by the template's name)
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        self._environment.policies["ext.i18n.trimmed"] = True
        # what jinja2.ext.i18n adds to an environment
        self._environment.install_gettext_callables(  # type: ignore[attr-defined]
            languages.gettext,
            languages.ngettext,
            newstyle=True,
            pgettext=languages.pgettext,
            npgettext=languages.npgettext,
        )
        self._environment.globals.update(
            asset=assets.url, integrity=assets.integrity, site_title=site.title, shown_images=SHOWN_IMAGES
        )
        self._environment.filters.update(
            about=about,
            duration=duration,
            elsewhere=elsewhere,
            filesize=filesize,
            moment=moment,
            name=name,
            number=languages.number,
            opening=opening,
            say=languages.say,
            visible=visible,
        )
        self._version = self._compile(assets)

    def _compile(self, assets: Assets) -> str:
        seen = hashlib.sha256(f"{assets.version} {catalogues.edition()}".encode())
        for template in self._environment.list_templates():
            self._environment.get_template(template)
            seen.update(resources.files("pastebin").joinpath("templates", template).read_bytes())
        return seen.hexdigest()[:16]

    @property
    def version(self) -> str:
        return f"{self._version}-{languages.current()}"

    def render(self, template: str, **context: Any) -> str:
        """The page in the language of the request at hand, with what is wrong (`problems`) in it; help is in English.

        `site_url` is the configured one unless the context says otherwise.

        Raises jinja2.TemplateNotFound for an unknown template and jinja2.UndefinedError for an incomplete context.
        """
        if not _is_markup(template):
            with languages.in_english():
                return self._environment.get_template(template).render({"site_url": self._site_url, **context})
        language = languages.current()
        known: dict[str, Any] = {
            "site_url": self._site_url,
            "language": language,
            "endonym": catalogues.LANGUAGES[language],
            "direction": languages.direction(language),
            "here": languages.here(),
        }
        if isinstance(problems := context.get("problems"), list | tuple):
            context["problems"] = [replace(one, message=languages.say(one.message)) for one in problems]
        return self._environment.get_template(template).render(known | context)

    async def render_long(self, template: str, parts: int, **context: Any) -> str:
        """The same for a page of so many files, each of which takes a fraction of a millisecond: many in a thread."""
        if parts <= _PARTS_ON_THE_LOOP:
            return self.render(template, **context)
        return await asyncio.to_thread(self.render, template, **context)


def html_response(
    text: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    cache_control: str = "no-store",
    referrer_policy: Literal["same-origin", "no-referrer"] = "same-origin",
) -> web.Response:
    """A page that runs no script but ours, loads nothing foreign, cannot be framed, and posts only to its own site.

    Pages of pastes take `no-referrer`, so that a link in a paste does not give its slug away. Pages with a form
    cannot: a browser then sends `Origin: null` with the POST (Fetch, "append a request Origin header").
    """
    safe = {**page_headers(referrer_policy), hdrs.CACHE_CONTROL: cache_control}
    return web.Response(body=page_body(text), status=status, headers={**safe, **(headers or {})})


def page_headers(referrer_policy: Literal["same-origin", "no-referrer"] = "same-origin") -> dict[str, str]:
    """The headers that `html_response` gives to every page, without those for caches."""
    return {
        hdrs.CONTENT_TYPE: "text/html; charset=utf-8",
        "Content-Security-Policy": SCRIPTED,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": referrer_policy,
        "X-Content-Type-Options": "nosniff",
    }


def page_body(text: str) -> bytes:
    """What a user typed can hold a lone surrogate, which UTF-8 cannot."""
    return text.encode("utf-8", "replace")


def filesize(size: int) -> str:
    """Bytes in IEC units with one decimal at most: `17 B`, `1.5 KiB`, `2 GiB`."""
    if size < 1024:
        return languages.isolated(f"{size} B")
    amounts = [(size / 1024**power, unit) for power, unit in enumerate(_UNITS, 1)]
    # what would be rounded to 1024 is one of the next unit
    amount, unit = next((one for one in amounts if round(one[0], 1) < 1024), amounts[-1])
    return languages.isolated(f"{languages.decimal(round(amount, 1))} {unit}")


def moment(at: datetime) -> Markup:
    """A `time` element in UTC, to the minute for people and to the second for machines."""
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M} UTC")


def duration(seconds: int) -> str:
    """A length of time in the largest unit that needs no fraction: `30 days`, `90 minutes`."""
    length, words = next((length, words) for length, words in _LIFETIMES if seconds % length == 0)
    count = seconds // length
    return languages.ngettext(*words, count) % {"num": languages.number(count)}


def visible(text: str) -> str:
    """`text` on one line, in the order it was written: control characters as their pictures, other marks as U+FFFD.

    For attributes and titles; in running text use `name`, which isolates the direction as well.
    """
    # str() also makes Jinja complain of a missing name, which `re` would only call a wrong type
    return _INVISIBLE.sub(_picture, str(text))


def name(text: str) -> Markup:
    """A hostile name as an isolated element, so that its direction ends where it ends (HTML section 4.5.24)."""
    return Markup("<bdi>{}</bdi>").format(visible(text))


def opening(paste: Paste) -> str:
    """How a paste begins, on one line; empty where that is not text, or is kept elsewhere."""
    file = paste.files[0] if paste.files else None
    if file is None or not file.is_text or file.body is None:
        return ""
    text = " ".join(file.body[:_OPENING_BYTES].decode("utf-8", "replace").split())
    return visible(text[:_OPENING_CHARACTERS])


def about(problems: Iterable[Problem], field: str) -> list[str]:
    """The messages about one field of the form; `files[0].name` and the like belong to `file`."""
    return [
        problem.message if problem.field == field else str(problem)
        for problem in problems
        if _form_field(problem.field) == field
    ]


def elsewhere(problems: Iterable[Problem], fields: Container[str]) -> list[Problem]:
    """The problems that belong to none of the form's fields."""
    return [problem for problem in problems if _form_field(problem.field) not in fields]


def _form_field(path: str) -> str:
    first = re.split(r"[.\[]", path, maxsplit=1)[0]
    return {"files": "file", "f": "file", "burn": "max_reads"}.get(first, first)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def _finished(value: Any) -> Any:
    """What a template prints: a Phrase in the language of the page, wherever it comes from."""
    return languages.say(value) if isinstance(value, Phrase) else value


def _is_markup(template: str | None) -> bool:
    return template is None or not template.endswith(".txt")
