"""Writing a blob to an object store: small ones by one request, larger ones in parts that are sent while more arrive.

A blob is not there before its last request, and whatever interrupts a writer, that request is either not made or
undone (S3 User Guide, "Uploading and copying objects using multipart upload").
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import zlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from pastebin.errors import BlobMissing, PastebinError, StorageFull, Unavailable
from pastebin.store.budget import Budget, Loan
from pastebin.store.s3_bucket import Answer, Bucket

log = logging.getLogger(__name__)

Result = TypeVar("Result")

PART_BYTES = 8 * 1024**2
IN_FLIGHT = 3
# What an upload that waits holds beside its part: a piece on its way here, and what the socket has delivered already.
OVERHEAD_BYTES = 640 * 1024
_GROWS_EVERY = 1000
_MOST_PARTS = 10_000
_SLICE_BYTES = 256 * 1024
_KEPT_BYTES = 64 * 1024


def part_bytes(number: int) -> int:
    """The size of part `number` (from 1): it doubles every thousand parts, so that ten thousand are always enough."""
    return PART_BYTES << ((number - 1) // _GROWS_EVERY)


class Body:
    """The bytes of a part as they came in: large chunks are kept, not copied, and small ones are gathered.

    It has of a file what botocore asks for, and is sent by aiohttp piece by piece. One buffer for the whole part would
    have to grow, which leaves several times its size of holes in the memory of the process.
    """

    def __init__(self) -> None:
        self._pieces: list[memoryview | bytearray] = []
        self._size = 0
        self._position = 0

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    async def __aiter__(self) -> AsyncIterator[memoryview | bytearray]:
        for piece in self._pieces:
            yield piece

    def append(self, chunk: memoryview) -> None:
        """Add a chunk that nobody changes any more."""
        self._size += len(chunk)
        if len(chunk) >= _KEPT_BYTES:
            self._pieces.append(chunk)
            return
        last = self._pieces[-1] if self._pieces else None
        if not isinstance(last, bytearray) or len(last) >= _SLICE_BYTES:
            last = bytearray()
            self._pieces.append(last)
        last += chunk

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever `size` is. Not used to send, but what has it is a file for botocore."""
        piece = bytes(self._pieces[self._position]) if self._position < len(self._pieces) else b""
        self._position += 1
        return piece

    def tell(self) -> int:
        """The number of pieces that have been read."""
        return self._position

    def seek(self, position: int) -> None:
        """Go to a place that `tell` has told."""
        self._position = position

    def digest(self, checksums: str) -> bytes:
        """CRC-32, or MD5 where only that is required. Takes a moment: call it in a thread."""
        if checksums == "when_required":
            md5 = hashlib.md5(usedforsecurity=False)
            for piece in self._pieces:
                md5.update(piece)
            return md5.digest()
        crc = 0
        for piece in self._pieces:
            crc = zlib.crc32(piece, crc)
        return crc.to_bytes(4, "big")


class Part:
    """The bytes of one part, in memory that the budget has lent, and what proves that they have arrived."""

    def __init__(self, number: int, loan: Loan) -> None:
        self.number = number
        self._loan = loan
        self._capacity = loan.size - OVERHEAD_BYTES
        self._body = Body()

    @property
    def size(self) -> int:
        return len(self._body)

    @property
    def is_full(self) -> bool:
        return self.size >= self._capacity

    async def take(self, chunk: memoryview) -> int:
        """Take what has room, a slice at most, and say how much; waits for the budget first."""
        count = min(len(chunk), self._capacity - self.size, _SLICE_BYTES)
        await self._loan.grow(count if self._loan.held else count + OVERHEAD_BYTES)
        self._body.append(chunk[:count])
        return count

    async def sealed(self, checksums: str) -> Sealed:
        """The part, ready to be sent, with its checksum."""
        digest = await asyncio.to_thread(self._body.digest, checksums)
        return Sealed(self._body, digest, checksums)

    def close(self) -> None:
        """Give the memory back."""
        self._body = Body()
        self._loan.close()


class Sealed:
    """A body with its checksum, which the store verifies (the header) and which is compared with its answer."""

    def __init__(self, body: Body, digest: bytes, checksums: str) -> None:
        self._digest = digest
        self._is_md5 = checksums == "when_required"
        name = "ContentMD5" if self._is_md5 else "ChecksumCRC32"
        self.parameters: dict[str, Any] = {"Body": body if len(body) else b"", name: self.encoded}

    @property
    def encoded(self) -> str:
        return base64.b64encode(self._digest).decode()

    def is_proved_by(self, answer: Answer) -> bool:
        """Whether the store has what was sent, as far as it tells: with a key of KMS an ETag is no MD5."""
        if not self._is_md5:
            return bool(answer.get("ChecksumCRC32", self.encoded) == self.encoded)
        etag = str(answer.get("ETag", "")).strip('"').lower()
        is_digest = len(etag) == 32 and not str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
        return not is_digest or etag == self._digest.hex()

    def listed(self, number: int, answer: Answer) -> Answer:
        """How the part is named when the upload is completed."""
        named: Answer = {"PartNumber": number, "ETag": answer["ETag"]}
        return named if self._is_md5 else {**named, "ChecksumCRC32": self.encoded}


class Unbroken:
    """Requests whose outcome has to be known: cancelling who waits does not interrupt them."""

    def __init__(self) -> None:
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def finish(self, work: Awaitable[Result]) -> Result:
        """The result of `work`, which goes on even if nobody waits for it any more."""
        self._running += 1
        self._idle.clear()
        result, error = await asyncio.shield(self._watched(work))
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # there is one where there is no error

    async def idle(self) -> None:
        """Return when nothing is under way."""
        await self._idle.wait()

    async def _watched(self, work: Awaitable[Result]) -> tuple[Result | None, PastebinError | None]:
        try:
            return await work, None
        except PastebinError as error:
            return None, error
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()


class Upload:
    """A blob on its way in; see `BlobWriter`. `IN_FLIGHT` parts under way and one being filled, all in lent memory."""

    def __init__(self, bucket: Bucket, key: str, budget: Budget, tasks: asyncio.TaskGroup) -> None:
        bucket.path(key)
        self._bucket = bucket
        self._key = key
        self._budget = budget
        self._tasks = tasks
        self._deliveries: set[asyncio.Task[None]] = set()
        self._unbroken = Unbroken()
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._part: Part | None = None
        self._number = 0
        self._size = 0
        self._sent: list[Answer] = []
        self._upload_id: str | None = None
        self._is_multipart = False
        self._is_visible = False
        self._is_over = False
        self.is_complete = False

    async def write(self, chunk: bytes) -> None:
        """See `BlobWriter.write`. A part that cannot be sent ends the block by itself."""
        self._refuse_after_end()
        left = memoryview(chunk)
        while left:
            if self._part is None:
                self._part = self._next()
            elif self._part.is_full:
                await self._send()
                continue
            count = await self._part.take(left)
            self._size += count
            left = left[count:]

    async def complete(self) -> None:
        """See `BlobWriter.complete`."""
        self._refuse_after_end()
        self._is_over = True
        if self._is_multipart:
            await self._send()
            for _ in range(IN_FLIGHT):
                await self._room.acquire()
            if len(self._sent) != self._number:
                raise Unavailable
        self._is_visible = True
        await self._unbroken.finish(self._assemble() if self._is_multipart else self._put())
        self.is_complete = True

    def _refuse_after_end(self) -> None:
        if self._is_over:
            raise ValueError("this blob is complete or was given up")

    def _next(self) -> Part:
        self._number += 1
        if self._number > _MOST_PARTS:
            raise StorageFull("The object store takes no blob of this size.")
        return Part(self._number, self._budget.loan(part_bytes(self._number) + OVERHEAD_BYTES))

    async def _send(self) -> None:
        """Let the part that has been filled go, once there is room for one more in flight."""
        if not self._is_multipart:
            self._is_multipart = True
            await self._unbroken.finish(self._begin())
        await self._room.acquire()
        part, self._part = self._part, None
        if part is None or self._upload_id is None:
            raise Unavailable
        task = self._tasks.create_task(
            self._deliver(part, self._upload_id), name=f"part {part.number} of blob {self._key}"
        )
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _begin(self) -> None:
        named: Answer = {} if self._bucket.checksums == "when_required" else {"ChecksumAlgorithm": "CRC32"}
        answer = await self._bucket.ask("create_multipart_upload", self._key, **named)
        self._upload_id = str(answer["UploadId"])

    async def _deliver(self, part: Part, upload_id: str) -> None:
        try:
            sealed = await part.sealed(self._bucket.checksums)
            answer = await self._bucket.ask(
                "upload_part",
                self._key,
                seconds=self._bucket.part_seconds * max(1.0, part.size / PART_BYTES),
                proof=sealed.is_proved_by,
                UploadId=upload_id,
                PartNumber=part.number,
                **sealed.parameters,
            )
            self._sent.append(sealed.listed(part.number, answer))
        except BlobMissing as error:  # the upload itself is gone: somebody took it for abandoned
            raise Unavailable("The upload was given up because it stood still; please send it again.") from error
        finally:
            part.close()
            self._room.release()

    async def _assemble(self) -> None:
        """Make one blob of the parts.

        Success is what the store holds afterwards, not what it says: an answer may get lost after the work was done,
        and a store may say 200 and put an error into the body.
        """
        parts = sorted(self._sent, key=lambda part: int(part["PartNumber"]))
        failure: PastebinError | None = None
        try:
            await self._bucket.ask(
                "complete_multipart_upload",
                self._key,
                seconds=self._bucket.part_seconds,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": parts},
            )
        except PastebinError as error:
            failure = error
        try:
            there = await self._bucket.ask("head_object", self._key)
        except PastebinError as error:
            raise Unavailable from failure or error
        if there["ContentLength"] != self._size:
            raise Unavailable from failure

    async def _put(self) -> None:
        part = self._part or self._next()
        try:
            sealed = await part.sealed(self._bucket.checksums)
            seconds = self._bucket.part_seconds
            await self._bucket.ask(
                "put_object", self._key, seconds=seconds, proof=sealed.is_proved_by, **sealed.parameters
            )
        finally:
            part.close()

    def give_up(self) -> None:
        """Take nothing more, and stop what is under way as far as it may be stopped."""
        self._is_over = True
        for task in self._deliveries:
            task.cancel()

    async def undo(self) -> None:
        """Leave nothing behind, as far as the store answers; what stays is found by the sweeper."""
        if self._part is not None:
            self._part.close()
        await self._unbroken.idle()
        try:
            if self._is_multipart:
                await self._bucket.abort_uploads(self._key)
            if self._is_visible:
                await self._bucket.ask("delete_object", self._key)
        except BlobMissing:
            pass
        except PastebinError as error:
            log.warning("blobs: an unfinished upload stays until it is swept: %s", error, extra={"key": self._key})
