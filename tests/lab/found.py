"""What gateways and name servers have found of the boxes they look at, by their own figures.

A lab is ready when every box can do its work; until everybody who sends clients there knows it, a moment passes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import aiohttp

from tests.lab.boxes import Box
from tests.lab.errors import LabError
from tests.lab.lab import Lab

_SETTLED_SECONDS = 180.0
_ANSWER_SECONDS = 20.0
_POLL_SECONDS = 0.2
_ASKED = ("edge", "web", "read", "write", "analytics")
# whoever was ejected is given one request once it answers probes again, and none comes where no client needs it
_NODE = re.compile(r'^pastebin_gateway_node_state\{node="([^"]+)",region="[^"]*",state="down"\} 0\.0$', re.MULTILINE)
_REGION = re.compile(r'^pastebin_region_up\{region="([^"]+)"\} 1\.0$', re.MULTILINE)
_ANSWERED = re.compile(r'^pastebin_gateway_answers_total\{node="([^"]+)",region="[^"]+"\} (\S+)$', re.MULTILINE)


async def settled(lab: Lab) -> None:
    """Return when all of them find that every box that is wanted is well. Raises LabError, with what they miss."""
    missed: list[str] = []
    try:
        async with asyncio.timeout(_SETTLED_SECONDS):
            while missed := await _missed(lab):  # noqa: ASYNC110  (processes elsewhere have no events)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise LabError(f"not found well after {_SETTLED_SECONDS:g} s: {', '.join(missed)}") from None


async def answers(lab: Lab, region: str) -> dict[str, float]:
    """Node -> how often the gateway of a region passed on its answer."""
    text = await figures(lab.box(f"{region}-gateway"))
    return {name: float(count) for name, count in _ANSWERED.findall(text)}


async def figures(box: Box) -> str:
    """What a node tells Prometheus."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.get(f"{box.site.url('internal')}/metrics") as response,
    ):
        return await response.text()


async def _missed(lab: Lab) -> list[str]:
    watchers = [box for box in lab.boxes.values() if box.kind in ("gateway", "geodns") and box.is_wanted]
    found = await asyncio.gather(*map(_found, watchers))
    missed = []
    for watcher, well in zip(watchers, found, strict=True):
        missed += [f"{name} by {watcher.name}" for name in _watched(lab, watcher) if name not in well]
    return missed


async def _found(watcher: Box) -> list[str]:
    """What it finds well: nothing, while it does not answer."""
    try:
        text = await figures(watcher)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return []
    return (_REGION if watcher.kind == "geodns" else _NODE).findall(text)


def _watched(lab: Lab, watcher: Box) -> Iterator[str]:
    """What there is to be found well, as the watcher calls it."""
    for box in lab.boxes.values():
        if not box.is_wanted:
            continue
        if watcher.kind == "gateway" and box.kind in _ASKED:
            yield box.name
        if watcher.kind == "geodns" and box.kind == "gateway":
            yield box.region
