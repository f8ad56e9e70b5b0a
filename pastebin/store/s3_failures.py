"""What an object store answers and what the network does, as the domain's words; what may pass is tried again.

Error codes are those of the S3 API reference, "Error responses".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from pastebin.backoff import Backoff
from pastebin.breaking import Circuit
from pastebin.deadlines import within
from pastebin.errors import (
    BlobMissing,
    PastebinError,
    RangeUnsatisfiable,
    ResourceUnavailable,
    StorageFull,
    Unavailable,
)
from pastebin.metrics import Metrics
from pastebin.retrying import RETRY_RESERVE, RETRY_SHARE, Budget

log = logging.getLogger(__name__)

Result = TypeVar("Result")

TRIES = 4
BACKOFF = Backoff(first_seconds=0.2, longest_seconds=3.0)

# A store that fails is asked again soon: there is no other one.
_OPEN_SECONDS = 0.5
_LONGEST_OPEN_SECONDS = 5.0
_BEGINNINGS = frozenset({"get_object", "put_object", "create_multipart_upload"})
_AWAY = "Large content cannot be stored or read at the moment; try again shortly."

_TEMPORARY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
# The bytes did not arrive as they were sent, or not in time.
_TEMPORARY_CODES = frozenset(
    {"BadDigest", "IncompleteBody", "InternalError", "RequestTimeout", "SlowDown", "ThrottlingException"}
)
_FULL = frozenset({"QuotaExceeded", "QuotaExceededException", "EntityTooLarge", "XMinioStorageFull"})
_OPTIONS = {
    "NoSuchBucket": ("bucket", "there is no such bucket"),
    "InvalidBucketName": ("bucket", "is not a name for a bucket there"),
    "InvalidAccessKeyId": ("access_key", "is not known there"),
    "SignatureDoesNotMatch": ("secret_key", "does not belong to blobs.access_key"),
    "AccessDenied": ("access_key", "may not list the bucket"),
    "AllAccessDisabled": ("access_key", "may not list the bucket"),
    "ExpiredToken": ("access_key", "has expired"),
    "InvalidToken": ("access_key", "is not valid there"),
    "AuthorizationHeaderMalformed": ("region", "is not the region of the bucket"),
    "IllegalLocationConstraintException": ("region", "is not the region of the bucket"),
    "PermanentRedirect": ("region", "is not the region of the bucket"),
    "RequestTimeTooSkewed": ("endpoint", "refuses because the clock of this machine is wrong; set it, best by NTP"),
}


class WrongAnswer(Exception):
    """The store has said yes to something else than was sent."""


# Everything that a call of aiobotocore or the stream of an answer is known to raise.
FAILURES = (ClientError, BotoCoreError, ResponseParserError, WrongAnswer, aiohttp.ClientError, OSError, TimeoutError)


def code_of(error: BaseException) -> tuple[int, str]:
    """Status and code of a refusal; 0 and nothing where there was no answer."""
    if not isinstance(error, ClientError):
        return 0, ""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return int(status), str(error.response.get("Error", {}).get("Code", ""))


def is_temporary(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return False
    status, code = code_of(error)
    return not status or status in _TEMPORARY_STATUS or code in _TEMPORARY_CODES


def word_for(error: BaseException) -> PastebinError:
    """The domain's word for what went wrong while the node runs."""
    status, code = code_of(error)
    if status == 404 and code != "NoSuchBucket":
        return BlobMissing()
    if status == 416:
        return RangeUnsatisfiable()
    if status == 507 or code in _FULL:
        return StorageFull()
    return Unavailable(_AWAY)


def told(error: BaseException) -> str:
    """One line for the log."""
    return " ".join(str(error).split()) or type(error).__name__


def refusal(error: BaseException, endpoint: str) -> ResourceUnavailable | None:
    """Why a node with this configuration cannot start; None if the store is only away for now."""
    status, code = code_of(error)
    if code in _OPTIONS:
        option, problem = _OPTIONS[code]
        return ResourceUnavailable(f"blobs.{option}: {problem} ({endpoint or 'AWS'}: {code})")
    if status in (301, 400, 401, 403, 404):
        option = {404: "bucket", 301: "region", 400: "region"}.get(status, "access_key")
        return ResourceUnavailable(f"blobs.{option}: is refused by {endpoint or 'AWS'} ({told(error)})")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ResourceUnavailable("blobs.access_key: is empty, and neither environment nor instance have credentials")
    if isinstance(error, SSLError):
        return ResourceUnavailable(f"blobs.endpoint: the certificate of {endpoint} is not trusted: {told(error)}")
    if isinstance(error, BotoCoreError) and not isinstance(error, EndpointConnectionError) and _is_ours(error):
        return ResourceUnavailable(f"blobs.endpoint: {told(error)}")
    return None


def _is_ours(error: BotoCoreError) -> bool:
    """Whether botocore refused the call itself, before anything was sent."""
    return type(error).__name__ in ("ParamValidationError", "InvalidRegionError", "UnknownEndpointError")


@dataclass(frozen=True, slots=True)
class Patience:
    """What is known of the store: whether it is asked at all, and how often again. Times are of `time.monotonic`."""

    circuit: Circuit
    retries: Budget
    metrics: Metrics

    @classmethod
    def with_store(cls, host: str, metrics: Metrics) -> Patience:
        circuit = Circuit(_OPEN_SECONDS, _LONGEST_OPEN_SECONDS)
        metrics.watch_circuit("blobs", host, circuit)
        return cls(circuit, Budget(RETRY_SHARE, RETRY_RESERVE), metrics)

    def begin(self, verb: str) -> None:
        """Something is going to be asked. Raises Unavailable where it would only wait for what does not come.

        What has begun goes on: an upload is not given up for what a moment brings.
        """
        self.retries.note()
        if verb in _BEGINNINGS and not self.circuit.admits(time.monotonic()):
            raise Unavailable(_AWAY)

    async def once(self, work: Callable[[], Awaitable[Result]], seconds: float, ends: float) -> Result:
        """Do `work` within its deadline, and note what that says of the store."""
        self.circuit.began(time.monotonic())
        try:
            async with asyncio.timeout_at(min(ends, asyncio.get_running_loop().time() + within(seconds))):
                result = await work()
        except FAILURES as error:
            (self.circuit.failed if is_temporary(error) else self.circuit.succeeded)(time.monotonic())
            raise
        except BaseException:
            self.circuit.given_up()
            raise
        self.circuit.succeeded(time.monotonic())
        return result

    def may_retry(self) -> bool:
        """Whether the budget allows to ask again."""
        may = self.retries.take()
        if not may:
            self.metrics.retries_refused.labels("blobs").inc()
        return may


async def attempted(
    verb: str,
    work: Callable[[], Awaitable[Result]],
    *,
    patience: Patience,
    seconds: float,
    tries: int = TRIES,
    **about: Any,
) -> Result:
    """Do `work`, again after a pause if it fails for now; each attempt has a deadline, all together have two.

    Raises BlobMissing, RangeUnsatisfiable, StorageFull, Unavailable.
    """
    patience.begin(verb)
    attempt = 0
    ends = asyncio.get_running_loop().time() + 2 * seconds
    while True:
        attempt += 1
        try:
            return await patience.once(work, seconds, ends)
        except FAILURES as error:
            pause = BACKOFF.pause_seconds(attempt)
            late = asyncio.get_running_loop().time() + pause >= ends
            if attempt >= tries or late or not is_temporary(error) or not patience.may_retry():
                word = word_for(error)
                if not isinstance(word, BlobMissing | RangeUnsatisfiable):
                    log.warning("blobs: cannot %s: %s", verb, told(error), extra=about or None)
                raise word from error
            log.info("blobs: %s failed, trying again: %s", verb, told(error), extra=about or None)
        await asyncio.sleep(pause)
