"""The one table of roles: what a word in `[node] roles` switches on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

from pastebin.analytics import service
from pastebin.cdn import edge, markers, worker
from pastebin.config import Config
from pastebin.gateway import front
from pastebin.geodns import server
from pastebin.http.offer import Offer
from pastebin.origin import read, web, write
from pastebin.resources import Needs, Resources
from pastebin.sections import EdgeSection, RoleName

Door = Literal["origin", "edge", "gateway"]


@dataclass(frozen=True, slots=True)
class Role:
    """A context manager that yields routes, the door they are served behind (if any), and what it needs."""

    enter: Callable[[Resources], AbstractAsyncContextManager[Offer]]
    door: Door | None
    needs: Needs


# In this order they are entered: a worker tells the edge of its own node from the beginning.
ROLES: dict[RoleName, Role] = {
    "web": Role(web.role, door="origin", needs=Needs.DATABASE | Needs.BLOBS | Needs.RENDERING | Needs.SECRET),
    "read": Role(read.role, door="origin", needs=Needs.DATABASE | Needs.BLOBS | Needs.SECRET),
    "write": Role(write.role, door="origin", needs=Needs.DATABASE | Needs.BLOBS | Needs.RENDERING | Needs.SECRET),
    "edge": Role(edge.role, door="edge", needs=Needs.SECRET),
    "cdn-worker": Role(worker.role, door=None, needs=Needs.DATABASE | Needs.SECRET),
    "analytics": Role(service.role, door="origin", needs=Needs.SECRET),
    "gateway": Role(front.role, door="gateway", needs=Needs.SECRET),
    "geodns": Role(server.role, door=None, needs=Needs.SECRET),
}


def door_of(role: Role, section: EdgeSection) -> Door | None:
    """Where the role is served: an edge before the node's own application takes over the door of that one."""
    return "origin" if role.door == "edge" and section.origin == "local" else role.door


# Nothing that anybody asks for by name: `database.markers` belongs to the roles that read.
_MARKERS = Role(markers.role, door=None, needs=Needs.DATABASE | Needs.SECRET)


def entered(config: Config) -> Iterator[tuple[str, Role]]:
    """What the node is, in the order in which it becomes that."""
    if config.database.markers:
        yield "markers", _MARKERS
    yield from ((name, role) for name, role in ROLES.items() if name in config.node.roles)


def needs_of(names: list[RoleName]) -> Needs:
    """Everything that these roles need together."""
    needs = Needs(0)
    for name in names:
        needs |= ROLES[name].needs
    return needs
