"""Complaints about pastes, and what those who run the service decide."""

from __future__ import annotations

import logging

from pastebin import slugs
from pastebin.errors import InvalidPaste, PasteNotFound, Problem
from pastebin.models import Purge, ReportReason
from pastebin.phrases import Phrase
from pastebin.services.purging import Purging
from pastebin.store.complaints import Complaint, Complaints
from pastebin.store.pastes import Pastes

log = logging.getLogger(__name__)

DETAILS_CHARACTERS = 2000


class Moderating:
    """Takes complaints from anybody, and takes pastes away for the administrator."""

    def __init__(self, pastes: Pastes, complaints: Complaints, purging: Purging) -> None:
        self._pastes = pastes
        self._complaints = complaints
        self._purging = purging

    async def report(self, slug: str, reason: ReportReason, details: str) -> None:
        """Keep a complaint. Raises InvalidPaste; PasteNotFound also for what a stranger cannot know of."""
        if len(details) > DETAILS_CHARACTERS or "\0" in details:
            raise InvalidPaste(
                [Problem("details", Phrase("must be at most %(num)s characters without NUL", num=DETAILS_CHARACTERS))]
            )
        if not slugs.is_slug(slug):
            raise PasteNotFound
        paste = await self._pastes.find(slug)
        if paste.visibility == "private":
            raise PasteNotFound
        await self._complaints.add(paste, reason, details)

    async def complaints(self) -> list[Complaint]:
        """What nobody has decided about yet."""
        return await self._complaints.list()

    async def take_down(self, slug: str, reason: str) -> Purge:
        """Take a paste away everywhere, and say how many caches know it. Raises PasteNotFound."""
        if not slugs.is_slug(slug):
            raise PasteNotFound
        change = await self._pastes.take_down(await self._pastes.find(slug, from_primary=True), reason)
        log.warning("paste %s was taken down", slug)
        return await self._purging.confirmed(change, slug)

    async def dismiss(self, slug: str) -> int:
        """Forget the complaints about a paste that stays; how many there were."""
        return await self._complaints.dismiss(slug)
