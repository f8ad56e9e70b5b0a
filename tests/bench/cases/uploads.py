"""A large file through a node into an object store, against the same bytes sent straight to that store."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from pastebin.store import schema
from pastebin.store.s3_upload import IN_FLIGHT, PART_BYTES
from tests import seaweed
from tests.bench.harness import Case, Contest, WrongAnswer, as_client, durable_postgres, pin_server
from tests.nodes import SECRET
from tests.scenarios.processes import NodeProcess, node_process

SIZE = 1024**3
_PARTS = SIZE // PART_BYTES
_SENT_BYTES = 256 * 1024
_SECONDS = 300.0
_DISK_BYTES = 4 * 1024**3
_MIB = 1024**2
_REFERENCE = "reference-"


class Uploads:
    """The same bytes by two ways; every upload makes an object of its own."""

    def __init__(self, node: NodeProcess, store: seaweed.Seaweed, s3: Any) -> None:
        self._node = node
        self._store = store
        self._s3 = s3
        # noise, so that nobody takes it for text or makes it smaller; a few parts over and over
        chance = random.Random(1)  # noqa: S311  (the same in every run)
        self._parts = [chance.randbytes(PART_BYTES) for _ in range(4)]
        digest = hashlib.sha256()
        for number in range(_PARTS):
            digest.update(self._part(number))
        self._digest = digest.hexdigest()
        self._numbers = itertools.count()
        self._slug = self._key = ""

    def _part(self, number: int) -> bytes:
        return self._parts[number % len(self._parts)]

    async def ours(self, _seconds: float) -> float:
        await self._remove(lambda key: not key.startswith(_REFERENCE))
        async with as_client(), asyncio.timeout(_SECONDS):
            began = time.perf_counter()
            reader, writer = await asyncio.open_connection("127.0.0.1", self._node.port)
            try:
                status, made = await self._post(reader, writer)
            finally:
                writer.close()
            elapsed = time.perf_counter() - began
        (file,) = made.get("files", [{}])
        if (status, file.get("size"), file.get("sha256")) != (201, SIZE, self._digest):
            raise WrongAnswer(f"{status} {made}")
        self._slug = made["slug"]
        return SIZE / _MIB / elapsed

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, dict[str, Any]]:
        head = (
            f"POST /api/v1/pastes HTTP/1.1\r\nHost: 127.0.0.1:{self._node.port}\r\nConnection: close\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {SIZE}\r\n\r\n"
        )
        writer.write(head.encode())
        for number in range(_PARTS):
            part = memoryview(self._part(number))
            for start in range(0, PART_BYTES, _SENT_BYTES):
                writer.write(part[start : start + _SENT_BYTES])
                await writer.drain()
        head_of_answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head_of_answer[9:12]), orjson.loads(body)

    async def reference(self, _seconds: float) -> float:
        await self._remove(lambda key: key.startswith(_REFERENCE))
        async with as_client(), asyncio.timeout(_SECONDS):
            self._key = f"{_REFERENCE}{next(self._numbers)}"
            began = time.perf_counter()
            await self._send_parts()
            return SIZE / _MIB / (time.perf_counter() - began)

    async def _send_parts(self) -> None:
        named = {"Bucket": seaweed.BUCKET, "Key": self._key}
        upload = await self._s3.create_multipart_upload(**named, ChecksumAlgorithm="CRC32")
        room = asyncio.Semaphore(IN_FLIGHT)

        async def send(number: int) -> dict[str, Any]:
            async with room:
                answer = await self._s3.upload_part(
                    **named,
                    UploadId=upload["UploadId"],
                    PartNumber=number,
                    Body=self._part(number - 1),
                    ChecksumAlgorithm="CRC32",
                )
            return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]}

        parts = await asyncio.gather(*(send(number) for number in range(1, _PARTS + 1)))
        await self._s3.complete_multipart_upload(
            **named, UploadId=upload["UploadId"], MultipartUpload={"Parts": list(parts)}
        )

    async def _remove(self, is_meant: Callable[[str], bool]) -> None:
        """Make room: what was sent before by the same way is not needed any more."""
        listed = await self._s3.list_objects_v2(Bucket=seaweed.BUCKET)
        for found in listed.get("Contents", ()):
            if is_meant(found["Key"]):
                await self._s3.delete_object(Bucket=seaweed.BUCKET, Key=found["Key"])
        await self._store.vacuum()

    async def check(self) -> None:
        """What was sent last reads back, from the node and from the store."""
        answer = await self._s3.get_object(Bucket=seaweed.BUCKET, Key=self._key)
        async with answer["Body"] as body:
            if await _digest_of(body.iter_chunks(_SENT_BYTES)) != self._digest:
                raise WrongAnswer(f"{self._key} does not read back")
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"{self._node.url}/raw/{self._slug}") as response,
        ):
            if response.status != 200 or await _digest_of(response.content.iter_any()) != self._digest:
                raise WrongAnswer(f"{self._slug} does not read back")


async def _digest_of(chunks: AsyncIterator[bytes]) -> str:
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with durable_postgres(directory) as server, seaweed.running() as store:
        if shutil.disk_usage(store.directory).free < _DISK_BYTES:
            raise WrongAnswer(f"{store.directory} needs {_DISK_BYTES >> 30} GiB of room")
        await schema.migrate(server.dsn)
        config = directory / "node.toml"
        blobs = "".join(
            f'{name} = "{value}"\n'
            for name, value in (
                *(("store", "s3"), ("endpoint", store.endpoint), ("bucket", seaweed.BUCKET), ("addressing", "path")),
                *(("access_key", seaweed.ACCESS_KEY), ("secret_key", seaweed.SECRET_KEY)),
            )
        )
        config.write_text(
            f'[node]\nsecret = "{SECRET}"\n[database]\nprimary = "{server.dsn}"\n[blobs]\n{blobs}', encoding="utf-8"
        )
        config.chmod(0o600)
        async with (
            node_process(directory / "node", f"--config={config}") as node,
            seaweed.client(store.endpoint, read_timeout=120) as s3,
        ):
            pin_server(node.pid)
            uploads = Uploads(node, store, s3)
            yield Contest(uploads.ours, uploads.reference, uploads.check)


CASE = Case(
    name="uploads",
    unit="MiB/s",
    ours="POST of 1 GiB to a node that keeps it in SeaweedFS",
    reference=f"multipart upload by aiobotocore, parts of {PART_BYTES >> 20} MiB, {IN_FLIGHT} in flight",
    goal=0.8,
    prepared=prepared,
)
