"""Blobs in an object store that speaks the S3 API: AWS, SeaweedFS, MinIO, Ceph and others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from aiobotocore.session import get_session

from pastebin.errors import BlobMissing, PastebinError
from pastebin.metrics import Metrics
from pastebin.sections import BlobsSection
from pastebin.store.blobs import BlobEntry
from pastebin.store.budget import Budget
from pastebin.store.s3_bucket import Bucket
from pastebin.store.s3_download import Download
from pastebin.store.s3_failures import Patience
from pastebin.store.s3_upload import Upload

_UNDO_SECONDS = 15.0


class S3Blobs:
    """The blob store of nodes that share an object store. Every wait has an end; memory is within the upload budget.

    What the store refuses or does not answer is Unavailable (BlobMissing for content that is not there), a lack of
    room StorageFull; a key that `new_key` cannot have made is a ValueError.
    """

    def __init__(self, uploads: Bucket, downloads: Bucket, budget: Budget) -> None:
        self._uploads = uploads
        self._downloads = downloads
        self._budget = budget

    @classmethod
    @asynccontextmanager
    async def opened(cls, section: BlobsSection, metrics: Metrics | None = None) -> AsyncIterator[S3Blobs]:
        """Use the bucket that `section` names. Raises ResourceUnavailable with the option that is wrong."""
        # connections of their own, or a few slow readers would hold up every upload
        session = get_session()
        patience = Patience.with_store(urlsplit(section.endpoint).netloc or "aws", metrics or Metrics())
        async with (
            Bucket.opened(section, session, patience) as uploads,
            Bucket.opened(section, session, patience) as downloads,
        ):
            await uploads.look(section.endpoint)
            yield cls(uploads, downloads, Budget(section.upload_budget_bytes))

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[Upload]:
        """See `Blobs.writer`. A part that cannot be sent interrupts the block at once, wherever it waits."""
        upload: Upload | None = None
        own: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                upload = Upload(self._uploads, key, self._budget, tasks)
                try:
                    yield upload
                except BaseException as error:
                    own = error
                    raise
                finally:
                    upload.give_up()
        except BaseExceptionGroup as group:
            raise _cause(group, own) from None
        finally:
            if upload is not None and not upload.is_complete:
                await asyncio.shield(_undone(upload))

    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `Blobs.read`; a connection that breaks in the middle is replaced from there on."""
        return Download(self._downloads, key, start, length).chunks()

    async def require_room(self) -> None:
        """See `Blobs.require_room`; the bucket says so itself when it is full."""

    @property
    def knows_room(self) -> bool:
        """See `Blobs.knows_room`."""
        return True

    async def remove(self, key: str) -> None:
        """See `Blobs.remove`."""
        with suppress(BlobMissing):
            await self._uploads.ask("delete_object", key)

    async def exists(self, key: str) -> bool:
        """See `Blobs.exists`."""
        try:
            await self._uploads.ask("head_object", key)
        except BlobMissing:
            return False
        return True

    async def entries(self) -> AsyncIterator[BlobEntry]:
        """See `Blobs.entries`; a page of a thousand at a time is held in memory."""
        async with aclosing(self._uploads.pages("list_objects_v2", Prefix=self._uploads.prefix)) as pages:
            async for page in pages:
                for found in page.get("Contents", ()):
                    if (key := self._uploads.key(found["Key"])) is not None:
                        yield BlobEntry(key, found["Size"], found["LastModified"])

    async def remove_abandoned(self, age_seconds: float) -> int:
        """See `Blobs.remove_abandoned`; an upload that got a part since then is left alone, however old it is."""
        newest = datetime.now(UTC) - timedelta(seconds=age_seconds)
        removed = 0
        async with aclosing(self._uploads.pages("list_multipart_uploads", Prefix=self._uploads.prefix)) as pages:
            async for page in pages:
                for found in page.get("Uploads", ()):
                    key = self._uploads.key(found["Key"])
                    if key is None or found["Initiated"] > newest:
                        continue
                    if await self._last_part(key, found["UploadId"], found["Initiated"]) <= newest:
                        await self._uploads.abort(key, found["UploadId"])
                        removed += 1
        return removed

    async def _last_part(self, key: str, upload_id: str, initiated: datetime) -> datetime:
        """When an upload last moved."""
        moments = [initiated]
        with suppress(BlobMissing):  # it has ended meanwhile
            pages = self._uploads.pages("list_parts", Key=self._uploads.path(key), UploadId=upload_id)
            async for page in pages:
                moments += [part["LastModified"] for part in page.get("Parts", ())]
        return max(moments)


def _cause(group: BaseExceptionGroup[BaseException], own: BaseException | None) -> BaseException:
    """What the caller is told of a block that failed: its own error, else that of the part that interrupted it."""
    if own is not None and not isinstance(own, asyncio.CancelledError):
        return own
    words = group.subgroup(PastebinError)
    return (words or group).exceptions[0]


async def _undone(upload: Upload) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_UNDO_SECONDS):
            await upload.undo()
