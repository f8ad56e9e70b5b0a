"""Searching the lines of texts of any size: in a process of its own, within a time, a memory and a number of lines."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from pastebin.errors import InvalidQuestion, Overloaded, PastebinError, Problem, Unavailable
from pastebin.models import File
from pastebin.sections import SearchSection
from pastebin.services.lines import Lines
from pastebin.services.lines_grep import LENGTH, Question
from pastebin.services.reading import closing
from pastebin.services.workers import END_SECONDS, environment, task_group

log = logging.getLogger(__name__)

QUERY_CHARACTERS = 500
MOST_MATCHES = 1000
_QUEUE = 16  # searches that wait for their turn
# An end of the text is not one of a line, and half a character is none.
_NOT_OF_LINES = re.compile(r"(?:[^\\]|\A)(?:\\\\)*\\[AzZC]")


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for in each line."""

    text: str
    is_regex: bool = False
    ignores_case: bool = False

    def problems(self) -> list[Problem]:
        """What is wrong with it, but for what only the engine knows."""
        if not self.text:
            return [Problem("q", "must not be empty")]
        if len(self.text) > QUERY_CHARACTERS:
            return [Problem("q", f"must be at most {QUERY_CHARACTERS} characters")]
        if "\n" in self.text or "\0" in self.text:
            return [Problem("q", "must be one line without NUL")]
        if self.is_regex and _NOT_OF_LINES.search(self.text):
            return [Problem("q", r"is matched against single lines: use ^ and $, not \A, \z, \Z or \C")]
        return []


@dataclass(frozen=True, slots=True)
class Place:
    """A line of one of the texts, which are counted from 0 here."""

    text: int
    line: int


@dataclass(frozen=True, slots=True)
class Match:
    """A line, by what stands before, in and behind the first match in it; long lines are cut."""

    place: Place
    before: str
    match: str
    after: str


@dataclass(slots=True)
class Found:
    """What was found. `next` is where a search would go on: None after the last line of all."""

    next: Place | None
    matches: list[Match] = field(default_factory=list)
    is_late: bool = False


class Searching:
    """Starts a process for each search; `section.workers` of them at once."""

    def __init__(self, lines: Lines, section: SearchSection) -> None:
        self._lines = lines
        self._section = section
        self._turns = asyncio.Semaphore(section.workers)
        self._queued = 0

    async def search(self, texts: Sequence[File], query: Query, start: Place, limit: int) -> Found:
        """The first `limit` lines from `start` on that match, as far as the time allows.

        Raises InvalidQuestion for what cannot be looked for, Overloaded where too many search or not a single piece
        could be searched in time, BlobMissing.
        """
        if problems := query.problems():
            raise InvalidQuestion(problems)
        if start.text >= len(texts):
            return Found(None)
        found = Found(start)
        async with self._turn():
            seconds = self._section.timeout_seconds
            question = Question(query.text, query.is_regex, query.ignores_case, start.line, limit, seconds + 1)
            try:
                async with asyncio.timeout(seconds), self._process() as process, task_group() as tasks:
                    feeder = Feeder(self._lines, process, texts, start)
                    feeding = tasks.create_task(feeder.feed(question), name="texts to search")
                    try:
                        await _collect(process, found, limit, len(texts))
                    finally:
                        feeding.cancel()
                    if feeder.failure is not None:
                        raise feeder.failure
            except TimeoutError:
                found.is_late = True
        if found.is_late and found.next == start and not found.matches:
            raise Overloaded("This search took too long; try again, or look for something simpler.")
        return found

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._queued >= _QUEUE:
            raise Overloaded("Too many search at the moment; try again shortly.")
        self._queued += 1
        try:
            async with asyncio.timeout(self._section.timeout_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded("Too many search at the moment; try again shortly.") from None
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Process]:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "pastebin.services.lines_grep", str(self._section.memory_mb)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment(),
                start_new_session=True,  # Ctrl+C at the terminal is for the node
                limit=1024**2,
            )
        except OSError as error:
            raise Unavailable("No search can be started at the moment; try again shortly.") from error
        try:
            yield process
        finally:
            await asyncio.shield(_ended(process))


class Feeder:
    """Writes the question and the texts to a process, until it wants no more; what went wrong is its `failure`."""

    def __init__(self, lines: Lines, process: Process, texts: Sequence[File], start: Place) -> None:
        assert process.stdin is not None  # noqa: S101  (for the type checker: it is a pipe)
        self._pipe = process.stdin
        self._lines = lines
        self._texts = texts
        self._start = start
        self.failure: PastebinError | None = None

    async def feed(self, question: Question) -> None:
        try:
            await self._send(orjson.dumps(asdict(question)))
            for number, file in enumerate(self._texts[self._start.text :]):
                first = self._start.line if number == 0 else 1
                async with closing(self._lines.chunks(file, first, None)) as chunks:
                    async for chunk in chunks:
                        await self._send(chunk)
                await self._send(b"")
        except (BrokenPipeError, ConnectionResetError):
            return
        except PastebinError as error:
            self.failure = error
        self._pipe.close()

    async def _send(self, body: bytes) -> None:
        self._pipe.write(LENGTH.pack(len(body)))
        self._pipe.write(body)
        await self._pipe.drain()


async def _collect(process: Process, found: Found, limit: int, texts: int) -> None:
    """Take down what the process says. Raises InvalidQuestion for what it refuses, Unavailable if it ends early."""
    assert process.stdout is not None  # noqa: S101  (for the type checker: it is a pipe)
    while said := await process.stdout.readline():
        word, *what = orjson.loads(said)
        here = found.next
        if word == "refused":
            raise InvalidQuestion([Problem("q", f"is not a regular expression: {what[0]}")])
        if word == "done" or here is None:
            return
        _note(found, here, word, what)
        if len(found.matches) >= limit:
            return
        if found.next is not None and found.next.text >= texts:
            found.next = None
    log.warning("a search ended early, after %d lines", len(found.matches))
    raise Unavailable("This search failed; try again, or look for something simpler.")


def _note(found: Found, here: Place, word: str, what: list[Any]) -> None:
    if word == "found":
        line, before, match, after = what
        found.matches.append(Match(Place(here.text, line), before, match, after))
        found.next = Place(here.text, line + 1)
    elif word == "passed":
        found.next = Place(here.text, what[0])
    elif word == "text":
        found.next = Place(here.text + 1, 1)


async def _ended(process: Process) -> None:
    """Kill the process and take leave of it."""
    with suppress(ProcessLookupError):
        process.kill()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.communicate()
    except TimeoutError:
        log.warning("a killed search does not end", extra={"pid": process.pid})
