"""The way in: batches of events and salts from other nodes, over the internal door or from within this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec
import orjson
from aiohttp import web

from pastebin.allowance import Allowance
from pastebin.analytics.checking import Checked, Window, check, unpack
from pastebin.analytics.engines import Engine
from pastebin.errors import Overloaded, PasteTooLarge, Unavailable, UnreadableRequest
from pastebin.http.app import Routes
from pastebin.http.signing import SignedRoutes
from pastebin.metrics import Metrics
from pastebin.sections import AnalyticsSection
from pastebin.services.statistics import Answer
from pastebin.visits import BATCH_BYTES, BATCHES, SALTS, Batch, SaltsMessage

log = logging.getLogger(__name__)

_BODY_SECONDS = 15.0
_TAKE_SECONDS = 60.0
_AT_ONCE = 4
_MOST_WAITING = 16
_RETRY_SECONDS = 2
# Smaller ones are unpacked faster than a thread would be found.
_THREAD_BYTES = 32 * 1024
# A node that asks just after midnight may get what is a period old, by any clock that is not wholly wrong.
_SALT_PERIODS = 2
_DAY_SECONDS = 86400

Respond = Callable[[bytes], Awaitable[Answer]]


class Ingest:
    """Answers the signed addresses. More batches than `batches_per_second` or than can wait are told to come later.

    `more` are further addresses that take a POST, by path; `heard` is told of every batch that is new. Salts are kept
    in memory only, and no longer than two days.
    """

    def __init__(
        self,
        engine: Engine,
        section: AnalyticsSection,
        metrics: Metrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._section = section
        self._metrics = metrics
        self._now = now
        self._allowance = Allowance(section.batches_per_second, max(section.batches_per_second, 1.0))
        self._turns = asyncio.Semaphore(min(_AT_ONCE, section.pool_size))
        self._waiting = 0
        self._salts: SaltsMessage | None = None
        self.more: dict[str, Respond] = {}
        self.heard: Callable[[Batch], None] | None = None

    async def carry(self, method: str, path: str, body: bytes) -> Answer:
        """See `LocalAnalytics`. Raises Unavailable."""
        match method, path:
            case "POST", str() if path == BATCHES:
                return await self._take(body)
            case "POST", str() if path == SALTS:
                return self._learn_salts(body)
            case "GET", str() if path == SALTS:
                return self._tell_salts()
            case "POST", str() if path in self.more:
                return await self.more[path](body)
        return Answer(404, b"{}")

    def routes(self, signed: SignedRoutes) -> Routes:
        """For the internal door."""
        batches = signed.only(
            self._respond, most_bytes=BATCH_BYTES, seconds=_BODY_SECONDS, oversized=lambda: PasteTooLarge(_TOO_LARGE)
        )
        handler = signed.only(self._respond)
        others = [web.post(path, handler) for path in (SALTS, *self.more)]
        return [web.post(BATCHES, batches), web.get(SALTS, handler), *others]

    async def _respond(self, request: web.Request, body: bytes) -> web.Response:
        answer = await self.carry(request.method, request.path, body)
        return web.Response(
            status=answer.status,
            body=answer.body,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def _take(self, body: bytes) -> Answer:
        if self._waiting >= _MOST_WAITING or not self._allowance.take():
            self._metrics.analytics_batches.labels("crowded").inc()
            raise Overloaded(retry_after_seconds=_RETRY_SECONDS)
        self._waiting += 1
        try:
            async with asyncio.timeout(_TAKE_SECONDS), self._turns:
                return await self._keep(body)
        except TimeoutError:
            self._metrics.analytics_batches.labels("away").inc()
            raise Unavailable("The analytics database does not answer in time.") from None
        except Unavailable:
            self._metrics.analytics_batches.labels("away").inc()
            raise
        except UnreadableRequest as error:
            self._metrics.analytics_batches.labels("unreadable").inc()
            log.warning("a batch was refused: %s", error.detail)
            return Answer(400, orjson.dumps({"detail": error.detail}))
        finally:
            self._waiting -= 1

    async def _keep(self, body: bytes) -> Answer:
        if len(body) > BATCH_BYTES:
            raise UnreadableRequest(_TOO_LARGE)
        now = self._now()
        text = await asyncio.to_thread(unpack, body) if len(body) > _THREAD_BYTES else unpack(body)
        checked = check(text, _window(self._section, now))
        is_new = await self._engine.take(checked.batch, now)
        self._count(checked, is_new)
        if is_new and self.heard is not None:
            self.heard(checked.batch)
        told = {"taken": is_new, "rejected": dict(checked.rejected), "clamped": dict(checked.clamped)}
        return Answer(200, orjson.dumps(told))

    def _count(self, checked: Checked, is_new: bool) -> None:
        metrics = self._metrics
        metrics.analytics_batches.labels("taken" if is_new else "again").inc()
        if is_new:
            metrics.analytics_events.labels("visit").inc(len(checked.batch.visits))
            metrics.analytics_events.labels("change").inc(len(checked.batch.changes))
            for counter, words in (
                (metrics.analytics_rejected, checked.rejected),
                (metrics.analytics_clamped, checked.clamped),
            ):
                for word, number in words.items():
                    counter.labels(word).inc(number)

    def _learn_salts(self, body: bytes) -> Answer:
        try:
            salts = msgspec.json.decode(body, type=SaltsMessage)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Answer(400, orjson.dumps({"detail": "Not the salts of a period."}))  # their text is told to nobody
        if salts.period > self._period + 1:  # by a clock that is wholly wrong: no others could ever replace them
            return Answer(400, orjson.dumps({"detail": "The salts of a period to come."}))
        if self._salts is None or salts.period >= self._salts.period:
            self._salts = salts
        return Answer(200, b"{}")

    def _tell_salts(self) -> Answer:
        self.forget_salts()
        return Answer(200, msgspec.json.encode(self._salts)) if self._salts else Answer(404, b"{}")

    @property
    def _period(self) -> int:
        return int(self._now().timestamp()) // _DAY_SECONDS

    def forget_salts(self) -> None:
        """Let go of what is two days old."""
        salts, period = self._salts, self._period
        if salts is not None and period >= salts.period + _SALT_PERIODS:
            self._salts = None
        elif salts is not None and period > salts.period and salts.previous:
            self._salts = msgspec.structs.replace(salts, previous="")


_TOO_LARGE = f"A batch has at most {BATCH_BYTES} bytes."


def _window(section: AnalyticsSection, now: datetime) -> Window:
    """What is older than single events are kept could not be counted any more without losing what was counted."""
    late = min(timedelta(seconds=section.late_seconds), timedelta(days=section.raw_days - 1))
    future = timedelta(seconds=section.future_seconds)
    since, today, until = (int(moment.timestamp() * 1000) for moment in (now - late, now, now + future))
    return Window(since, today, until)
