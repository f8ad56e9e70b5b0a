"""What every target makes of a provider that is slow, away, overloaded, out of order or not who it should be."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cdn.targets import Equipment, Target, TargetBusy, TargetError, TargetRefused, TargetUnreachable
from pastebin.cdn.targets.calls import divided, retry_after_seconds
from pastebin.sections import TargetKind
from tests.cdn.targets.provider import TOKEN, Provider, Reply, batch, equipment, section, talking
from tests.ports import free_port

__all__ = ["equipment"]

KINDS: tuple[TargetKind, ...] = ("varnish", "fastly", "cloudflare", "cloudfront", "bunny")


@asynccontextmanager
async def opened(kind: TargetKind, url: str, equipment: Equipment, **options: object) -> AsyncIterator[Target]:
    if kind == "cloudfront":
        options = {"access_key": "AKIA", **options}
    module = import_module(f"pastebin.cdn.targets.{kind}")
    async with module.opened(section(kind, url, **options), equipment) as target:
        yield target


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> TargetKind:
    found: TargetKind = request.param
    return found


async def failure(kind: TargetKind, reply: Reply, equipment: Equipment) -> TargetError:
    """What a purge raises when it is answered so; nothing of the token is in it, whatever the answer says."""
    async with Provider.opened(reply) as provider, opened(kind, provider.url, equipment) as target:
        with pytest.raises(TargetError) as caught:
            await target.purge(batch("p-abc"))
        assert TOKEN not in f"{caught.value} {caught.value!r}"
        assert TOKEN not in " ".join(asked.target for asked in provider.asked)
        return caught.value


async def test_out_of_order(kind: TargetKind, equipment: Equipment) -> None:
    found = await failure(kind, Reply(500, b"it hurts: " + TOKEN.encode()), equipment)
    assert isinstance(found, TargetUnreachable)


async def test_wrong_credentials_keep_the_batch_waiting(kind: TargetKind, equipment: Equipment) -> None:
    for status in (401, 403):
        assert isinstance(await failure(kind, Reply(status, b"no"), equipment), TargetUnreachable)


async def test_a_redirect_is_not_followed(kind: TargetKind, equipment: Equipment) -> None:
    async with Provider.opened() as elsewhere:
        found = await failure(kind, Reply(307, headers={"Location": f"{elsewhere.url}/there"}), equipment)
        assert isinstance(found, TargetUnreachable)
        assert elsewhere.asked == []


async def test_no_answer_in_time(kind: TargetKind, equipment: Equipment) -> None:
    hurried = replace(equipment, request_timeout_seconds=0.2)
    assert isinstance(await failure(kind, Reply(silent=True), hurried), TargetUnreachable)


async def test_an_answer_without_end(kind: TargetKind, equipment: Equipment) -> None:
    hurried = replace(equipment, request_timeout_seconds=0.5)
    assert isinstance(await failure(kind, Reply(endless=True), hurried), TargetUnreachable)


@pytest.mark.parametrize("said", [b"", b"\0\xff" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"])
async def test_garbage(kind: TargetKind, said: bytes, equipment: Equipment) -> None:
    async with talking(said) as url, opened(kind, url, equipment) as target:
        with pytest.raises(TargetUnreachable):
            await target.purge(batch("p-abc"))


async def test_nobody_there(kind: TargetKind, equipment: Equipment) -> None:
    async with opened(kind, f"http://127.0.0.1:{free_port()}", equipment) as target:
        with pytest.raises(TargetUnreachable):
            await target.purge(batch("p-abc"))
        assert await target.check() is not None


@pytest.mark.parametrize("kind", ["varnish", "fastly", "cloudflare", "cloudfront"])
async def test_somebody_elses_server(kind: TargetKind, equipment: Equipment) -> None:
    """A front page of something else, with 200, has purged nothing. An answer of Bunny has nothing that would tell."""
    found = await failure(kind, Reply(200, b"<html>welcome</html>"), equipment)
    assert isinstance(found, TargetUnreachable)


@pytest.mark.parametrize("kind", ["varnish", "fastly", "cloudflare", "bunny"])
async def test_patience_is_asked_for(kind: TargetKind, equipment: Equipment) -> None:
    reply = Reply(429, headers={"Retry-After": "170"})
    async with Provider.opened(reply) as provider, opened(kind, provider.url, equipment) as target:
        with pytest.raises(TargetBusy) as caught:
            await target.purge(batch("p-abc"))
        assert caught.value.retry_after_seconds == 170
        with pytest.raises(TargetBusy) as caught:
            await target.purge(batch("p-abc"))
        assert 100 < caught.value.retry_after_seconds <= 170
        assert len(provider.asked) == 1, "nothing is sent meanwhile"


@pytest.mark.parametrize("kind", ["varnish", "fastly", "cloudflare", "bunny"])
async def test_an_absurd_retry_after_is_bounded(kind: TargetKind, equipment: Equipment) -> None:
    found = await failure(kind, Reply(503, headers={"Retry-After": "999999999"}), equipment)
    assert isinstance(found, TargetBusy)
    assert found.retry_after_seconds == 3600


async def test_beyond_its_own_limit_nothing_is_sent(kind: TargetKind, equipment: Equipment) -> None:
    slow = {"calls_per_second": 0.01, "burst": 1}
    async with Provider.opened(Reply(500)) as provider, opened(kind, provider.url, equipment, **slow) as target:
        with pytest.raises(TargetUnreachable):
            await target.purge(batch("p-abc"))
        with pytest.raises(TargetBusy) as caught:
            await target.purge(batch("p-abc"))
        assert 30 < caught.value.retry_after_seconds <= 100
        assert len(provider.asked) == 1


async def test_secrets_stay_out_of_logs_and_representations(
    kind: TargetKind, equipment: Equipment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="pastebin")
    caplog.set_level(logging.INFO, logger="botocore")
    async with Provider.opened(Reply(400, b"no")) as provider, opened(kind, provider.url, equipment) as target:
        with pytest.raises(TargetError):
            await target.purge(batch("p-abc"))
        assert TOKEN not in caplog.text
        assert TOKEN not in repr(target)
    assert "secret" not in repr(equipment)


class TestDivided:
    """One bad key does not keep the good ones of its call from being purged."""

    @given(st.integers(1, 60), st.data())
    async def test_the_good_ones_arrive(self, count: int, data: st.DataObject) -> None:
        keys = [f"p-{number}" for number in range(count)]
        bad = set(data.draw(st.lists(st.sampled_from(keys), max_size=4)))
        arrived: set[str] = set()

        async def send(part: list[str] | tuple[str, ...]) -> None:
            if bad & set(part):
                raise TargetRefused("no", part)
            arrived.update(part)

        if bad:
            with pytest.raises(TargetRefused) as caught:
                await divided(keys, send)  # type: ignore[arg-type]
            assert set(caught.value.keys) == bad
        else:
            await divided(keys, send)  # type: ignore[arg-type]
        assert arrived == set(keys) - bad

    async def test_if_everything_is_refused_it_is_not_the_keys(self) -> None:
        calls = 0

        async def send(part: object) -> None:
            nonlocal calls
            calls += 1
            raise TargetRefused("no", ())

        with pytest.raises(TargetUnreachable):
            await divided([f"p-{number}" for number in range(256)], send)
        assert calls < 32


class TestRetryAfter:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    @given(st.text(max_size=40))
    def test_anything_may_stand_there(self, text: str) -> None:
        found = retry_after_seconds(text, self.now)
        assert found is None or found >= 0

    def test_seconds_and_dates(self) -> None:
        assert retry_after_seconds(" 7 ", self.now) == 7
        assert retry_after_seconds(format_datetime(self.now + timedelta(seconds=9), usegmt=True), self.now) == 9
        assert retry_after_seconds(format_datetime(self.now - timedelta(days=9), usegmt=True), self.now) == 0
        assert retry_after_seconds("-1", self.now) is None
        assert retry_after_seconds(None, self.now) is None
