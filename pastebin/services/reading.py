"""Finding pastes and handing out their bytes."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from pastebin import slugs
from pastebin.errors import BlobMissing, Overloaded, PasteNotFound, RevealRequired, RevisionConflict, WrongPassword
from pastebin.models import File, Paste
from pastebin.services.passwords import Passwords
from pastebin.store.blobs import Blobs
from pastebin.store.pastes import Bodies, Pastes

log = logging.getLogger(__name__)

_REVEAL_TRIES = 5


class Reading:
    """The read side of a paste. What cannot be seen and what does not exist look the same: PasteNotFound."""

    def __init__(self, pastes: Pastes, blobs: Blobs, passwords: Passwords) -> None:
        self._pastes = pastes
        self._blobs = blobs
        self._passwords = passwords

    async def find(
        self,
        slug: str,
        token: str | None = None,
        *,
        bodies: Bodies = "none",
        body_of: str | None = None,
        from_primary: bool = False,
    ) -> Paste:
        """The paste as this caller may know of it; a private one needs its owner token. Never checks protection."""
        if not slugs.is_slug(slug) or (body_of is not None and "\0" in body_of):
            raise PasteNotFound
        token_hash = slugs.hash_token(token) if token else None
        paste = await self._pastes.find(
            slug, bodies=bodies, body_of=body_of, token_hash=token_hash, from_primary=from_primary
        )
        if paste.visibility == "private" and not (token_hash and hmac.compare_digest(paste.token_hash, token_hash)):
            raise PasteNotFound
        return paste

    async def open(
        self, slug: str, token: str | None = None, *, bodies: Bodies = "none", body_of: str | None = None
    ) -> Paste:
        """The paste, if its content may be read by a plain GET. Raises RevealRequired."""
        paste = await self.find(slug, token, bodies=bodies, body_of=body_of)
        if paste.needs_reveal:
            raise RevealRequired
        return paste

    async def reveal(self, slug: str, password: str | None, token: str | None = None, address: str = "") -> Paste:
        """Consume one read of a protected paste and return it with its inline bodies.

        Raises WrongPassword (nothing is consumed), RateLimited for too many of them from one `address`, and
        PasteNotFound once the reads are used up.
        """
        return await self._take(slug, token, password, address, needs_password=True)

    async def unseal(self, slug: str) -> Paste:
        """The same for who speaks a dialect without passwords, of a paste whose password is a verifier of its key.

        The password of any other paste has to be asked for: the caller sees to that. Raises PasteNotFound.
        """
        return await self._take(slug, None, None, "", needs_password=False)

    async def _take(
        self, slug: str, token: str | None, password: str | None, address: str, *, needs_password: bool
    ) -> Paste:
        for attempt in range(_REVEAL_TRIES):
            paste = await self.find(slug, token, bodies="all", from_primary=attempt > 0)
            if needs_password and paste.password_hash is not None:
                if not password:
                    raise WrongPassword
                is_right = await self._passwords.verify(paste.password_hash, password, address)
                # that took its time, and the look may have been at a replica: by now another password may count
                if not await self._is_current(paste):
                    continue
                if not is_right:
                    raise WrongPassword
            if paste.max_reads is None:
                return paste
            try:
                return await self._pastes.take_read(paste)
            except RevisionConflict:
                continue  # changed between the look and the read, so perhaps under another password
        raise Overloaded("The paste is being changed too often; try again shortly.")

    async def _is_current(self, paste: Paste) -> bool:
        now = await self._pastes.find(paste.slug, from_primary=True)
        return (now.id, now.version) == (paste.id, paste.version)

    async def stream(self, file: File, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Bytes of a file from `start`. Raises BlobMissing if the store does not hold what the row promises."""
        wanted = file.size - start if length is None else length
        if file.body is not None:
            yield file.body[start : start + wanted]
            return
        if file.blob_key is None:
            raise BlobMissing
        is_whole = start == 0 and wanted == file.size
        chunks = self._blobs.read(file.blob_key, start, wanted)
        async with closing(_verified(chunks, file) if is_whole else chunks) as passed:
            async for chunk in passed:
                wanted -= len(chunk)
                yield chunk
        if wanted:
            raise BlobMissing

    async def content(self, file: File) -> bytes:
        """All bytes of a file that the caller knows to be small."""
        return b"".join([chunk async for chunk in self.stream(file)])


async def _verified(chunks: AsyncIterator[bytes], file: File) -> AsyncIterator[bytes]:
    """All of a file's bytes; the last chunk is only let go when the digest of everything is right."""
    digest = hashlib.sha256()
    held = b""
    async with closing(chunks) as source:
        async for chunk in source:
            if held:
                yield held
            digest.update(chunk)
            held = chunk
    if digest.digest() != file.sha256:
        log.error("blob %s does not have the digest of its file", file.blob_key)
        raise BlobMissing
    if held:
        yield held


@asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Let a stream that is left early give back what it holds at once."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
