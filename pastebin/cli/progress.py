"""A progress bar for transfers that take a while, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SHOWN_FROM_BYTES = 4 * 1024 * 1024


class Progress(Protocol):
    def add(self, count: int) -> None:
        """So many more bytes have passed."""

    def restart(self, done: int = 0) -> None:
        """The transfer stands at `done` bytes again."""


class _Silent:
    def add(self, count: int) -> None:
        pass

    def restart(self, done: int = 0) -> None:
        pass


class _Bar:
    def __init__(self, total: int | None) -> None:
        from tqdm import tqdm  # takes longer to import than most transfers take

        self._bar = tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, leave=False, delay=0.3)

    def add(self, count: int) -> None:
        self._bar.update(count)

    def restart(self, done: int = 0) -> None:
        self._bar.reset()
        self._bar.update(done)

    def close(self) -> None:
        self._bar.close()


@contextmanager
def show_progress(total: int | None) -> Iterator[Progress]:
    """A bar on standard error if that is a terminal and the size is large or unknown, else nothing."""
    if not sys.stderr.isatty() or (total is not None and total < SHOWN_FROM_BYTES):
        yield _Silent()
        return
    bar = _Bar(total)
    try:
        yield bar
    finally:
        bar.close()
