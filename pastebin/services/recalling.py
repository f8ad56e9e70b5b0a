"""What a paste was: its earlier revisions, as far as the one who asks may see the paste itself."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from pastebin import slugs
from pastebin.errors import PasteNotFound, RevealRequired
from pastebin.models import Fork, Paste, RevisionNote
from pastebin.services.reading import Reading
from pastebin.store.history import History

REVISIONS = 50  # of a page of the history
_FORKS = 50


class Recalling:
    """Earlier revisions are as protected as the paste is now: what takes a reveal is shown to its owner only."""

    def __init__(self, reading: Reading, history: History) -> None:
        self._reading = reading
        self._history = history

    async def open(self, slug: str, token: str | None, *, bodies: bool = False) -> Paste:
        """The paste at its current revision. Raises PasteNotFound, RevealRequired."""
        paste = await self._reading.find(slug, token, bodies="all" if bodies else "none")
        if paste.needs_reveal and not is_owner(paste, token):
            raise RevealRequired("Only its owner sees the revisions of a protected paste.")
        return paste

    async def revision(self, slug: str, token: str | None, number: int | None, *, body_of: str | None = None) -> Paste:
        """The paste at that revision, with inline bodies; None is the current one."""
        if number is None:
            return await self.open(slug, token, bodies=True)
        if body_of is not None and not _is_text(body_of):
            raise PasteNotFound
        return await self._history.revision(await self.open(slug, token), number, body_of=body_of)

    async def revisions(self, paste: Paste, before: int | None = None) -> Sequence[RevisionNote]:
        """Up to REVISIONS of them, the latest first."""
        return await self._history.revisions(paste, before=before or paste.revision + 1, limit=REVISIONS)

    async def forks(self, paste: Paste) -> Sequence[Fork]:
        """The latest public ones."""
        return await self._history.forks(paste.slug, limit=_FORKS)


def is_owner(paste: Paste, token: str | None) -> bool:
    """Whether `token` is the owner token of `paste`."""
    return token is not None and hmac.compare_digest(paste.token_hash, slugs.hash_token(token))


def _is_text(name: str) -> bool:
    """Whether the database can hold it."""
    return "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)
