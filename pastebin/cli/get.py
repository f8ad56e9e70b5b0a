"""`pastebin get`: the bytes of a paste, on standard output or in a file."""

from __future__ import annotations

import argparse
import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson
from aiohttp.payload import BytesPayload

from pastebin import sealed
from pastebin.cli import encrypted_get, environment, passwords
from pastebin.cli.download import Download, Part, stream
from pastebin.cli.encrypted_get import Locked
from pastebin.cli.failures import AnswerLost, LocalFileError, Refused, UsageError
from pastebin.cli.ledger import Ledger
from pastebin.cli.messages import tell
from pastebin.cli.progress import show_progress
from pastebin.cli.revealed import write_revealed
from pastebin.cli.session import Request, Session, open_session, read_answer
from pastebin.cli.sinks import Sink, check_place, open_sink
from pastebin.cli.target import parse_target
from pastebin.sealed import Sealed

SUMMARY = "get the bytes of a paste, on standard output or in a file"

_REVEALED_BYTES = 32 * 1024**2  # a mebibyte of content, however it is escaped, and the names of a thousand files
_LINES = re.compile(r"[0-9]+(-[0-9]+)?")


class File(msgspec.Struct):
    raw_url: str
    name: str | None = None
    size: int | None = None
    sha256: str | None = None


class Paste(msgspec.Struct):
    """What the client reads of a paste's metadata."""

    files: list[File]
    protection: str = "none"
    max_reads: int | None = None
    encryption: dict[str, Any] | None = None

    @property
    def is_protected(self) -> bool:
        return self.protection == "password" or self.max_reads is not None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    slug: str
    name: str | None
    output: str | None
    lines: str | None
    password: str | None = field(repr=False)
    reveals: bool
    fragment: str = field(default="", repr=False)
    is_foreign: bool = False

    @property
    def goes_to_directory(self) -> bool:
        return self.output is not None and self.output != "-" and Path(self.output).is_dir()


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paste", metavar="SLUG_OR_URL", help="which paste; a URL names its own server")
    add(
        "--server",
        metavar="URL",
        help="where a slug is looked up; else PASTEBIN_SERVER, client.toml, or this machine",
    )
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="write to FILE; in an existing directory, every file under its own name",
    )
    add("--name", help="which file of a paste with several")
    add("--lines", metavar="A-B", help="these lines only")
    add("--reveal", action="store_true", help="read a protected paste; this uses up one of its readings")
    passwords.configure(parser, "ask for the paste's password on the terminal")


def run(arguments: argparse.Namespace) -> int:
    """Raises CommandFailed."""
    target = parse_target(arguments.paste)
    if arguments.server is not None and target.server is not None:
        raise UsageError("--server is for a slug; a URL names its own server")
    if arguments.lines is not None and not _LINES.fullmatch(arguments.lines):
        raise UsageError("--lines: must be A-B, such as 10-20")
    if arguments.lines is not None and arguments.reveal:
        raise UsageError("--lines cannot be used with --reveal")
    wish = Wish(
        slug=target.slug,
        name=arguments.name or target.name,
        output=arguments.output,
        lines=arguments.lines,
        password=passwords.choose(arguments),
        reveals=arguments.reveal,
        fragment=target.fragment,
        is_foreign=target.is_foreign,
    )
    asyncio.run(_get(target.server or environment.choose_server(arguments.server), wish))
    return 0


async def _get(server: str, wish: Wish) -> None:
    async with open_session(server) as session:
        try:
            paste, token = await _describe(session, wish.slug)
        except Refused as error:
            if wish.is_foreign and wish.fragment and error.status in (0, 404):
                # it is no server of this project, or it will say so again
                await _decrypt(session, wish, None, None)
            else:
                _check_reveals(wish, error)
                await _reveal(session, wish, [], None)
            return
        sealing = sealed.find(paste.encryption) if len(paste.files) == 1 else None
        if sealing is not None and wish.fragment:
            await _decrypt(session, wish, sealing, token, is_limited=paste.is_protected)
        else:
            await _fetch(session, wish, paste, token)


async def _fetch(session: Session, wish: Wish, paste: Paste, token: str | None) -> None:
    # what the files of a protected paste are called is told by the reveal only
    is_veiled = paste.is_protected and all(file.name is None for file in paste.files)
    files = paste.files if is_veiled and wish.name is not None else choose_files(paste.files, wish)
    if not (wish.reveals and paste.is_protected):
        try:
            await _download(session, wish, paste, files, token)
        except Refused as error:
            _check_reveals(wish, error)
        else:
            return
    await _reveal(session, wish, files, token)


def _check_reveals(wish: Wish, error: Refused) -> None:
    """Raise the refusal again unless it asks for the reveal that is wished for."""
    if not error.kind.endswith("/reveal-required"):
        raise error
    if not wish.reveals:
        raise Refused(f"{error.detail}\n--reveal reads it, which uses up one of its readings") from error


async def _download(session: Session, wish: Wish, paste: Paste, files: list[File], token: str | None) -> None:
    if paste.protection == "end-to-end":
        tell("this paste is encrypted by its author, and its link has the key behind #; these are the encrypted bytes")
    for file in files:
        part = Part(path=_path(wish.slug, file, paste), sha256=file.sha256, lines=wish.lines, token=token)
        shown_size = file.size if wish.output and not wish.lines else 0
        with open_sink(wish.output, file.name or wish.slug) as sink, show_progress(shown_size) as progress:
            await Download(session, part, sink, progress).run()


async def _decrypt(
    session: Session, wish: Wish, sealing: Sealed | None, token: str | None, *, is_limited: bool = False
) -> None:
    """Write what an encrypted paste holds. There may be one chance only, so it is first made sure there is a place."""
    if wish.lines is not None:
        raise UsageError("--lines is not for what is encrypted")
    check_place(wish.output, wish.name or wish.slug)
    locked = Locked(wish.slug, wish.fragment, wish.password, wish.reveals, token)
    if sealing is None:
        message = await encrypted_get.read_foreign(session, locked)
    else:
        message = await encrypted_get.read(session, locked, sealing, is_limited=is_limited)
        if not is_limited:
            choose_files([File("", file.name or None) for file in message.files], wish)
    document = encrypted_get.as_document(message)
    write_revealed(document, wish.name, wish.output, several_to=wish.goes_to_directory)


def choose_files(files: list[File], wish: Wish) -> list[File]:
    """The files to fetch: one, or all of them into a directory. Raises Refused, UsageError."""
    chosen = files if wish.name is None else [file for file in files if file.name == wish.name]
    names = ", ".join(file.name or "(unnamed)" for file in files)
    if not chosen:
        raise Refused(f"this paste has no file {wish.name}; it has: {names}")
    if len(chosen) > 1 and not wish.goes_to_directory:
        told = f": {names}" if any(file.name for file in files) else "; it tells their names when it is read"
        raise UsageError(f"this paste has {len(files)} files; choose one with --name, or all with -o DIRECTORY{told}")
    return chosen


async def _describe(session: Session, slug: str) -> tuple[Paste, str | None]:
    """The metadata, and the owner token if reading takes it, as that of a private paste does."""
    try:
        return await _fetch_metadata(session, slug, None), None
    except Refused as error:
        if error.status != 404:
            raise
        entry = Ledger(environment.state_directory()).find(session.server, slug)
        if entry is None or entry.server != session.server:
            raise
        return await _fetch_metadata(session, slug, entry.token), entry.token


async def _fetch_metadata(session: Session, slug: str, token: str | None) -> Paste:
    request = Request(method="GET", path=f"/api/v1/pastes/{slug}", headers={"Accept": "application/json"}, token=token)
    async with session.exchange(request) as response:
        body = await read_answer(response)
    try:
        paste = msgspec.convert(orjson.loads(body), Paste)
    except ValueError as error:
        raise Refused(f"{session.server} does not answer as a pastebin server does") from error
    if not paste.files:
        raise Refused("this paste has no files")
    return paste


def _path(slug: str, file: File, paste: Paste) -> str:
    """Where the bytes are, on the server that was asked: the host in `raw_url` may be another name of it.

    Raises Refused for what is no path, which could make another host of the address.
    """
    if len(paste.files) == 1:
        return f"/{slug}/raw"
    try:
        parts = urlsplit(file.raw_url)
    except ValueError as error:
        raise Refused("the server says where a file is in a way that cannot be understood") from error
    path = parts.path[max(parts.path.find(f"/{slug}/"), 0) :]
    if not path.startswith("/") or path.startswith("//"):
        raise Refused("the server says where a file is in a way that cannot be understood")
    return f"{path}?{parts.query}" if parts.query else path


async def _reveal(session: Session, wish: Wish, files: list[File], token: str | None) -> None:
    """Read a protected paste. There is one chance only, so it is first made sure that there is a place for it."""
    names = [file.name or wish.name or wish.slug for file in files] or [wish.name or wish.slug]
    for name in names:
        check_place(wish.output, name)
    content = {} if wish.password is None else {"password": wish.password}
    request = Request(
        method="POST",
        path=f"/api/v1/pastes/{wish.slug}/reveal",
        headers={"Accept": "application/octet-stream, application/json;q=0.5"},
        body=lambda: BytesPayload(orjson.dumps(content), content_type="application/json"),
        token=token,
        is_idempotent=False,
    )
    async with session.exchange(request) as response:
        if response.content_type == "application/json":
            await _take_document(response, wish)
            return
        with open_sink(wish.output, names[0]) as sink, show_progress(response.content_length) as progress:
            try:
                await stream(response, sink, progress)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise AnswerLost(_used_up(f"the connection broke: {error}", sink)) from error
            except (AnswerLost, LocalFileError) as error:
                raise type(error)(_used_up(error.detail, sink)) from error


async def _take_document(response: aiohttp.ClientResponse, wish: Wish) -> None:
    """Write what a JSON answer holds; of one that breaks, or is too long to be one, what came."""
    document = bytearray()
    problem = "the answer is longer than that of a paste can be"
    try:
        async for chunk in response.content.iter_any():
            document += chunk
            if len(document) > _REVEALED_BYTES:
                break
        else:
            write_revealed(bytes(document), wish.name, wish.output, several_to=wish.goes_to_directory)
            return
    except (aiohttp.ClientError, TimeoutError) as error:
        problem = f"the connection broke: {error}"
    with open_sink(None if wish.goes_to_directory else wish.output, "") as sink:
        sink.write(bytes(document))
        raise AnswerLost(_used_up(problem, sink))


def _used_up(reason: str, sink: Sink) -> str:
    kept = sink.salvage()
    return f"{reason}\na reading of the paste has been used up" + (f"; what arrived is in {kept}" if kept else "")
