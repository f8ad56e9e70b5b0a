"""`pastebin get` of what its author has encrypted: at a server of this project, or at one of PrivateBin's."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson
from aiohttp.payload import BytesPayload

from pastebin import sealed
from pastebin.cli import passwords
from pastebin.cli.download import Download, Part
from pastebin.cli.encrypted_cipher import MOST_BYTES, Damaged, DoesNotFit, derive, key_of, reopen, require_library
from pastebin.cli.encrypted_message import Message, unpack
from pastebin.cli.failures import Refused, UsageError, as_local_error
from pastebin.cli.messages import tell
from pastebin.cli.progress import show_progress
from pastebin.cli.session import Request, Session
from pastebin.sealed import Sealed

_DOCUMENT_BYTES = MOST_BYTES * 2  # as base64, and what stands around it
_SPOKEN = {"Accept": "application/json", "X-Requested-With": "JSONHttpRequest"}
_ASKED = 3


class Document(msgspec.Struct):
    """What PrivateBin answers."""

    status: int = 1
    message: str = ""
    v: int = 0
    adata: list[Any] = msgspec.field(default_factory=list)
    ct: str = ""


@dataclass(frozen=True, slots=True)
class Locked:
    """One encrypted paste, and what somebody has to open it with."""

    slug: str
    fragment: str = field(repr=False)
    password: str | None = field(repr=False)
    reveals: bool
    token: str | None = field(default=None, repr=False)


class Memory:
    """A sink for what has to be decrypted as a whole."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.position = 0

    def write(self, chunk: bytes) -> None:
        self.content += chunk
        self.position = len(self.content)
        if self.position > _DOCUMENT_BYTES:
            raise Refused(f"this paste is larger than the {_DOCUMENT_BYTES} bytes that are decrypted")

    def restart(self) -> bool:
        self.content.clear()
        self.position = 0
        return True

    def complete(self) -> None:
        pass

    def salvage(self) -> str | None:
        return None


async def read(session: Session, locked: Locked, sealing: Sealed, *, is_limited: bool) -> Message:
    """Decrypt a paste of this server; with a verifier neither a wrong key nor a wrong password uses up a reading.

    Raises Refused, UsageError, Unreachable.
    """
    require_library()
    secret = key_of(locked.fragment)
    keys = await asyncio.to_thread(derive, secret, locked.password, sealing)
    if not is_limited:
        with show_progress(0) as progress:
            memory = Memory()
            await Download(session, Part(path=f"/{locked.slug}/raw", token=locked.token), memory, progress).run()
        return _opened(bytes(memory.content), keys.content, sealing)
    if not locked.reveals:
        raise Refused("this paste can be read a limited number of times\n--reveal reads it, which uses one up")
    ciphertext = await _revealed(session, locked, keys.verifier if sealing.has_verifier else None)
    return await _tried(ciphertext, secret, locked, sealing)


async def read_foreign(session: Session, locked: Locked) -> Message:
    """Decrypt a paste of a server of PrivateBin's; reading what burns there deletes it, whatever key one has.

    Raises Refused, UsageError, Unreachable.
    """
    require_library()
    secret = key_of(locked.fragment)
    if locked.fragment.startswith("-") and not locked.reveals:
        raise Refused("this paste is deleted when it is read\n--reveal reads it")
    request = Request(method="GET", path=f"/?{locked.slug}", headers=_SPOKEN, is_idempotent=False)
    document = _document(await _answered(session, request), session.server)
    if document.status:
        raise Refused(f"{session.server}: {document.message or 'there is no such paste'}")
    try:
        sealing = sealed.read({"v": document.v, "adata": document.adata})
        ciphertext = base64.b64decode(document.ct, validate=True)
    except ValueError as error:
        raise Refused(f"{session.server}: the paste {error}") from error
    if sealing.burns:
        return await _tried(ciphertext, secret, locked, sealing)
    keys = await asyncio.to_thread(derive, secret, locked.password, sealing)
    return _opened(ciphertext, keys.content, sealing)


def as_document(message: Message) -> bytes:
    """The message as the API gives the contents of several files."""
    files = []
    for file in message.files:
        try:
            files.append({"name": file.name or None, "content": file.content.decode(), "encoding": "utf-8"})
        except UnicodeDecodeError:
            content = base64.b64encode(file.content).decode()
            files.append({"name": file.name or None, "content": content, "encoding": "base64"})
    return orjson.dumps({"title": message.title or None, "files": files})


async def _revealed(session: Session, locked: Locked, verifier: str | None) -> bytes:
    content = orjson.dumps({} if verifier is None else {"password": verifier})
    request = Request(
        method="POST",
        path=f"/api/v1/pastes/{locked.slug}/reveal",
        headers={"Accept": "application/octet-stream"},
        body=lambda: BytesPayload(content, content_type="application/json"),
        token=locked.token,
        is_idempotent=False,
    )
    try:
        return await _answered(session, request)
    except Refused as error:
        if error.kind.endswith("/wrong-password"):
            raise Refused("the key or the password is wrong; no reading was used up") from error
        raise


async def _tried(ciphertext: bytes, secret: bytes, locked: Locked, sealing: Sealed) -> Message:
    """What has been read cannot be read again: other passwords are asked for, and in the end it is kept in a file."""
    password = locked.password
    for left in reversed(range(_ASKED)):
        keys = await asyncio.to_thread(derive, secret, password, sealing)
        try:
            return _opened(ciphertext, keys.content, sealing)
        except Refused as error:
            try:
                password = passwords.ask("That does not fit. Password: ") if left else None
            except UsageError:
                password = None
            if password is None:
                kept = _kept(ciphertext, locked, sealing)
                raise Refused(f"{error.detail}\nthe reading is used up; what came is in {kept}") from error
    raise AssertionError  # the last turn has returned or raised


def _opened(ciphertext: bytes, key: bytes, sealing: Sealed) -> Message:
    try:
        return unpack(reopen(ciphertext, key, sealing))
    except DoesNotFit as error:
        raise Refused(
            "the key or the password does not fit, or the content was changed on its way\n"
            "--password asks for a password, if it has one"
        ) from error
    except Damaged as error:
        reason = error.detail if error.detail != Damaged().detail else "its content is nothing that is known here"
        raise Refused(f"this paste cannot be shown: {reason}") from error


def _kept(ciphertext: bytes, locked: Locked, sealing: Sealed) -> Path:
    """The encrypted paste as PrivateBin has it, in the working directory, for its owner's eyes."""
    path = Path(f"{locked.slug}.encrypted-{secrets.token_hex(3)}.json")
    content = orjson.dumps({**sealing.parameters(), "ct": base64.b64encode(ciphertext).decode()})
    with as_local_error(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    tell(f"the encrypted paste was written to {path}")
    return path


async def _answered(session: Session, request: Request) -> bytes:
    memory = Memory()
    async with session.exchange(request) as response:
        async for chunk in response.content.iter_any():
            memory.write(chunk)
    return bytes(memory.content)


def _document(body: bytes, server: str) -> Document:
    try:
        return msgspec.convert(orjson.loads(body), Document)
    except ValueError as error:
        raise Refused(f"{server} does not answer as a PrivateBin server does") from error
