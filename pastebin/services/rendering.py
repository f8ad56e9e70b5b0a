"""Files as HTML: made by a worker within its limits, else plain, always harmless, never on the event loop."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import pygments

from pastebin.errors import Unavailable
from pastebin.metrics import Metrics
from pastebin.phrases import N_, Phrase
from pastebin.sections import RenderingSection
from pastebin.services import plaintext, syntaxes
from pastebin.services.jobs import Trouble, What
from pastebin.services.syntaxes import Syntax
from pastebin.services.workers import NoWorker, WorkerLost, Workers, task_group

logger = logging.getLogger(__name__)

# Two nodes with the same version make the same HTML of the same bytes: for validators of pages.
RENDERER_VERSION = f"3-{pygments.__version__}"

HIGHLIGHT_BYTES = 2 * 1024**2  # no lexer is fast enough for more
LOOP_BYTES = 16 * 1024  # larger files are escaped in a thread
TROUBLE_SECONDS = 600.0  # after so long a file that took too long, or killed its worker, gets another chance

_NOTES: dict[Trouble, str | None] = {
    "unknown": None,
    "long-line": N_("This file has very long lines, so it is shown as plain text."),
    "markup": N_("Highlighted, this file would be too large for a page, so it is shown as plain text."),
    "lexer": N_("This file does not read as %(label)s, so it is shown as plain text."),
    "memory": N_("Highlighting took too much memory, so this is shown as plain text."),
}

# Why a drawing is not there: the page says so and shows the source.
Lack = Literal["timeout", "crashed", "overloaded", "large", "memory", "markup", "malformed"]

Key = tuple[bytes, str | None, str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One file as HTML: `html` is its lines, each self-contained, joined by LF.

    `note` says, for the reader, why a file of a known syntax is not highlighted.
    """

    html: str
    line_count: int
    syntax: str
    label: str
    highlighted: bool
    note: str | None = None

    @property
    def lines(self) -> list[str]:
        return self.html.split("\n") if self.line_count else []

    @property
    def has_bidi_controls(self) -> bool:
        """Whether the text holds characters that could have made it read differently from what it is."""
        return plaintext.BIDI_MARK in self.html


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a file means as HTML, with the first `shown` of its `total` rows or values; empty where it has a `lack`."""

    html: str
    shown: int = 0
    total: int = 0
    lack: Lack | None = None


Made = TypeVar("Made", Rendered, Drawing)

_OPENING, _LINK = '<span class="line" id="{}L', '"><a class="n" href="#{}L'
_REST = '" aria-hidden="true" tabindex="-1"></a>'
_END = "\n</span>"


def page_characters(rendered: Rendered, prefix: str = "") -> int:
    """How long `page_html` is at most, known before it is made: short lines grow to many times their length."""
    frame = len(_OPENING + _LINK + _REST + _END) + 2 * len(prefix) + 2 * len(str(rendered.line_count))
    return len(rendered.html) + rendered.line_count * frame


def page_html(rendered: Rendered, prefix: str = "") -> str:
    """The lines for a `<pre>`: each in a span with an id and an empty link to itself, whose number is up to CSS.

    `prefix` tells the files of a page apart; it stands in ids as it is. Each LF stands inside its span, so that lines
    may be displayed as blocks and are still copied as lines. A millisecond for some 2,000 lines: more than 10,000
    belong in a thread.
    """
    numbers = map(str, range(1, rendered.line_count + 1))
    opening, link = _OPENING.format(prefix), _LINK.format(prefix)
    return "".join(
        [
            f"{opening}{number}{link}{number}{_REST}{line}{_END}"
            for number, line in zip(numbers, rendered.lines, strict=True)
        ]
    )


Flight = asyncio.Task[Rendered | Exception] | asyncio.Task[Drawing | Exception]


class Rendering:
    """The service: a cache, one flight for identical files, and the workers behind them."""

    def __init__(self, section: RenderingSection, metrics: Metrics, workers: Workers, tasks: asyncio.TaskGroup) -> None:
        self._section = section
        self._metrics = metrics
        self.workers = workers
        self._tasks = tasks
        self._cache = RenderedCache(section.cache_bytes)
        self._flights: dict[Key, Flight] = {}
        self._warming: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, section: RenderingSection, metrics: Metrics) -> AsyncIterator[Rendering]:
        """Rendering for a node; leaving ends every worker and flight."""
        async with Workers.running(section) as workers, task_group() as tasks:
            rendering = cls(section, metrics, workers, tasks)
            try:
                yield rendering
            finally:
                for flight in list(rendering._flights.values()):
                    flight.cancel()
                if rendering._warming is not None:
                    rendering._warming.cancel()

    @property
    def page_seconds(self) -> float:
        """What a page waits for all that has to be made for it; a single file may take longer, for the next reader."""
        return self._section.page_seconds

    def expect(self) -> None:
        """Somebody is about to look at something new: let a worker be there by then."""
        if self._warming is None or self._warming.done():
            self._warming = self._tasks.create_task(self._warm(), name="warming a rendering worker")

    async def _warm(self) -> None:
        try:
            await self.workers.warm()
        except NoWorker as reason:
            logger.warning("no rendering worker: %s", reason)

    async def render(
        self, content: bytes, *, sha256: bytes, syntax: str | None, name: str | None, seconds: float | None = None
    ) -> Rendered:
        """Show a file as `syntax`, or as what its name or content says it is.

        `sha256` must be that of `content`. Trouble with highlighting is never raised: the file is plain then, with a
        note. `seconds` is what is left of the time for highlighting a page: after it the file is plain, and what is
        under way goes on for the next reader; nothing is begun with none left. Raises Unavailable while the node is
        stopping.
        """
        chosen = syntaxes.find(syntax) if syntax else None
        chosen = chosen or syntaxes.guess(name, content[: syntaxes.HEAD_BYTES])
        if len(content) <= LOOP_BYTES and (not content or (chosen is not None and chosen.is_plain)):
            return self._count("plain", _plain(content, chosen))
        key: Key = (sha256, chosen.name if chosen else None, "source")
        if chosen is not None and (chosen.is_plain or len(content) > HIGHLIGHT_BYTES):
            seconds = None  # no worker has to be waited for
        made = await self._get(key, seconds, lambda: self._render(key, content, chosen))
        return made if made is not None else await self._out_of_time(content, chosen)

    async def draw(self, content: bytes, *, sha256: bytes, what: What, syntax: str, seconds: float) -> Drawing:
        """Show what a file means. Trouble is never raised: the drawing has a lack then.

        As to `seconds` and what is raised see `render`.
        """
        if len(content) > HIGHLIGHT_BYTES:
            return Drawing("", lack="large")
        key: Key = (sha256, syntax, what)
        return await self._get(key, seconds, lambda: self._draw(key, what, content)) or Drawing("", lack="timeout")

    async def once(self, sha256: bytes, what: str, make: Callable[[], Awaitable[Drawing]], seconds: float) -> Drawing:
        """A drawing that needs no worker, kept and shared as those of workers are."""
        key: Key = (sha256, None, what)

        async def kept() -> Drawing:
            drawing = await make()
            is_whole = drawing.lack is None and drawing.shown >= drawing.total
            self._cache.put(key, drawing, float("inf") if is_whole else time.monotonic() + TROUBLE_SECONDS)
            return drawing

        return await self._get(key, seconds, kept) or Drawing("", lack="timeout")

    async def _get(self, key: Key, seconds: float | None, make: Callable[[], Awaitable[Made]]) -> Made | None:
        """From the cache, or from the one flight that makes it; None if that takes longer than `seconds`."""
        kept = self._cache.get(key, time.monotonic())
        if kept is not None:
            self._metrics.renders.labels("cached").inc()
            return cast("Made", kept)
        flight = self._flights.get(key)
        if seconds is not None and seconds <= 0 and flight is None:
            return None
        if flight is None:
            flight = self._tasks.create_task(self._fly(key, make), name="rendering")
            self._flights[key] = flight
        else:
            self._metrics.renders.labels("cached").inc()
        try:
            async with asyncio.timeout(seconds):
                return cast("Made", await self._landed(flight))
        except TimeoutError:
            return None

    async def _out_of_time(self, content: bytes, chosen: Syntax | None) -> Rendered:
        note = Phrase(
            "Highlighting this page took longer than %(seconds)s seconds, so this file is plain text.",
            seconds=f"{self.page_seconds:g}",
        )
        return self._count("timeout", await self._show_plain(content, chosen, note))

    async def _landed(self, flight: Flight) -> Rendered | Drawing:
        try:
            result = await asyncio.shield(flight)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if flight.cancelled() and caller is not None and not caller.cancelling():
                raise Unavailable("The server is stopping.") from None
            raise
        if isinstance(result, Exception):
            raise result
        return result

    async def _fly(self, key: Key, make: Callable[[], Awaitable[Made]]) -> Made | Exception:
        try:
            return await make()
        except Exception as error:  # belongs to the callers; raised here it would end the TaskGroup and the node
            return error
        finally:
            del self._flights[key]

    async def _render(self, key: Key, content: bytes, chosen: Syntax | None) -> Rendered:
        rendered, outcome = await self._highlight(content, chosen)
        if outcome in ("timeout", "crashed"):
            logger.warning(
                "a file was not highlighted",
                extra={"outcome": outcome, "syntax": rendered.syntax, "size_bytes": len(content)},
            )
            self._cache.put(key, rendered, time.monotonic() + TROUBLE_SECONDS)
        elif outcome != "overloaded":
            self._cache.put(key, rendered)
        return self._count(outcome, rendered)

    async def _draw(self, key: Key, what: What, content: bytes) -> Drawing:
        drawing = await self._drawing(key[1], what, content)
        if drawing.lack in ("timeout", "crashed"):
            logger.warning("a file was not drawn", extra={"outcome": drawing.lack, "what": what})
            self._cache.put(key, drawing, time.monotonic() + TROUBLE_SECONDS)
        elif drawing.lack != "overloaded":
            self._cache.put(key, drawing)
        outcome = drawing.lack if drawing.lack in ("timeout", "crashed", "overloaded") else "drawn"
        self._metrics.renders.labels(outcome).inc()
        return drawing

    async def _drawing(self, syntax: str | None, what: What, content: bytes) -> Drawing:
        try:
            answer = await self.workers.ask(content, syntax, what)
        except TimeoutError:
            return Drawing("", lack="timeout")
        except WorkerLost:
            return Drawing("", lack="crashed")
        except NoWorker as reason:
            logger.warning("no rendering worker: %s", reason)
            return Drawing("", lack="overloaded")
        if answer.html is None:
            known = answer.trouble if answer.trouble in ("memory", "markup") else "malformed"
            return Drawing("", lack=known)
        return Drawing(answer.html, answer.shown, answer.total)

    async def _highlight(self, content: bytes, chosen: Syntax | None) -> tuple[Rendered, str]:
        """The file, and the word for the metric."""
        if chosen is not None and chosen.is_plain:
            return await self._show_plain(content, chosen), "plain"
        if len(content) > HIGHLIGHT_BYTES:
            note = Phrase("Files over %(size)s are not highlighted.", size=f"{HIGHLIGHT_BYTES // 1024**2} MiB")
            return await self._show_plain(content, chosen, note), "plain"
        try:
            answer = await self.workers.ask(content, chosen.name if chosen else None)
        except TimeoutError:
            note = Phrase(
                "Highlighting took longer than %(seconds)s seconds, so this is shown as plain text.",
                seconds=f"{self._section.timeout_seconds:g}",
            )
            return await self._show_plain(content, chosen, note), "timeout"
        except WorkerLost:
            note = Phrase("Highlighting failed, so this is shown as plain text.")
            return await self._show_plain(content, chosen, note), "crashed"
        except NoWorker as reason:
            logger.warning("no highlighting worker: %s", reason)
            note = Phrase("There is too much to highlight at the moment, so this is shown as plain text.")
            return await self._show_plain(content, chosen, note), "overloaded"
        used = syntaxes.find(answer.syntax) if answer.syntax else None
        if answer.html is not None and used is not None:
            return Rendered(answer.html, answer.line_count, used.name, used.label, highlighted=True), "highlighted"
        used = used or syntaxes.PLAIN
        note_of_trouble = _NOTES[answer.trouble or "lexer"]
        note_or_none = Phrase(note_of_trouble, label=used.label) if note_of_trouble else None
        outcome = "crashed" if answer.trouble == "memory" else "plain"
        return await self._show_plain(content, used, note_or_none), outcome

    async def _show_plain(self, content: bytes, syntax: Syntax | None, note: str | None = None) -> Rendered:
        if len(content) <= LOOP_BYTES:
            return _plain(content, syntax, note)
        return await asyncio.to_thread(_plain, content, syntax, note)

    def _count(self, outcome: str, rendered: Rendered) -> Rendered:
        self._metrics.renders.labels(outcome).inc()
        return rendered


class RenderedCache:
    """Rendered files, the least recently used forgotten first; together never more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Rendered | Drawing, float]] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: Key, now: float) -> Rendered | Drawing | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        rendered, forget_at = entry
        if now >= forget_at:
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return rendered

    def put(self, key: Key, rendered: Rendered | Drawing, forget_at: float = float("inf")) -> None:
        """Keep a file until `forget_at` (of `time.monotonic`); one that would fill the cache alone is not kept."""
        if key in self._entries:
            self._forget(key)
        if _cost(rendered) > self._max_bytes:
            return
        self._entries[key] = (rendered, forget_at)
        self.size_bytes += _cost(rendered)
        while self.size_bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Key) -> None:
        rendered, _ = self._entries.pop(key)
        self.size_bytes -= _cost(rendered)


def _cost(rendered: Rendered | Drawing) -> int:
    return sys.getsizeof(rendered.html) + 512  # the rest of an entry, roughly


def _plain(content: bytes, syntax: Syntax | None, note: str | None = None) -> Rendered:
    html, line_count = plaintext.render(content)
    shown = syntax or syntaxes.PLAIN
    return Rendered(html, line_count, shown.name, shown.label, highlighted=False, note=note)
