"""`pastebin put`: make a paste of files or of standard input, and print its address."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC

import msgspec
import orjson
from aiohttp import MultipartWriter
from aiohttp.payload import Payload, StringPayload

from pastebin.cli import encrypted_cipher, encrypted_put, environment, passwords
from pastebin.cli.failures import AnswerLost, LocalFileError, Refused, UsageError
from pastebin.cli.ledger import Entry, Ledger, Moment
from pastebin.cli.messages import show, tell
from pastebin.cli.progress import Progress, show_progress
from pastebin.cli.session import Request, open_session, read_answer
from pastebin.cli.sources import Body, Source, opened

SUMMARY = "make a paste of files or of standard input, and print its address"

_OPTIONS = (
    "title",
    "name",
    "syntax",
    "visibility",
    "expires_in",
    "expires_at",
    "max_reads",
    "slug",
    "parent",
    "analytics",
)


class PastedFile(msgspec.Struct):
    name: str | None = None


class Answer(msgspec.Struct):
    """What the client reads of the answer to a create."""

    slug: str
    url: str
    raw_url: str
    created_at: Moment
    token: str | None = None
    title: str | None = None
    expires_at: Moment | None = None
    files: list[PastedFile] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One paste to be sent."""

    sources: Sequence[Source]
    options: Mapping[str, str]
    password: str | None = field(repr=False)
    idempotency_key: str
    fragment: str = field(default="", repr=False)  # with the key of what is encrypted

    @property
    def size(self) -> int | None:
        sizes = [source.size for source in self.sources]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def is_replayable(self) -> bool:
        return all(source.is_replayable for source in self.sources)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "files",
        metavar="FILE",
        nargs="*",
        help="what to paste; several are one paste; none or -: standard input",
    )
    add("--server", metavar="URL", help="where to paste; else PASTEBIN_SERVER, client.toml, or this machine")
    add("--title", help="title of the paste")
    add("--name", help="name of a single file (default: that of FILE)")
    add("--syntax", help="language to highlight it as (default: guessed)")
    add("--visibility", choices=("unlisted", "public", "private"), help="who may find it (default: unlisted)")
    lifetime = parser.add_mutually_exclusive_group()
    lifetime.add_argument("--expires-in", metavar="TIME", help="seconds, 10m, 2h, 7d, 2w, an ISO 8601 duration, never")
    lifetime.add_argument("--expires-at", metavar="MOMENT", help="such as 2030-01-31T12:00:00Z")
    reads = parser.add_mutually_exclusive_group()
    reads.add_argument("--max-reads", metavar="N", type=int, help="gone after N readings")
    reads.add_argument("--burn", action="store_true", help="gone after one reading")
    passwords.configure(parser, "protect it with a password, asked for on the terminal")
    add(
        "--encrypt",
        action="store_true",
        help="encrypt it here, with title and names; the key is in the address only (needs pastebin[encrypt])",
    )
    add(
        "--reject-secrets",
        action="store_true",
        help="have the server refuse it if something in it looks like a private key, a token or a password",
    )
    add("--slug", help="the last part of its address, of your own choice")
    add("--parent", metavar="SLUG", help="the paste that this one is a fork of")
    add(
        "--analytics",
        choices=("owner", "public", "off"),
        help="who may see how often it is read; off: nothing is counted (default: owner)",
    )
    add(
        "--idempotency-key",
        metavar="KEY",
        help="repeating a key within 24 hours gives the same paste (default: random)",
    )
    add(
        "--forget",
        action="store_true",
        help="do not keep the owner token; the paste cannot be removed from here then",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--raw", action="store_true", help="print the address of the bytes instead of the page")
    output.add_argument("--json", action="store_true", help="print the server's whole answer, with the owner token")


def run(arguments: argparse.Namespace) -> int:
    """Raises CommandFailed; before anything is sent wherever that can be."""
    files = arguments.files or ["-"]
    if arguments.name is not None and len(files) > 1:
        raise UsageError("--name is for a single file")
    if arguments.encrypt:
        _check_encryption(arguments)
    key = arguments.idempotency_key or str(uuid.uuid4())
    if not (key.isascii() and key.isprintable()):
        raise UsageError("--idempotency-key: must be printable ASCII")
    server = environment.choose_server(arguments.server)
    ledger = None if arguments.forget else Ledger(environment.state_directory())
    if ledger is not None:
        prepare(ledger)
    password = passwords.choose(arguments, confirm=True)
    with opened(files) as sources:
        parcel = Parcel(sources, choose_options(arguments, sources), password, key)
        if arguments.encrypt:
            parcel = asyncio.run(_encrypted(parcel))
        body = asyncio.run(_send(server, parcel))
    answer = parse_answer(body, server)
    try:
        if ledger is not None and answer.token is not None:
            keep(ledger, server, answer, answer.token, arguments.title)
    finally:
        address = (answer.raw_url if arguments.raw else answer.url) + parcel.fragment
        show(_answer(body, address if parcel.fragment else None) if arguments.json else address)
    return 0


def _check_encryption(arguments: argparse.Namespace) -> None:
    """Raises UsageError."""
    encrypted_cipher.require_library()
    if arguments.raw:
        raise UsageError("--raw cannot be used with --encrypt: the bytes alone are of no use")
    if arguments.reject_secrets:
        raise UsageError("--reject-secrets cannot be used with --encrypt: the server sees nothing of what is encrypted")
    if arguments.idempotency_key:
        raise UsageError("--idempotency-key cannot be used with --encrypt, which makes something else each time")


async def _encrypted(parcel: Parcel) -> Parcel:
    wrapped = await encrypted_put.wrap(parcel.sources, parcel.options, parcel.password)
    return Parcel([wrapped.source], wrapped.options, wrapped.password, parcel.idempotency_key, wrapped.fragment)


def _answer(body: bytes, address: str | None) -> str:
    """The server's answer as it came, or with the address that has the key in it."""
    return orjson.dumps(orjson.loads(body) | {"url": address}).decode() if address else body.decode().rstrip("\n")


def choose_options(arguments: argparse.Namespace, sources: Sequence[Source]) -> dict[str, str]:
    """The API's options, as text, that the command line asks for."""
    chosen = {name: getattr(arguments, name) for name in _OPTIONS}
    if chosen["name"] is None and len(sources) == 1:
        chosen["name"] = sources[0].name
    for flag in ("burn", "reject_secrets"):
        if getattr(arguments, flag):
            chosen[flag] = "true"
    return {name: str(value) for name, value in chosen.items() if value is not None}


def parse_answer(body: bytes, server: str) -> Answer:
    """Raises Refused if this is not what a create answers."""
    try:
        answer = msgspec.convert(orjson.loads(body), Answer)
    except ValueError as error:
        raise Refused(f"{server} does not answer as a pastebin server does") from error
    for url in (answer.url, answer.raw_url):
        if not (url.isprintable() and url.startswith(("http://", "https://"))):
            raise Refused(f"{server} answered with something that is not an address")
    return answer


async def _send(server: str, parcel: Parcel) -> bytes:
    for source in parcel.sources:
        await source.prepare()
    with show_progress(parcel.size) as progress:
        async with open_session(server) as session:
            try:
                async with session.exchange(_request(parcel, progress)) as response:
                    return await read_answer(response)
            except AnswerLost as error:
                if parcel.fragment:
                    raise AnswerLost(f"{error.detail}\nthe paste may have been made, but its key is lost") from error
                raise AnswerLost(
                    f"{error.detail}\nthe paste may have been made; to find out, repeat the command with "
                    f"--idempotency-key {parcel.idempotency_key}"
                ) from error


def _request(parcel: Parcel, progress: Progress) -> Request:
    is_plain = len(parcel.sources) == 1 and parcel.password is None

    def body() -> Payload:
        progress.restart()
        return Body(parcel.sources[0], progress) if is_plain else _form(parcel, progress)

    return Request(
        method="POST",
        path="/api/v1/pastes",
        params=parcel.options if is_plain else {},
        headers={"Accept": "application/json", "Idempotency-Key": parcel.idempotency_key},
        body=body,
        is_replayable=lambda: parcel.is_replayable,
    )


def _form(parcel: Parcel, progress: Progress) -> MultipartWriter:
    """The options as fields, then the files (RFC 7578). Names travel as plain UTF-8, as from browsers."""
    form = MultipartWriter("form-data")
    fields = dict(parcel.options)
    single_name = fields.pop("name", None)
    if parcel.password is not None:
        fields["password"] = parcel.password
    for name, value in fields.items():
        text = StringPayload(value)
        text.headers.popall("Content-Type")
        text.set_content_disposition("form-data", quote_fields=False, name=name)
        form.append_payload(text)
    for source in parcel.sources:
        body = Body(source, progress)
        file_name = single_name or source.name
        named = {"filename": file_name} if file_name else {}
        body.set_content_disposition("form-data", quote_fields=False, name="file", **named)
        form.append_payload(body)
    return form


def prepare(ledger: Ledger) -> None:
    try:
        ledger.prepare()
    except LocalFileError as error:
        raise LocalFileError(
            f"{error.detail}\nnothing was sent, as the owner token could not be kept; --forget does without"
        ) from error


def keep(ledger: Ledger, server: str, answer: Answer, token: str, title: str | None = None) -> None:
    entry = Entry(
        server=server,
        slug=answer.slug,
        url=answer.url,
        token=token,
        created_at=answer.created_at.astimezone(UTC),
        expires_at=answer.expires_at,
        title=answer.title or title,
        name=answer.files[0].name if len(answer.files) == 1 else None,
    )
    try:
        ledger.add(entry)
    except LocalFileError:
        tell(f"the paste was made, but its owner token could not be kept; it is {token}")
        raise
