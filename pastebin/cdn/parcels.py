"""What changed, made into batches for one target: each key once, no more of them than it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pastebin import surrogates
from pastebin.cdn.targets import Batch
from pastebin.positions import Position
from pastebin.store.feed import Entry, Head, Stretch

# After these something is still there to be served; after the others nothing may be, not even for a moment.
_GENTLE = frozenset({"create", "revise"})
_PUSH = "push"
_SILENT = frozenset({_PUSH, "report"})


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch, the addresses to be fetched ahead once it has arrived, and when the oldest change of it was made."""

    batch: Batch
    pushes: tuple[str, ...] = ()
    oldest: datetime | None = None


def cut(stretch: Stretch, head: Head, previous: int, *, keys_per_call: int, soft: bool) -> list[Parcel]:
    """Batches for everything in the stretch, in order; the last one reaches to its end.

    `previous` is where the batch before ended. `head` was there before the stretch was read: if the stretch reaches as
    far, the last batch tells everything there is.
    """
    parcels: list[Parcel] = []
    for part in _parts(stretch.entries, keys_per_call):
        parcels.append(_parcel(stretch.epoch, previous, part, soft=soft))
        previous = parcels[-1].batch.sequence
    if not parcels:
        return []
    last = parcels[-1].batch
    is_all = stretch.until >= head.told
    parcels[-1] = replace(
        parcels[-1],
        batch=replace(
            last,
            sequence=stretch.until,
            as_of=head.asked_at if is_all else None,
            complete=head.complete if is_all else None,
        ),
    )
    return parcels


def flush(head: Head) -> Parcel:
    """Forget everything, and go on from here."""
    batch = Batch(
        head.epoch,
        0,
        head.sequence,
        position=head.position,
        flush=True,
        as_of=head.asked_at,
        complete=head.complete,
    )
    return Parcel(batch)


def heartbeat(head: Head, previous: int) -> Parcel:
    """Nothing is new; for whoever knows everything up to `head.told`."""
    batch = Batch(
        head.epoch, previous, head.sequence, position=head.position, as_of=head.asked_at, complete=head.complete
    )
    return Parcel(batch)


def _parts(entries: Sequence[Entry], keys_per_call: int) -> list[list[Entry]]:
    parts: list[list[Entry]] = []
    keys: set[str] = set()
    for entry in entries:
        key = None if entry.kind in _SILENT else entry.slug
        if not parts or (key is not None and key not in keys and len(keys) >= keys_per_call):
            parts.append([])
            keys = set()
        if key is not None:
            keys.add(key)
        parts[-1].append(entry)
    return parts


def _parcel(epoch: str, previous: int, entries: Sequence[Entry], *, soft: bool) -> Parcel:
    changes = [entry for entry in entries if entry.kind not in _SILENT]
    keys = dict.fromkeys(surrogates.of_paste(entry.slug) for entry in changes)
    batch = Batch(
        epoch,
        previous,
        entries[-1].sequence,
        tuple(keys),
        position=_latest([entry.position for entry in changes]),
        soft=soft and all(entry.kind in _GENTLE for entry in changes),
    )
    pushes = [url for entry in entries if entry.kind == _PUSH for url in (entry.payload or {}).get("urls", ())]
    oldest = min((entry.created_at for entry in changes), default=None)
    return Parcel(batch, tuple(dict.fromkeys(pushes)), oldest)


def _latest(positions: Sequence[Position]) -> Position | None:
    """All of them were read on one connection, so they compare."""
    return max(positions, key=lambda position: position.lsn, default=None)
