"""CloudFront: invalidations by address pattern, or by tag where the distribution has a CacheTagConfig.

https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html describes the call. Its
CallerReference is made of the batch, so a batch that is sent again is the same invalidation and not a second one. 15
patterns and 3,000 tags or plain addresses may be in progress at the same time. The call returns when CloudFront has
accepted the invalidation; it takes some seconds more until it is done everywhere. There is no soft invalidation.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from pastebin import surrogates
from pastebin.cdn.targets import Batch, Equipment, Limits, Target, TargetError, TargetRefused, TargetUnreachable
from pastebin.cdn.targets.calls import Calls, divided, limits_for
from pastebin.cdn.targets.repeats import Repeated, when_replicas_know
from pastebin.sections import TargetSection

# Two pastes are 11 patterns, so that there is room for something else besides.
_PATTERN_LIMITS = Limits(keys_per_call=2, urls_per_call=1000, calls_per_second=5.0, burst=10)
_TAG_LIMITS = Limits(keys_per_call=1000, urls_per_call=1000, calls_per_second=5.0, burst=10)

_REGION = "us-east-1"  # where CloudFront's API lives, wherever the caches are
_IN_PROGRESS_SECONDS = 10.0
_THROTTLED_SECONDS = 2.0
_THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}
)
_FAILURES = (BotoCoreError, ResponseParserError, OSError, ValueError)
_REFUSED = frozenset({"InvalidArgument", "BatchTooLarge", "InconsistentQuantities", "MissingBody", "MalformedInput"})


class _Body:
    """What has been read already, in the form that aiobotocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


class CloudFront:
    """One distribution: `id` is its id, `access_key` and `token` a key pair that may CreateInvalidation on it.

    Without a key pair botocore looks in the environment, its files and the instance's metadata.
    """

    def __init__(self, section: TargetSection, equipment: Equipment, client: Any) -> None:
        self.name = section.name
        self.limits = limits_for(section, _TAG_LIMITS if section.tags else _PATTERN_LIMITS)
        self._calls = Calls(section, equipment, self.limits)
        self._client = client
        self._distribution = section.id
        self._has_tags = section.tags

    async def purge(self, batch: Batch) -> None:
        async with self._calls.deadline():
            if batch.flush:
                await self._invalidate(["/*"], (), reference_of(batch, ["/*"]))
                return

            async def send(items: Sequence[str]) -> None:
                keys = [item for item in items if item in batch.keys]
                paths = paths_for(keys, has_tags=self._has_tags)
                paths += [path_of(item) for item in items if item not in batch.keys]
                if paths:
                    await self._invalidate(paths, items, reference_of(batch, paths))

            if batch.keys or batch.urls:
                await divided([*batch.keys, *batch.urls], send)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            await divided(urls, lambda some: self._invalidate(list(map(path_of, some)), some, uuid.uuid4().hex))

    async def push(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            for url in urls:
                await self._calls.warm(url)

    async def check(self) -> str | None:
        """Asks for the latest invalidation: creating one costs money. A key that may do nothing but that is fine."""
        try:
            async with self._calls.deadline():
                await self._call("list_invalidations", (), MaxItems="1")
        except TargetUnreachable as error:
            return None if "AccessDenied" in str(error) else str(error)
        except TargetError as error:
            return str(error)
        return None

    async def carry(self, request: Any, **_: Any) -> AioAWSResponse:
        """Carry a signed request of botocore, whose own way follows redirects and reads without a bound."""
        headers = {name: value if isinstance(value, str) else value.decode() for name, value in request.headers.items()}
        answer = await self._calls.exchange(request.method, request.url, headers=headers, data=request.body)
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return AioAWSResponse(request.url, answer.status, lower, _Body(answer.body))

    async def _invalidate(self, paths: list[str], about: Sequence[str], reference: str) -> None:
        batch = {"Paths": {"Quantity": len(paths), "Items": paths}, "CallerReference": reference}
        answer = await self._call("create_invalidation", about, InvalidationBatch=batch)
        if not answer.get("Invalidation", {}).get("Id"):
            raise TargetUnreachable("the answer is not that of CloudFront")

    async def _call(self, operation: str, about: Sequence[str], **parameters: Any) -> dict[str, Any]:
        await self._calls.turn()
        try:
            answer = await getattr(self._client, operation)(DistributionId=self._distribution, **parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            said = self._calls.told(f"{code} {error.response.get('Error', {}).get('Message', '')}")
            if code == "TooManyInvalidationsInProgress":
                raise self._calls.busy(said, _IN_PROGRESS_SECONDS) from error
            if code in _THROTTLED:
                raise self._calls.busy(said, _THROTTLED_SECONDS) from error
            if code in _REFUSED and about:
                raise TargetRefused(said, about) from error
            raise TargetUnreachable(said) from error
        except _FAILURES as error:
            raise TargetUnreachable(self._calls.told(str(error))) from error
        return dict(answer)


def paths_for(keys: Sequence[str], *, has_tags: bool) -> list[str]:
    """What to invalidate for these keys: each pattern once, `/*` for the key of everything.

    Where tags stand for keys they are compared without regard to case: a little too much goes, never too little.
    """
    if has_tags:
        return [f"#{key}" for key in keys]
    paths: dict[str, None] = {}
    for key in keys:
        if not key.startswith(_PASTE):
            return ["/*"]
        paths.update(dict.fromkeys(surrogates.paths_of(key.removeprefix(_PASTE))))
    return list(paths)


_PASTE = surrogates.of_paste("")


def path_of(url: str) -> str:
    """Path and query of an absolute address, as they are; a `*` at the end would stand for more."""
    path = "/" + url.partition("://")[2].partition("#")[0].partition("/")[2]
    return path[:-1] + "%2A" if path.endswith("*") else path


def reference_of(batch: Batch, paths: Sequence[str]) -> str:
    """The same for the same part of the same batch, another one for anything else."""
    whole = orjson.dumps([batch.epoch, batch.previous, batch.sequence, *paths])
    return f"pastebin-{hashlib.sha256(whole).hexdigest()[:40]}"


@asynccontextmanager
async def opened(section: TargetSection, equipment: Equipment) -> AsyncIterator[Target]:
    """The distribution that `section` names."""
    config = AioConfig(retries={"total_max_attempts": 1})
    async with get_session().create_client(
        "cloudfront",
        region_name=_REGION,
        endpoint_url=section.url or None,
        aws_access_key_id=section.access_key or None,
        aws_secret_access_key=section.token.reveal() or None,
        config=config,
    ) as client:
        target = CloudFront(section, equipment, client)
        client.meta.events.register("before-send.cloudfront", target.carry)
        seconds = [when_replicas_know(equipment)]
        async with Repeated.opened(target, equipment.loops, keys_seconds=seconds, flush_seconds=seconds) as repeated:
            yield repeated
