"""The object store beyond the contract of all stores: large blobs, broken connections, refusals."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import BlobMissing, ResourceUnavailable, StorageFull, Unavailable
from pastebin.metrics import Metrics
from pastebin.sections import Secret
from pastebin.store.blobs import CHUNK_BYTES, new_key
from pastebin.store.budget import Budget
from pastebin.store.s3 import S3Blobs
from pastebin.store.s3_bucket import Bucket
from pastebin.store.s3_failures import Patience
from pastebin.store.s3_upload import PART_BYTES, part_bytes
from tests.cluster import until
from tests.proxies import Proxy, proxied
from tests.seaweed import BUCKET, Seaweed, client, running

MIB = 1024**2
_PATIENCE = 60.0
BODY = secrets.token_bytes(MIB)
DENIED = b"<Error><Code>%s</Code><Message>no</Message></Error>"


class Place:
    """A store behind a proxy, and a look at the bucket from outside."""

    def __init__(self, blobs: S3Blobs, proxy: Proxy, direct: Any, prefix: str, budget: Budget) -> None:
        self.blobs = blobs
        self.proxy = proxy
        self.direct = direct
        self.prefix = prefix
        self.budget = budget

    async def objects(self) -> dict[str, int]:
        """Key and size of everything that is there."""
        listing = await self.direct.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix)
        return {item["Key"].removeprefix(self.prefix): item["Size"] for item in listing.get("Contents", ())}

    async def unfinished(self) -> list[str]:
        """The multipart uploads under way."""
        listing = await self.direct.list_multipart_uploads(Bucket=BUCKET, Prefix=self.prefix)
        return [upload["UploadId"] for upload in listing.get("Uploads", ())]

    async def stored(self, mebibytes: float) -> tuple[str, str]:
        """Write so much; returns key and SHA-256."""
        key = new_key()
        digest = hashlib.sha256()
        async with self.blobs.writer(key) as writer:
            for chunk in chunks_of(mebibytes):
                digest.update(chunk)
                await writer.write(chunk)
            await writer.complete()
        return key, digest.hexdigest()

    async def digest(self, key: str, start: int = 0, length: int | None = None) -> str:
        digest = hashlib.sha256()
        async for chunk in self.blobs.read(key, start, length):
            digest.update(chunk)
        return digest.hexdigest()


def chunks_of(mebibytes: float) -> list[bytes]:
    whole, rest = divmod(mebibytes, 1)
    return [BODY] * int(whole) + ([BODY[: int(rest * MIB)]] if rest else [])


@asynccontextmanager
async def behind(
    proxy: Proxy,
    seaweed: Seaweed,
    direct: Any,
    prefix: str,
    *,
    reads: float = _PATIENCE,
    parts: float = _PATIENCE,
    **options: Any,
) -> AsyncIterator[Place]:
    """A store that gives up a read that stalls for so long, and a part that takes so long."""
    patient = {"connect_timeout_seconds": _PATIENCE, "part_timeout_seconds": parts, **options}
    async with (
        client(proxy.endpoint, connect_timeout=_PATIENCE, read_timeout=_PATIENCE) as to,
        client(proxy.endpoint, connect_timeout=_PATIENCE, read_timeout=reads) as back,
    ):
        patience = Patience.with_store("store", Metrics())
        uploads, downloads = (
            Bucket(
                s3,
                seaweed.section(endpoint=proxy.endpoint, prefix=prefix, read_timeout_seconds=seconds, **patient),
                patience,
            )
            for s3, seconds in ((to, _PATIENCE), (back, reads))
        )
        budget = Budget(seaweed.section(**options).upload_budget_bytes)
        yield Place(S3Blobs(uploads, downloads, budget), proxy, direct, prefix, budget)


@pytest.fixture(params=["when_supported", "when_required"])
def checksums(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def place(
    request: pytest.FixtureRequest, seaweed: Seaweed, seaweed_client: Any, prefix: str
) -> AsyncIterator[Place]:
    """Only what hangs is given up soon: elsewhere a busy machine may take its time, and nothing is asked twice."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    hasty = {"reads": 4.0, "parts": 8.0} if parameters.get("then") == "hang" else {}
    async with (
        proxied(seaweed.port) as proxy,
        behind(proxy, seaweed, seaweed_client, prefix, **hasty) as found,
    ):
        yield found


async def test_large_blobs_go_in_parts_and_come_back(
    seaweed: Seaweed, seaweed_client: Any, prefix: str, checksums: str
) -> None:
    async with (
        proxied(seaweed.port) as proxy,
        behind(proxy, seaweed, seaweed_client, prefix, checksums=checksums) as at,
    ):
        sizes = [8, 8.5, 16, 33.25]
        for size in sizes:
            key, digest = await at.stored(size)
            assert await at.digest(key) == digest
        assert sorted((await at.objects()).values()) == [int(size * MIB) for size in sizes]
        assert await at.unfinished() == []
        assert proxy.count("PUT .*partNumber=") == 2 + 2 + 5
        assert at.budget.used == 0


async def test_ranges_of_a_large_blob(place: Place) -> None:
    key, _ = await place.stored(17)
    for start, length in [(0, 5), (PART_BYTES - 3, 6), (16 * MIB, None), (17 * MIB - 1, 1), (3 * MIB, 2 * CHUNK_BYTES)]:
        taken = b"".join([chunk async for chunk in place.blobs.read(key, start, length)])
        assert taken == (BODY * 17)[start : None if length is None else start + length]


@pytest.mark.parametrize("then", ["reset", "close", "hang"])
async def test_a_part_that_breaks_is_sent_again_alone(place: Place, then: str) -> None:
    fault = place.proxy.add("PUT .*partNumber=2\\b", times=1, up_bytes=3 * MIB, then=then)
    key, digest = await place.stored(24.5)
    assert fault.happened.is_set()
    assert await place.digest(key) == digest
    assert place.proxy.count("partNumber=2\\b") == 2
    others = [place.proxy.count(f"partNumber={number}\\b") for number in (1, 3, 4)]
    # waiting for the part that hangs, a busy machine may let another one run out of its seconds as well
    assert others == [1, 1, 1] or (then == "hang" and sum(others) == 4)


async def test_a_part_refused_for_now_is_sent_again(place: Place) -> None:
    answer = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 57\r\n\r\n" + DENIED % b"SlowDown"
    place.proxy.add("PUT .*partNumber=1\\b", times=2, answer=answer)
    key, digest = await place.stored(9)
    assert await place.digest(key) == digest
    assert place.proxy.count("partNumber=1\\b") == 3


async def test_an_answer_with_another_checksum_is_no_answer(place: Place) -> None:
    answer = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nx-amz-checksum-crc32: AAAAAA==\r\nContent-Length: 0\r\n\r\n'
    place.proxy.add("PUT ", times=1, answer=answer)
    key, digest = await place.stored(1)
    assert await place.digest(key) == digest
    assert place.proxy.count("PUT ") == 2


async def test_a_part_that_never_arrives_fails_the_upload_and_leaves_nothing(place: Place) -> None:
    """The error reaches the writer in the middle of whatever it does, here of waiting for its client."""
    place.proxy.add("PUT .*partNumber=2\\b", up_bytes=MIB, then="reset")
    with pytest.raises(Unavailable):
        async with asyncio.timeout(120), place.blobs.writer(new_key()) as writer:
            for chunk in chunks_of(25):
                await writer.write(chunk)
            await asyncio.Event().wait()
    assert 4 <= place.proxy.count("partNumber=2\\b") <= 8  # the client may try a kept connection once more
    assert await place.unfinished() == []
    assert await place.objects() == {}
    assert place.budget.used == 0


@pytest.mark.parametrize("written", [8.5, 17, 40])
async def test_a_cancelled_upload_leaves_no_multipart(place: Place, written: float) -> None:
    started = asyncio.Event()

    async def upload() -> None:
        async with place.blobs.writer(new_key()) as writer:
            for chunk in chunks_of(written):
                await writer.write(chunk)
            started.set()
            await asyncio.Event().wait()

    place.proxy.add("PUT .*partNumber=2\\b", up_bytes=MIB, then="hang")
    task = asyncio.create_task(upload())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await place.unfinished() == []
    assert place.budget.used == 0


async def test_an_upload_cancelled_while_it_begins_leaves_no_multipart(place: Place) -> None:
    fault = place.proxy.add("POST .*uploads", down_bytes=0, times=1, then="reset")
    task = asyncio.create_task(place.stored(9))
    await fault.happened.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await place.unfinished() == []


async def test_an_error_in_the_body_of_a_200_is_an_error(place: Place) -> None:
    """S3 may answer 200 before it knows whether it can complete an upload (API reference, CompleteMultipartUpload)."""
    xml = b'<?xml version="1.0"?>\n' + DENIED % b"InternalError"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (len(xml), xml)
    fault = place.proxy.add("POST .*uploadId=", up_bytes=0, answer=answer, then="answer")
    with pytest.raises(Unavailable):
        await place.stored(9)
    assert fault.happened.is_set()
    assert await place.objects() == {}
    assert await place.unfinished() == []


async def test_a_lost_answer_to_complete_is_found_out(place: Place) -> None:
    place.proxy.add("POST .*uploadId=", down_bytes=0, times=1, then="reset")
    key, digest = await place.stored(9)
    assert await place.digest(key) == digest


@pytest.mark.parametrize("then", ["reset", "close", "hang"])
async def test_a_download_goes_on_where_it_broke(place: Place, then: str) -> None:
    key, digest = await place.stored(20)
    place.proxy.add("GET ", times=3, down_bytes=5 * MIB, then=then)
    assert await place.digest(key) == digest
    assert place.proxy.count("GET ") == 4


async def test_a_download_that_gets_nowhere_ends(place: Place) -> None:
    key, _ = await place.stored(2)
    taken = 0
    with pytest.raises(Unavailable):
        async with asyncio.timeout(120), aclosing(place.blobs.read(key)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                if not taken:
                    await place.proxy.refuse()
                taken += len(chunk)
    assert taken < 2 * MIB


async def test_a_blob_cut_short_in_the_store_is_missing(place: Place) -> None:
    key, _ = await place.stored(1)
    await place.direct.put_object(Bucket=BUCKET, Key=place.prefix + key, Body=BODY[:1000])
    with pytest.raises(BlobMissing):
        await place.digest(key, 0, MIB)
    with pytest.raises(BlobMissing):
        await place.digest(key, 500, MIB - 500)


async def test_latency_is_waited_for(place: Place) -> None:
    place.proxy.add(seconds=0.05)
    key, digest = await place.stored(9)
    assert await place.digest(key) == digest


async def test_uploads_of_others_are_left_alone(place: Place) -> None:
    other = await place.direct.create_multipart_upload(Bucket=BUCKET, Key=f"not-{place.prefix}{new_key()}")
    named = await place.direct.create_multipart_upload(Bucket=BUCKET, Key=f"{place.prefix}not-a-key")
    assert await place.blobs.remove_abandoned(-5) == 0
    for upload in (other, named):
        await place.direct.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


async def test_abandoned_uploads_are_aborted(place: Place) -> None:
    for _ in range(3):
        await place.direct.create_multipart_upload(Bucket=BUCKET, Key=place.prefix + new_key())
    assert await place.blobs.remove_abandoned(3600) == 0
    assert await place.blobs.remove_abandoned(-5) == 3
    assert await place.unfinished() == []


async def test_the_store_may_go_away_and_come_back(prefix: str) -> None:
    """Clean errors in mid-upload and mid-download, and no restart of anything of ours."""
    waits = ("connect_timeout_seconds", "read_timeout_seconds", "part_timeout_seconds")
    async with (
        running() as seaweed,
        client(seaweed.endpoint) as direct,
        proxied(seaweed.port) as unused,
        S3Blobs.opened(seaweed.section(prefix=prefix, **dict.fromkeys(waits, _PATIENCE))) as blobs,
    ):
        place = Place(blobs, unused, direct, prefix, Budget(0))
        key, digest = await place.stored(20)
        reader = blobs.read(key)
        await anext(reader)
        with pytest.raises(Unavailable):
            async with blobs.writer(new_key()) as writer:
                for number, chunk in enumerate(chunks_of(100)):
                    if number == 20:
                        await seaweed.stop()
                    await writer.write(chunk)
                await writer.complete()
        with pytest.raises(Unavailable):
            async for _ in reader:
                pass
        with pytest.raises(Unavailable):
            await blobs.exists(key)
        await seaweed.start()
        await until(lambda: blobs._downloads.patience.circuit.admits(time.monotonic()))
        assert await place.digest(key) == digest
        key, digest = await place.stored(20)
        assert await place.digest(key) == digest


class TestStart:
    """What is wrong with the configuration is one line that names the option."""

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            ({"bucket": "no-such-bucket"}, "blobs.bucket: there is no such bucket"),
            ({"access_key": "nobody"}, "blobs.access_key: is not known there"),
            ({"secret_key": Secret("wrong")}, "blobs.secret_key: does not belong to blobs.access_key"),
        ],
    )
    async def test_refused_by_the_store(self, seaweed: Seaweed, options: dict[str, Any], line: str) -> None:
        with pytest.raises(ResourceUnavailable) as raised:
            async with S3Blobs.opened(seaweed.section(**options)):
                pass
        assert str(raised.value).startswith(line)
        assert "\n" not in str(raised.value)

    async def test_a_clock_that_is_wrong(self, seaweed: Seaweed) -> None:
        xml = DENIED % b"RequestTimeTooSkewed"
        async with proxied(seaweed.port) as proxy:
            answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(xml), xml)
            proxy.add("GET ", answer=answer)
            with pytest.raises(ResourceUnavailable, match="clock of this machine is wrong"):
                async with S3Blobs.opened(seaweed.section(endpoint=proxy.endpoint)):
                    pass

    async def test_a_store_that_is_away_is_waited_for(
        self, seaweed: Seaweed, prefix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Small pastes need no object store: the node starts, and says what it lacks."""
        async with proxied(seaweed.port) as proxy:
            await proxy.refuse()
            async with S3Blobs.opened(seaweed.section(endpoint=proxy.endpoint, prefix=prefix)) as blobs:
                assert "blobs.endpoint: " in caplog.text
                with pytest.raises(Unavailable):
                    await blobs.exists(new_key())
                await proxy.open()
                assert not await blobs.exists(new_key())


class TestSizes:
    @given(st.integers(1, 9_999))
    def test_parts_grow_and_never_shrink(self, number: int) -> None:
        assert PART_BYTES <= part_bytes(number) <= part_bytes(number + 1) <= 5 * 1024**3

    def test_ten_thousand_parts_hold_what_a_store_may_hold(self) -> None:
        assert sum(map(part_bytes, range(1, 10_001))) > 5 * 1024**4

    async def test_a_blob_beyond_all_parts_is_refused(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pastebin.store.s3_upload._MOST_PARTS", 2)
        with pytest.raises(StorageFull):
            await place.stored(25)
        assert await place.unfinished() == []


async def test_entries_come_in_the_order_of_their_keys(place: Place) -> None:
    await asyncio.gather(*(place.stored(0.001) for _ in range(50)))
    keys = [entry.key async for entry in place.blobs.entries()]
    assert len(keys) == 50
    assert all(one < other for one, other in pairwise(keys))
