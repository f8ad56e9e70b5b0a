"""The conversation with one server: deadlines, retries, and errors as words."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec
import orjson
from aiohttp.payload import Payload
from yarl import URL

from pastebin import __version__
from pastebin.cli import environment
from pastebin.cli.failures import AnswerLost, Refused, Unreachable, UsageError
from pastebin.cli.messages import tell
from pastebin.errors import PastebinError

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
HEAD_SECONDS = 300.0  # from the last byte that was sent to the head of the answer
RETRIES = 3
LONGEST_WAIT_SECONDS = 30.0
_BACKOFF_SECONDS = 0.5
_NOTABLE_WAIT_SECONDS = 2.0
_MAX_REDIRECTS = 5
_ANSWER_BYTES = 8 * 1024**2  # a thousand files with the longest names take two


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; `path` may have a query of its own.

    `body` makes the body anew for each try; `is_replayable` tells whether it still can. `is_idempotent` says
    that asking again after a lost answer does no harm.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)
    body: Callable[[], Payload] | None = None
    is_replayable: Callable[[], bool] = _always
    is_idempotent: bool = True
    is_endless: bool = False  # the answer may be silent for long


class FieldProblem(msgspec.Struct):
    field: str = ""
    message: str = ""


class ProblemDocument(msgspec.Struct):
    """What the client reads of a problem document (RFC 9457)."""

    type: str = ""
    title: str = ""
    detail: str = ""
    request_id: str = ""
    errors: list[FieldProblem] = msgspec.field(default_factory=list)


class Session:
    """Requests to one server. Only plain GETs follow redirects: tokens and contents go nowhere else."""

    def __init__(self, http: aiohttp.ClientSession, server: str, proxy_headers: Mapping[str, str]) -> None:
        self._http = http
        self._proxy_headers = proxy_headers
        self.server = server
        self._is_tunnelled = server.startswith("https:")

    @asynccontextmanager
    async def exchange(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer, its body still to be read.

        429, 503 and lost answers are tried again up to RETRIES times where that is safe. Raises Refused,
        Unreachable, AnswerLost, and whatever the source of the request's body raises.
        """
        response = await self._accepted(request)
        try:
            yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise translate(error, self.server) from error
        finally:
            response.release()

    async def _accepted(self, request: Request) -> aiohttp.ClientResponse:
        tries = 0
        while True:
            try:
                response = await self._send(request)
            except AnswerLost:
                if tries == RETRIES or not (request.is_idempotent and request.is_replayable()):
                    raise
                wait = _BACKOFF_SECONDS * 2**tries
            else:
                if response.status < 300:
                    return response
                try:
                    refusal = await _read_refusal(response)
                finally:
                    response.release()
                retry_after = response.headers.get("Retry-After")
                again = retry_wait(response.status, retry_after, tries, datetime.now(UTC))
                if again is None or not request.is_replayable():
                    raise refusal
                wait = again
            if wait >= _NOTABLE_WAIT_SECONDS:
                tell(f"{self.server} asks to wait; trying again in {wait:.0f} s")
            tries += 1
            await asyncio.sleep(wait)

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        headers = dict(request.headers)
        if not self._is_tunnelled:  # then the proxy reads the request itself
            headers |= self._proxy_headers
        if request.token is not None:
            if not (request.token.isascii() and request.token.isprintable() and " " not in request.token):
                raise UsageError("an owner token consists of letters and digits")
            headers["Authorization"] = f"Bearer {request.token}"
        url = URL(self.server + request.path)
        deadline = asyncio.timeout(HEAD_SECONDS)
        try:
            async with deadline:
                return await self._http.request(
                    request.method,
                    url.update_query(request.params) if request.params else url,
                    data=request.body() if request.body else None,
                    headers=headers,
                    proxy_headers=self._proxy_headers or None,
                    allow_redirects=request.method == "GET" and request.token is None,
                    max_redirects=_MAX_REDIRECTS,
                    trace_request_ctx=deadline,
                    timeout=_timeout(None if request.is_endless else SILENCE_SECONDS),
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            if deadline.expired():
                raise Unreachable(f"{self.server}: gave no answer within {HEAD_SECONDS:.0f} s") from error
            raise translate(error, self.server) from error


def _extending() -> aiohttp.TraceConfig:
    """Moves the deadline of a request with every part of its body that goes out."""

    async def extend(_session: aiohttp.ClientSession, context: SimpleNamespace, _sent: object) -> None:
        deadline: asyncio.Timeout = context.trace_request_ctx
        with suppress(RuntimeError):  # the answer came, or the deadline, before the end of the body
            deadline.reschedule(asyncio.get_running_loop().time() + HEAD_SECONDS)

    config = aiohttp.TraceConfig()
    config.on_request_chunk_sent.append(extend)
    return config


@asynccontextmanager
async def open_session(server: str) -> AsyncIterator[Session]:
    """A session with `server`, through the proxy that the environment names for it."""
    proxy = environment.proxy_for(server)
    proxy_headers: dict[str, str] = {}
    if proxy is not None and (parts := urlsplit(proxy)).username is not None:
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        proxy_headers["Proxy-Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        proxy = str(URL(proxy).with_user(None))
    async with aiohttp.ClientSession(
        timeout=_timeout(SILENCE_SECONDS),
        connector=aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver()),  # the system's own: hosts file, mDNS
        headers={"User-Agent": f"pastebin/{__version__}", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy,
        trace_configs=[_extending()],
    ) as http:
        yield Session(http, server, proxy_headers)


def _timeout(silence_seconds: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds
    )


def retry_wait(status: int, retry_after: str | None, tries: int, now: datetime) -> float | None:
    """Seconds to wait before try number `tries` + 2, or None if there is to be none.

    Retry-After is a number of seconds or a date (RFC 9110, section 10.2.3); more than LONGEST_WAIT_SECONDS is
    not waited for.
    """
    if status not in (429, 503) or tries >= RETRIES:
        return None
    wait = _BACKOFF_SECONDS * 2**tries
    if retry_after is not None:
        wait = _seconds_until(retry_after.strip(), now, otherwise=wait)
    return wait if wait <= LONGEST_WAIT_SECONDS else None


def _seconds_until(retry_after: str, now: datetime, *, otherwise: float) -> float:
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return otherwise
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def translate(error: Exception, server: str) -> PastebinError:
    """The word for a failure of the connection; a failure of the request's own body is that failure."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PastebinError):
            return cause
        cause = cause.__cause__
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Unreachable(f"{error.host}: cannot be found: {error.os_error.strerror or error.os_error}")
        case aiohttp.ClientConnectorCertificateError():
            return Unreachable(f"{server}: its certificate is not trusted: {error.certificate_error}")
        case aiohttp.ClientProxyConnectionError():
            return Unreachable(f"the proxy {error.host}:{error.port} cannot be reached: {error.strerror}")
        case aiohttp.ClientConnectorError():
            return Unreachable(f"{server}: cannot be reached: {_reason(error)}{_hint(server)}")
        case aiohttp.ConnectionTimeoutError():
            return Unreachable(f"{server}: cannot be reached: no connection within {CONNECT_SECONDS:.0f} s")
        case TimeoutError():
            return AnswerLost(f"{server}: went silent for {SILENCE_SECONDS:.0f} s")
        case aiohttp.ClientHttpProxyError():
            return Unreachable(f"{server}: the proxy refuses: {error.status} {error.message}")
        case aiohttp.TooManyRedirects():
            return Unreachable(f"{server}: redirects in a circle")
        case aiohttp.ClientResponseError():
            reason = error.message.partition("\n")[0].rstrip(":")
            return Unreachable(f"{server}: does not answer as a web server does: {reason}")
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
            return AnswerLost(f"{server}: the connection broke: {_reason(error)}")
    return Unreachable(f"{server}: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__


def _hint(server: str) -> str:
    if server != environment.DEFAULT_SERVER:
        return ""
    return "\nstart one there with 'pastebin serve', or name yours with --server URL or PASTEBIN_SERVER"


async def _read_refusal(response: aiohttp.ClientResponse) -> Refused:
    status = response.status
    if 300 <= status < 400:
        elsewhere = response.headers.get("Location", "nowhere")
        return Refused(f"the server redirects to {elsewhere}; if you trust that, name it with --server", status=status)
    document = None
    if response.content_type == "application/problem+json":
        # the status is known, whatever happens to the rest
        with suppress(aiohttp.ClientError, TimeoutError, Refused):
            document = _parse_problem(await read_answer(response))
    if document is None:
        return Refused(f"{response.url.origin()} answered {status} {response.reason or ''}".rstrip(), status=status)
    lines = describe_problem(document, status)
    retry_after = response.headers.get("Retry-After", "")
    if retry_after.isdigit() and float(retry_after) > LONGEST_WAIT_SECONDS:
        lines.append(f"try again in {retry_after} s")
    return Refused("\n".join(lines), status=status, kind=document.type)


async def read_answer(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer about a paste. Raises Refused for one that is too long to be that."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _ANSWER_BYTES:
            raise Refused(f"{response.url.origin()} does not answer as a pastebin server does", status=response.status)
    return bytes(body)


def _parse_problem(body: bytes) -> ProblemDocument | None:
    try:
        return msgspec.convert(orjson.loads(body), ProblemDocument)
    except ValueError:
        return None


def describe_problem(document: ProblemDocument, status: int) -> list[str]:
    """The lines for a person: the detail, then each error that the detail does not tell already."""
    lines = [document.detail or document.title or f"the server answered {status}"]
    for error in document.errors:
        line = f"{error.field}: {error.message}" if error.field else error.message
        if line not in lines[0]:
            lines.append(line)
    if status >= 500 and document.request_id:
        lines.append(f"request {document.request_id}")
    return lines
