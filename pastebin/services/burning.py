"""Ending a read-limited paste before its last reading: anybody who could use up its readings may."""

from __future__ import annotations

from pastebin.errors import InvalidPaste, Overloaded, Problem, RevisionConflict, WrongPassword
from pastebin.models import Purge
from pastebin.services.passwords import Passwords
from pastebin.services.purging import Purging
from pastebin.services.reading import Reading
from pastebin.store.pastes import Pastes

_TRIES = 5


class Burning:
    """Readers end what they were sent once they have it, or do not want it."""

    def __init__(self, reading: Reading, pastes: Pastes, passwords: Passwords, purging: Purging) -> None:
        self._reading = reading
        self._pastes = pastes
        self._passwords = passwords
        self._purging = purging

    async def burn(self, slug: str, password: str | None, token: str | None, address: str = "") -> Purge:
        """End the paste for everybody, and say how many caches know it.

        Raises PasteNotFound, InvalidPaste for one without a read limit, WrongPassword (nothing happens),
        RateLimited for too many of them from one `address`.
        """
        for _ in range(_TRIES):
            paste = await self._reading.find(slug, token, from_primary=True)
            if paste.max_reads is None:
                raise InvalidPaste([Problem("", "only a paste with a read limit can be burned by its readers")])
            if paste.password_hash is not None and not (
                password and await self._passwords.verify(paste.password_hash, password, address)
            ):
                raise WrongPassword("The password is wrong; the paste was not burned.")
            try:
                change = await self._pastes.burn(paste)
            except RevisionConflict:
                continue  # perhaps it has another password by now
            return await self._purging.confirmed(change, slug)
        raise Overloaded("The paste is being changed too often; try again shortly.")
