"""What a role offers to its node: routes, and what stands before the application of its door."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from multidict import CIMultiDict

from pastebin.http.app import Routes
from pastebin.http.middleware import Observer
from pastebin.http.protocol import Connection

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware


class Front(Protocol):
    """What stands before everything else behind a door: the connections, and a middleware."""

    @property
    def middleware(self) -> Middleware:
        """Sees every request that is no nonsense, before its session is made and before its handler."""

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called before the head of any answer is sent, last of all."""

    def changed(self, host: str, target: str, status: int, headers: CIMultiDict[str]) -> None:
        """What `middleware` and `sign` do about a POST that was answered past both: called last, with its headers."""

    def takes(self, host: str) -> bool:
        """Whether requests with this Host are answered; `middleware` refuses the others."""

    def watch(self, observer: Observer) -> None:
        """Called first of all, with who counts what goes through the door: also what is answered past `middleware`."""

    def connection(self, is_draining: Callable[[], bool], manager: web.Server, **options: Any) -> Connection:
        """One connection of the door; the options are those of Connection. While it drains every answer closes it."""

    def serving(self, build: Callable[[], web.Application]) -> AbstractAsyncContextManager[None]:
        """Entered before the door opens. `build` makes the same application once more, without this front."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a role has for the door it belongs to, and for the internal one. One role of a door may have a front."""

    routes: Routes = ()
    internal: Routes = ()
    front: Front | None = None
