"""Origins of which some have the role web and others the role read."""

from __future__ import annotations

from pastebin.cdn.origins import Origins
from pastebin.http.exchanges import Ask, Exchange, Reply
from pastebin.http.targets import READ


class WithReaders:
    """As `Origins`; bytes and the API are asked of `readers`, everything else of `pages`."""

    def __init__(self, pages: Origins, readers: Origins) -> None:
        self._pages = pages
        self._readers = readers

    async def fetch(self, ask: Ask) -> Reply:
        """See `Origins.fetch`."""
        return await self._of(ask).fetch(ask)

    async def begin(self, ask: Ask) -> tuple[Exchange, Reply]:
        """See `Origins.begin`."""
        return await self._of(ask).begin(ask)

    def close(self) -> None:
        self._pages.close()
        self._readers.close()

    def _of(self, ask: Ask) -> Origins:
        return self._readers if READ.match(ask.target) else self._pages
