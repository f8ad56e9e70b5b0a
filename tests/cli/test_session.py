from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cli import session
from pastebin.cli.failures import Unreachable
from pastebin.cli.session import (
    LONGEST_WAIT_SECONDS,
    RETRIES,
    FieldProblem,
    ProblemDocument,
    describe_problem,
    retry_wait,
)

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@given(st.integers(100, 599), st.none() | st.text(), st.integers(0, 20))
def test_waiting_is_bounded(status: int, retry_after: str | None, tries: int) -> None:
    wait = retry_wait(status, retry_after, tries, NOW)
    assert wait is None or (status in (429, 503) and tries < RETRIES and 0 <= wait <= LONGEST_WAIT_SECONDS)


@given(st.integers(0, 10**12))
def test_seconds_are_honoured_up_to_the_limit(seconds: int) -> None:
    expected = seconds if seconds <= LONGEST_WAIT_SECONDS else None
    assert retry_wait(503, str(seconds), 0, NOW) == expected


@pytest.mark.parametrize(("ahead", "wait"), [(-5, 0), (0, 0), (7, 7), (31, None)])
def test_dates_are_honoured_up_to_the_limit(ahead: int, wait: float | None) -> None:
    moment = format_datetime(NOW + timedelta(seconds=ahead), usegmt=True)
    assert retry_wait(429, moment, 0, NOW) == wait


def test_without_a_word_from_the_server_waiting_grows() -> None:
    waits = [retry_wait(503, None, tries, NOW) for tries in range(RETRIES)]
    assert all(wait is not None for wait in waits)
    assert waits == sorted(waits, key=lambda wait: wait or 0)
    assert len(set(waits)) == RETRIES


def test_a_problem_is_told_once() -> None:
    errors = [FieldProblem("title", "is too long"), FieldProblem("", "no room")]
    told = ProblemDocument(detail="title: is too long; no room", errors=errors)
    assert describe_problem(told, 422) == ["title: is too long; no room"]
    untold = ProblemDocument(title="Paste not acceptable", errors=errors)
    assert describe_problem(untold, 422) == ["Paste not acceptable", "title: is too long", "no room"]


def test_a_failure_of_the_server_can_be_looked_up() -> None:
    assert describe_problem(ProblemDocument(detail="Internal error", request_id="r1"), 500)[-1] == "request r1"
    assert describe_problem(ProblemDocument(detail="No", request_id="r1"), 422) == ["No"]


async def serve_interim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says that the answer is coming, for ever."""
    try:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_an_answer_that_is_only_announced_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HEAD_SECONDS", 0.3)
    server = await asyncio.start_server(serve_interim, "127.0.0.1", 0)
    async with server, session.open_session(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as opened:
        with pytest.raises(Unreachable, match="gave no answer"):
            async with opened.exchange(session.Request(method="GET", path="/x")):
                pass
