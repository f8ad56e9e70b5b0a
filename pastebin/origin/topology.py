"""The page of all nodes, and the same as JSON."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from markupsafe import Markup

from pastebin import keyring
from pastebin.http import caching
from pastebin.http.addresses import Addresses
from pastebin.http.admin_door import AdminDoor
from pastebin.http.administrators import Administrators
from pastebin.http.app import Routes
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.languages import current, gettext
from pastebin.phrases import N_
from pastebin.resources import Resources
from pastebin.services import diagrams_svg, planet
from pastebin.services.planet import Mark, Planet
from pastebin.services.planet_layout import MIDDLE, NARROW, WIDE, layout
from pastebin.services.watching import Topology, Watching, stations

_KEPT_SECONDS = 0.9
_HALF_A_DAY = 43_200.0
_WORDS: dict[Mark, str] = {
    "up": N_("ready"),
    "warn": N_("in trouble, or behind"),
    "down": N_("no answer, or down"),
    "unknown": N_("not asked"),
}
_MARKS = {
    mark: (Markup(diagrams_svg.sign(mark)), text)  # noqa: S704  (made there of nothing but constants)
    for mark, text in _WORDS.items()
}
_FLOWS = [
    (Markup(diagrams_svg.stroke(flow)), flow)  # noqa: S704  (likewise)
    for flow in (
        N_("requests"),
        N_("names"),
        N_("reads"),
        N_("writes"),
        N_("replication"),
        N_("purges"),
        N_("visits"),
    )
]


@asynccontextmanager
async def showing(resources: Resources) -> AsyncIterator[Routes]:
    """Watch all nodes, while somebody looks; the routes to see them by."""
    config = resources.config
    name = config.node.name
    watched = stations(config.regions, config.admin.nodes, name, config.node.region)
    secrets = keyring.fingerprints(config)
    async with (
        Watching.opened(watched, name, lambda: resources.portrayal.portrait(), secrets) as watching,
        resources.loops.running(watching.run(), name="watching-nodes"),
    ):
        yield TopologyPage(
            watching,
            [*config.regions],
            resources.administrators,
            resources.admin_door,
            resources.pages,
            resources.addresses,
            is_open=config.admin.open_topology,
        ).routes()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The planet as its template shows it, with the pictures by the names of their arrangements."""

    planet: Planet
    pictures: Sequence[tuple[str, Markup]]

    @property
    def at(self) -> str:
        return clock(self.planet.at, self.planet.at)


class TopologyPage:
    """For the administrator, or for everybody where that `is_open`. Many who look cost as much as one."""

    def __init__(
        self,
        watching: Watching,
        regions: Sequence[str],
        administrators: Administrators,
        door: AdminDoor,
        pages: Pages,
        addresses: Addresses,
        *,
        is_open: bool,
    ) -> None:
        self._watching = watching
        self._regions = regions
        self._administrators = administrators
        self._door = door
        self._pages = pages
        self._addresses = addresses
        self._is_open = is_open
        self._drawn: dict[str, Drawn] = {}  # by language

    def routes(self) -> Routes:
        return [web.get("/admin/topology", self.show), web.get("/api/v1/topology", self.tell)]

    async def show(self, request: web.Request) -> web.Response:
        if not self._is_open and not self._administrators.is_remembered(request):
            return self._door.shown(request, page="topology")
        text = self._pages.render(
            "topology.html",
            drawn=await self._draw(),
            marks=_MARKS,
            flows=_FLOWS,
            clock=clock,
            site_url=self._addresses.base(request),
        )
        return html_response(text, headers={**caching.secret(), "Content-Security-Policy": SCRIPTED})

    async def tell(self, request: web.Request) -> web.Response:
        if not self._is_open:
            self._administrators.check(request)
        topology = Topology(time.time(), await self._watching.sights())
        headers = {**caching.secret(), "X-Content-Type-Options": "nosniff"}
        return web.Response(body=msgspec.json.encode(topology), content_type="application/json", headers=headers)

    async def _draw(self) -> Drawn:
        sights = await self._watching.sights()
        drawn, now = self._drawn.get(current()), time.time()
        if drawn is None or not 0 <= now - drawn.planet.at < _KEPT_SECONDS:
            shown = planet.planet(sights, self._regions, now)
            said = description(shown)
            pictures = [
                (kind.name, Markup(diagrams_svg.draw(layout(shown, kind), kind.name, gettext("All nodes"), said)))  # noqa: S704
                for kind in (WIDE, MIDDLE, NARROW)
            ]
            drawn = self._drawn[current()] = Drawn(shown, pictures)
        return drawn


def description(shown: Planet) -> str:
    """The picture in a few sentences; the table below it says everything."""
    marks = (
        (gettext("ready"), "up"),
        (gettext("in trouble"), "warn"),
        (gettext("without an answer"), "down"),
    )
    regions = "; ".join(
        f"{region.name}: " + ", ".join(f"{sum(s.mark == mark for s in region.spots)} {word}" for word, mark in marks)
        for region in shown.regions
    )
    figures = "; ".join(f"{tile.label.lower()} {tile.value}" for tile in shown.tiles)
    first = gettext("Clients ask the name servers and come to the regions.")
    last = gettext("The table below has all nodes.")
    return f"{first} {regions}. {figures}. {last}"


def clock(at: float, now: float) -> str:
    """A time of day in UTC, with its day if that is not of the last 12 hours."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M:%S} UTC" if now - at < _HALF_A_DAY else f"{moment:%Y-%m-%d %H:%M} UTC"
