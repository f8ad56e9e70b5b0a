"""Sweeping over a real database and real files: gone in time, kept as long as promised, counted honestly."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge

from pastebin.errors import Unavailable
from pastebin.metrics import Metrics
from pastebin.models import Paste
from pastebin.sections import BlobsSection, SweepingSection
from pastebin.services.sweeping import Sweeping
from pastebin.store.database import Database
from pastebin.store.leftovers import Leftovers
from tests.nodes import Node, directory, started
from tests.stored import SECTION, Stored, draft

GRACE = 3600.0
ENDS = ["deleted", "expired", "burned"]


class Sweeper:
    """A Sweeping with its figures at hand."""

    def __init__(self, stored: Stored, grace_seconds: float, **options: float) -> None:
        self.metrics = Metrics()
        section = SweepingSection(**{"tombstone_seconds": 0.0, **options})  # type: ignore[arg-type]
        blobs = BlobsSection(grace_seconds=grace_seconds)
        self.sweeping = Sweeping(stored.leftovers, stored.blobs, section, blobs, self.metrics)

    async def sweep(self) -> dict[str, float]:
        """What was removed, by kind."""
        await self.sweeping.sweep()
        return samples(self.metrics.swept, "kind")


def samples(metric: Counter, label: str) -> dict[str, float]:
    found = [sample for family in metric.collect() for sample in family.samples]
    return {sample.labels[label]: sample.value for sample in found if sample.name.endswith("_total")}


def value(metric: Gauge) -> float:
    ((sample,),) = [family.samples for family in metric.collect()]
    return sample.value


async def ended(stored: Stored, end: str) -> tuple[Paste, str]:
    """A paste with inline content and a blob that is over, and the key of the blob."""
    blob = await stored.blob()
    paste = await stored.pastes.create(draft(b"inline\n", blob, max_reads=1))
    if end == "deleted":
        await stored.end(paste, 1)
    elif end == "expired":
        await stored.expire(paste, 1)
    else:
        await stored.pastes.take_read(paste)
    return paste, str(blob.blob_key)


async def rows(stored: Stored) -> list[int]:
    return [await stored.count(table) for table in ("pastes", "revisions", "files", "blobs")]


@pytest.mark.parametrize("end", ENDS)
async def test_what_is_over_is_gone_after_a_sweep(stored: Stored, end: str) -> None:
    await ended(stored, end)
    sweeper = Sweeper(stored, grace_seconds=0)
    await sweeper.sweep()
    assert await rows(stored) == [0, 0, 0, 0]
    assert await stored.objects() == set()


@pytest.mark.parametrize("end", ENDS)
async def test_within_grace_the_object_stays_for_whoever_is_still_reading_it(stored: Stored, end: str) -> None:
    _, key = await ended(stored, end)
    sweeper = Sweeper(stored, GRACE, tombstone_seconds=GRACE)
    await sweeper.sweep()
    assert await rows(stored) == [1, 0, 0, 1]
    assert await stored.objects() == {key}
    await stored.age(key, GRACE + 1)
    await sweeper.sweep()
    assert await rows(stored) == [1, 0, 0, 0]
    assert await stored.objects() == set()


async def test_the_living_are_left_alone(stored: Stored) -> None:
    blob = await stored.blob()
    paste = await stored.pastes.create(draft(b"inline\n", blob, idempotency_hash=b"k" * 32, fingerprint=b"f"))
    sweeper = Sweeper(stored, grace_seconds=0)
    assert await sweeper.sweep() == {}
    await sweeper.sweeping.reconcile()
    assert await stored.pastes.find(paste.slug, bodies="all") == paste
    assert await stored.objects() == {blob.blob_key}
    assert value(sweeper.metrics.missing_blobs) == 0


async def test_the_figures_say_what_is_over_and_still_here(stored: Stored) -> None:
    sweeper = Sweeper(stored, GRACE)
    for end in ENDS:
        await ended(stored, end)
    await stored.expire(await stored.paste(), 500)
    await sweeper.sweeping.measure()
    assert value(sweeper.metrics.expired_but_present) == 4
    assert 500 <= value(sweeper.metrics.expired_oldest_age) < 600
    assert value(sweeper.metrics.orphan_blobs) == 0
    swept = await sweeper.sweep()
    assert swept == {"expired": 2, "revision": 4, "tombstone": 4}
    assert value(sweeper.metrics.expired_but_present) == 0
    assert value(sweeper.metrics.expired_oldest_age) == 0
    assert value(sweeper.metrics.orphan_blobs) == 3


async def test_a_sweep_finishes_however_small_its_batches(stored: Stored) -> None:
    for number in range(7):
        await ended(stored, ENDS[number % 3])
    for number in range(3):
        await stored.paste(idempotency_hash=b"%032d" % number, fingerprint=b"f")
    await stored.sql("update pastes set created_at = now() - interval '2 days'")
    swept = await Sweeper(stored, 0, batch_size=2).sweep()
    assert swept == {"expired": 2, "revision": 7, "blob": 7, "tombstone": 7, "idempotency-key": 3}
    assert await rows(stored) == [3, 3, 3, 0]


async def test_several_sweepers_at_once_do_the_work_once(stored: Stored) -> None:
    for number in range(30):
        await ended(stored, ENDS[number % 3])
    async with Database.opened(SECTION, stored.dsn) as database:
        other = Stored(stored.dsn, database, stored.pastes, Leftovers(database), stored.blobs)
        sweepers = [Sweeper(place, 0, batch_size=3) for place in (stored, other, stored, other)]
        done = await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))
        done.append(await sweepers[0].sweep())
    total: dict[str, float] = {}
    for sweeper in sweepers:
        for kind, number in samples(sweeper.metrics.swept, "kind").items():
            total[kind] = total.get(kind, 0) + number
    assert total == {"expired": 10, "revision": 30, "blob": 30, "tombstone": 30}
    assert await rows(stored) == [0, 0, 0, 0]
    assert await stored.objects() == set()


async def test_an_object_that_no_row_knows_goes_after_the_grace_period(stored: Stored, tmp_path: Path) -> None:
    blob = await stored.blob()
    await stored.sql("delete from blobs")
    known = await stored.blob()
    await Sweeper(stored, GRACE).sweeping.reconcile()
    assert await stored.objects() == {blob.blob_key, known.blob_key}
    for path in (tmp_path / "blobs").rglob(f"{blob.blob_key}"):
        os.utime(path, (0, 0))
    sweeper = Sweeper(stored, GRACE)
    await sweeper.sweeping.reconcile()
    assert await stored.objects() == {known.blob_key}
    assert samples(sweeper.metrics.swept, "kind") == {"unknown-blob": 1}


async def test_a_row_without_its_object_is_counted_and_said(stored: Stored, caplog: pytest.LogCaptureFixture) -> None:
    lost, kept = await stored.blob(), await stored.blob()
    paste = await stored.pastes.create(draft(lost, kept))
    await stored.blobs.remove(str(lost.blob_key))
    sweeper = Sweeper(stored, 0)
    await sweeper.sweeping.reconcile()
    assert value(sweeper.metrics.missing_blobs) == 1
    assert f"blob {lost.blob_key} is missing" in caplog.text
    assert (await stored.pastes.find(paste.slug)).id == paste.id, "hidden it is not"
    async with stored.blobs.writer(str(lost.blob_key)) as writer:
        await writer.complete()
    await sweeper.sweeping.reconcile()
    assert value(sweeper.metrics.missing_blobs) == 0


async def test_a_live_blob_that_nobody_points_to_is_found_in_the_end(stored: Stored) -> None:
    paste = await stored.pastes.create(draft(await stored.blob()))
    await stored.sql("delete from pastes where id = $1", paste.id)
    sweeper = Sweeper(stored, 0)
    await sweeper.sweep()
    assert await stored.count("blobs") == 1
    await sweeper.sweeping.reconcile()
    await sweeper.sweep()
    assert await rows(stored) == [0, 0, 0, 0]
    assert await stored.objects() == set()


async def test_what_goes_wrong_now_is_tried_again_in_the_next_round(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, key = await ended(stored, "deleted")
    tried = asyncio.Event()
    remove = stored.blobs.remove

    async def unable(key: str) -> None:
        if not tried.is_set():
            tried.set()
            raise Unavailable("The disk is on strike.")
        await remove(key)

    monkeypatch.setattr(stored.blobs, "remove", unable)
    sweeper = Sweeper(stored, 0, interval_seconds=0.001)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(60):
        loop = tasks.create_task(sweeper.sweeping.run())
        while await stored.count("blobs"):
            assert await stored.objects() <= {key}
        loop.cancel()
    assert "The disk is on strike." in caplog.text
    assert await stored.objects() == set()


async def test_one_object_that_resists_keeps_nobody_else(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [(await ended(stored, "deleted"))[1] for _ in range(4)]
    remove = stored.blobs.remove

    async def unable(key: str) -> None:
        if key == keys[1]:
            raise Unavailable("This one is stuck.")
        await remove(key)

    monkeypatch.setattr(stored.blobs, "remove", unable)
    with pytest.raises(Unavailable):
        await Sweeper(stored, 0).sweep()
    assert await stored.objects() == {keys[1]}
    assert set(await stored.blob_states()) == {keys[1]}


async def test_the_last_read_leaves_no_title_behind(stored: Stored) -> None:
    await ended(stored, "burned")
    await stored.sql("update pastes set title = 'secret', password_hash = 'hash', encryption = '{}'")
    await Sweeper(stored, 0, tombstone_seconds=3600).sweep()
    (row,) = await stored.sql("select state, title, password_hash, encryption from pastes")
    assert tuple(row) == ("burned", None, None, None)


@pytest.mark.parametrize("code", ["58030", "40P01", "XX001", "42P01", "22012"])
async def test_whatever_the_database_answers_the_sweeper_goes_on(
    stored: Stored, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    paste = await stored.paste()
    body = f"begin raise exception 'a strike' using errcode = '{code}'; end"
    await stored.sql(f"create function refuse() returns trigger language plpgsql as $${body}$$")
    await stored.sql("create trigger refuse before update on pastes for each statement execute function refuse()")
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(60):
        loop = tasks.create_task(Sweeper(stored, 0, interval_seconds=0.001).sweeping.run())
        while "stopped early" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await stored.sql("drop trigger refuse on pastes")
        await stored.expire(paste, 1)
        while await stored.count("pastes"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        loop.cancel()


async def test_what_a_killed_upload_has_left_goes_at_the_start(stored: Stored, tmp_path: Path) -> None:
    left = tmp_path / "blobs" / "tmp" / "left"
    left.write_bytes(b"half of it")
    os.utime(left, (0, 0))
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(60):
        loop = tasks.create_task(Sweeper(stored, 0).sweeping.run())
        while left.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        loop.cancel()


async def test_a_bug_in_a_sweep_is_not_swallowed(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_limit: int) -> int:
        raise LookupError

    monkeypatch.setattr(stored.leftovers, "expire", broken)
    with pytest.raises(ExceptionGroup) as raised:
        await Sweeper(stored, 0).sweeping.run()
    assert raised.group_contains(LookupError)


@pytest.fixture
async def greedy_node(database_dsn: str) -> AsyncIterator[Node]:
    """A node that sweeps and reconciles without grace whenever it can."""
    settings = {
        "sweeping__interval_seconds": 0.01,
        "sweeping__reconcile_seconds": 0.01,
        "sweeping__tombstone_seconds": 0,
        "blobs__grace_seconds": 0,
    }
    async with directory() as path, started(database_dsn, path, **settings) as running:
        yield running


async def rounds(node: Node, number: int) -> None:
    """Wait until the node has begun and ended so many rounds of sweeping."""
    seen: set[str] = set()
    async with asyncio.timeout(60):
        while len(seen) <= number:
            async with node.http.get(f"{node.internal}/metrics") as response:
                text = await response.text()
            seen.update(line for line in text.splitlines() if line.startswith("pastebin_background_last_success"))


async def test_a_running_upload_outlives_a_sweep_without_grace(
    greedy_node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    node = greedy_node
    begun, swept = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 3_000_000
        begun.set()
        await swept.wait()
        yield b"y" * 3_000_000

    async def upload() -> str:
        async with node.http.post(f"{node.url}/api/v1/pastes", data=body()) as response:
            assert response.status == 201, await response.text()
            return str((await response.json())["raw_url"])

    async with asyncio.TaskGroup() as tasks:
        uploading = tasks.create_task(upload())
        await begun.wait()
        async with asyncio.timeout(60):
            while not await node.sql("select from blobs where state = 'pending'"):
                pass
        await rounds(node, 3)
        swept.set()
    await rounds(node, 3)
    async with node.http.get(uploading.result()) as response:
        assert await response.read() == b"x" * 3_000_000 + b"y" * 3_000_000
    assert "removing blob" not in caplog.text


async def test_a_deleted_paste_leaves_no_byte_behind(greedy_node: Node) -> None:
    node = greedy_node
    created = await node.paste(b"z" * 300_000)
    owner = {"Authorization": f"Bearer {created['token']}"}
    async with node.http.delete(f"{node.url}/api/v1/pastes/{created['slug']}", headers=owner) as response:
        assert response.status == 204
    async with asyncio.timeout(60):
        while await node.sql("select from pastes") or await node.sql("select from blobs"):
            pass
    assert [path for path in node.config.blob_directory.rglob("*") if path.is_file()] == []
