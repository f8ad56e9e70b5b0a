"""One bucket of an object store that speaks the S3 API: a client with bounded connections, deadlines and retries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from pastebin.errors import BlobMissing
from pastebin.sections import BlobsSection
from pastebin.store.s3_failures import FAILURES, TRIES, Patience, WrongAnswer, attempted, refusal, told
from pastebin.store.shelves import checked

log = logging.getLogger(__name__)

Answer = dict[str, Any]


class Bucket:
    """The keys under one prefix of a bucket. Every call ends: within its deadline, or with a word of the domain."""

    def __init__(self, client: Any, section: BlobsSection, patience: Patience) -> None:
        self._client = client
        self.patience = patience
        self._name = section.bucket
        self.prefix = section.prefix
        self.seconds = section.connect_timeout_seconds + section.read_timeout_seconds
        self.part_seconds = section.part_timeout_seconds
        self.checksums = section.checksums

    @classmethod
    @asynccontextmanager
    async def opened(cls, section: BlobsSection, session: AioSession, patience: Patience) -> AsyncIterator[Bucket]:
        """Open a client with connections of its own. Raises ResourceUnavailable.

        Clients of one `session` share what botocore has to read of its service descriptions.
        """
        config = AioConfig(
            connect_timeout=section.connect_timeout_seconds,
            read_timeout=section.read_timeout_seconds,
            max_pool_connections=section.connections,
            retries={"total_max_attempts": 1},  # a part is retried here, where its body can be rewound
            # the checksum that goes with the body is signed: no need to hash all of it once more, in the event loop
            s3={"addressing_style": section.addressing, "payload_signing_enabled": False},
            request_checksum_calculation=section.checksums,
            response_checksum_validation=section.checksums,
        )
        try:
            context = session.create_client(
                "s3",
                region_name=section.region,
                endpoint_url=section.endpoint or None,
                aws_access_key_id=section.access_key or None,
                aws_secret_access_key=section.secret_key.reveal() or None,
                config=config,
            )
            client = await context.__aenter__()
        except FAILURES as error:
            raise refusal(error, section.endpoint) or error from error
        try:
            yield cls(client, section, patience)
        finally:
            await context.__aexit__(None, None, None)

    async def look(self, endpoint: str) -> None:
        """See whether the bucket may be listed.

        A store that refuses is a ResourceUnavailable that names the option; one that is away now is only logged.
        """
        try:
            async with asyncio.timeout(self.seconds):
                await self._client.list_objects_v2(Bucket=self._name, Prefix=self.prefix, MaxKeys=1)
        except FAILURES as error:
            if reason := refusal(error, endpoint):
                raise reason from error
            log.warning("blobs.endpoint: %s does not answer now (%s); starting without", endpoint or "AWS", told(error))

    def path(self, key: str) -> str:
        """The name of the object. ValueError for a key that `new_key` cannot have made."""
        return self.prefix + checked(key)

    def key(self, path: str) -> str | None:
        """The key of an object; None for what is not ours."""
        try:
            return checked(path.removeprefix(self.prefix)) if path.startswith(self.prefix) else None
        except ValueError:
            return None

    async def ask(
        self,
        operation: str,
        key: str,
        *,
        seconds: float | None = None,
        tries: int = TRIES,
        proof: Callable[[Answer], bool] | None = None,
        **parameters: Any,
    ) -> Answer:
        """Call an operation on one object; `proof` says whether an answer belongs to what was sent.

        Raises BlobMissing for 404, RangeUnsatisfiable, StorageFull, Unavailable.
        """
        path = self.path(key)

        async def once() -> Answer:
            call = getattr(self._client, operation)
            answer: Answer = await call(Bucket=self._name, Key=path, **parameters)
            if proof is not None and not proof(answer):
                raise WrongAnswer(f"the store answered with another checksum to {operation}")
            return answer

        given = seconds or self.seconds
        return await attempted(operation, once, patience=self.patience, seconds=given, tries=tries, key=key)

    async def abort_uploads(self, key: str) -> None:
        """Abort every multipart upload of one object, also such as whose beginning nobody has seen the answer to."""
        path = self.path(key)
        async for page in self.pages("list_multipart_uploads", Prefix=path):
            for upload in page.get("Uploads", ()):
                if upload["Key"] == path:
                    await self.abort(key, upload["UploadId"])

    async def abort(self, key: str, upload_id: str) -> None:
        """Abort one multipart upload; one that is not there is no error."""
        with suppress(BlobMissing):
            await self.ask("abort_multipart_upload", key, UploadId=upload_id)

    async def pages(self, operation: str, **parameters: Any) -> AsyncGenerator[Answer, None]:
        """The pages of a listing, each with a deadline of its own."""
        pages = self._client.get_paginator(operation).paginate(Bucket=self._name, **parameters).__aiter__()
        while True:

            async def following() -> Answer | None:
                return await anext(pages, None)

            page = await attempted(operation, following, patience=self.patience, seconds=self.seconds, tries=1)
            if page is None:
                return
            yield page
