"""What nodes send, read and put right: events that cannot be are left out and counted, the rest is kept. Pure."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from pastebin.errors import UnreadableRequest
from pastebin.visits import BATCH_BYTES, BATCH_ID, Batch, Change, Visit

Event = TypeVar("Event", Visit, Change)

_DAY_MS = 86_400_000
_GZIP = 31  # zlib's number for its header and trailer
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_BYTES = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
_BATCH_ID = re.compile(BATCH_ID)
# What may be cut to its length, or into its range, and is still worth something; of what is cut nothing else is known.
_CUT = frozenset({"file", "region", "pop", "agent", "agent_class", "syntax"})
_EMPTIED = frozenset({"country", "referrer"})
_BOUNDED = frozenset({"bytes", "duration_us", "weight", "size"})
_TEXTS = {
    Visit: ("slug", "file", "region", "pop", "country", "referrer", "agent", "agent_class"),
    Change: ("slug", "syntax"),
}


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when events may be, in milliseconds: later than `now_ms` is put right, up to `until_ms`."""

    since_ms: int
    now_ms: int
    until_ms: int


@dataclass(slots=True)
class Checked:
    """A batch as it may be kept, and what was wrong with it: words, each with how many events it was said of."""

    batch: Batch
    rejected: Counter[str] = field(default_factory=Counter)
    clamped: Counter[str] = field(default_factory=Counter)


class _Loose(msgspec.Struct):
    """A batch of which something is wrong."""

    id: str
    node: str
    visits: list[Any] = []
    changes: list[Any] = []


_AT, _PERIOD = attrgetter("at_ms"), attrgetter("period")
_STRICT_DECODER = msgspec.json.Decoder(Batch)
_LOOSE_DECODER = msgspec.json.Decoder(_Loose)


def unpack(body: bytes) -> bytes:
    """Undo gzip, up to BATCH_BYTES. Raises UnreadableRequest."""
    packed = zlib.decompressobj(_GZIP)
    try:
        text = packed.decompress(body, BATCH_BYTES + 1)
    except zlib.error:
        raise UnreadableRequest("The batch is not packed by gzip.") from None
    if len(text) > BATCH_BYTES:
        raise UnreadableRequest(f"The batch has more than {BATCH_BYTES} bytes.")
    if not packed.eof or packed.unused_data:
        raise UnreadableRequest("The batch is not complete, or not alone.")
    return text


def check(text: bytes, window: Window) -> Checked:
    """Read a batch. Raises UnreadableRequest for what can be read on no other day either.

    Batches in which nothing is wrong, which are nearly all, are not looked at event by event.
    """
    try:
        batch = _STRICT_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _check_loose(text, window)
    checked = Checked(_named(batch))
    if not _is_plain(text) or not _is_timely(batch, window):
        _Row(window, checked).mend(batch.visits, batch.changes)
    return checked


def _check_loose(text: bytes, window: Window) -> Checked:
    try:
        loose = _LOOSE_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRequest(f"Not a batch of events: {error}") from None
    checked = Checked(_named(Batch(loose.id, loose.node)))
    _Row(window, checked).mend(loose.visits, loose.changes)
    return checked


def _named(batch: Batch) -> Batch:
    if not _BATCH_ID.match(batch.id) or not 0 < len(batch.node) <= 255 or _CONTROLS.search(batch.node):
        raise UnreadableRequest("The batch bears no name that could be kept.")
    return batch


def _is_plain(text: bytes) -> bool:
    """Whether no string in it can hold a control character: JSON writes those below space with a backslash."""
    return b"\\" not in text and ((text.isascii() and b"\x7f" not in text) or not _CONTROL_BYTES.search(text))


def _is_timely(batch: Batch, window: Window) -> bool:
    times = list(map(_AT, (*batch.visits, *batch.changes)))
    if not times:
        return True
    earliest, latest = min(times), max(times)
    if earliest < window.since_ms or latest > window.now_ms:
        return False
    # for batches within a day; others are looked at one by one
    return all(latest // _DAY_MS - 1 <= period <= earliest // _DAY_MS + 1 for period in set(map(_PERIOD, batch.visits)))


@dataclass(frozen=True, slots=True)
class _Row:
    """Puts events right one by one, and keeps them in the batch of `checked`."""

    window: Window
    checked: Checked

    def mend(self, visits: Iterable[Any], changes: Iterable[Any]) -> None:
        kept = [self._mended(row, Visit) for row in visits], [self._mended(row, Change) for row in changes]
        self.checked.batch = msgspec.structs.replace(
            self.checked.batch,
            visits=[visit for visit in kept[0] if visit is not None],
            changes=[change for change in kept[1] if change is not None],
        )

    def _mended(self, row: Any, kind: type[Event]) -> Event | None:
        event = row if isinstance(row, kind) else self._converted(row, kind)
        if event is None:
            return None
        changed: dict[str, Any] = {}
        if not self._check_time(event, changed) or not self._check_text(event, kind, changed):
            return None
        if isinstance(event, Visit):
            day = changed.get("at_ms", event.at_ms) // _DAY_MS
            if event.visitor and abs(event.period - day) > 1:
                changed.update(period=day, visitor=0, visitor_before=0)
                self.checked.clamped["period"] += 1
        return msgspec.structs.replace(event, **changed) if changed else event

    def _converted(self, row: Any, kind: type[Event]) -> Event | None:
        names = _names(kind)
        if not isinstance(row, list) or len(row) != len(names):
            self.checked.rejected["shape"] += 1
            return None
        values, cut = [], set()
        for name, value in zip(names, row, strict=True):
            try:
                values.append(msgspec.convert(value, _types(kind)[name]))
            except msgspec.ValidationError:
                fitted = _fitted(kind, name, value)
                if fitted is None:
                    self.checked.rejected[name] += 1
                    return None
                values.append(fitted)
                cut.add(name)
        self.checked.clamped.update(cut)
        return kind(*values)

    def _check_time(self, event: Visit | Change, changed: dict[str, Any]) -> bool:
        window = self.window
        if window.since_ms <= event.at_ms <= window.now_ms:
            return True
        if window.now_ms < event.at_ms <= window.until_ms:
            changed["at_ms"] = window.now_ms
            self.checked.clamped["future"] += 1
            return True
        self.checked.rejected["late" if event.at_ms < window.since_ms else "future"] += 1
        return False

    def _check_text(self, event: Visit | Change, kind: type[Visit | Change], changed: dict[str, Any]) -> bool:
        for name in _TEXTS[kind]:
            if _CONTROLS.search(text := getattr(event, name)):
                if name == "slug":
                    self.checked.rejected[name] += 1
                    return False
                changed[name] = _CONTROLS.sub("", text)
                self.checked.clamped[name] += 1
        return True


def _fitted(kind: type[Visit | Change], name: str, value: Any) -> str | int | None:
    """The nearest that is allowed; None where anything else would be another event."""
    limits = _limits(kind, name)
    if isinstance(value, str) and name in _CUT:
        return value[: limits.max_length]
    if isinstance(value, str) and name in _EMPTIED:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and name in _BOUNDED:
        return max(limits.ge or 0, min(value, limits.le or 0))
    return None


@cache
def _types(kind: type[Visit | Change]) -> dict[str, Any]:
    return {one.name: one.type for one in msgspec.structs.fields(kind)}


@cache
def _names(kind: type[Visit | Change]) -> tuple[str, ...]:
    return tuple(_types(kind))


def _limits(kind: type[Visit | Change], name: str) -> Any:
    return _types(kind)[name].__metadata__[0] if hasattr(_types(kind)[name], "__metadata__") else msgspec.Meta()
