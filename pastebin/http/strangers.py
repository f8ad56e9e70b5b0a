"""Nodes that have another secret than this one: told by name, for all that they ask for is refused."""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable

import orjson

from pastebin.metrics import Metrics

log = logging.getLogger(__name__)

SIGNER = "Pastebin-Signer"
# The last part of the type of the problem with which a node refuses what was signed with another secret.
PROBLEM = "secret-differs"

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SHOWN_SECONDS = 60.0
_MOST = 16


class Strangers:
    """Those met of late. Anybody may claim a name, so few are kept, and each is logged once a minute at most."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()  # name: when it was met for the last time
        self._logged: dict[str, float] = {}

    def has_asked(self, name: str) -> None:
        """A node, by what it calls itself, has asked this one."""
        self._metrics.secrets_differ.labels("asked").inc()
        self._note(f"node {name}" if _NAME.fullmatch(name) else "a node without a name")

    def has_refused(self, name: str) -> None:
        """A server, by what this node calls it, has refused what this one asked, or answered with another secret."""
        self._metrics.secrets_differ.labels("asking").inc()
        self._note(name)

    def notices(self) -> list[str]:
        """For an operator, for a minute after it happened."""
        now = self._clock()
        return [_told(name) for name, at in self._seen.items() if now - at < _SHOWN_SECONDS]

    def _note(self, name: str) -> None:
        now = self._clock()
        if now - self._logged.get(name, -_SHOWN_SECONDS) >= _SHOWN_SECONDS:
            log.warning("%s", _told(name))
            self._logged[name] = now
        self._seen[name] = now
        self._seen.move_to_end(name)
        while len(self._seen) > _MOST:
            oldest, _ = self._seen.popitem(last=False)
            self._logged.pop(oldest, None)


def signer(headers_value: str) -> tuple[str, str]:
    """Fingerprint and name of what a request says in SIGNER; empty where it says nothing."""
    mark, _, name = headers_value.partition(" ")
    return mark, name


def is_refusal(status: int, body: bytes) -> bool:
    """Whether an answer says that the other node has another secret."""
    if status != 403:
        return False
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and document.get("type") == f"/problems/{PROBLEM}"


def _told(name: str) -> str:
    return f"{name} has another node.secret than this node: give every node the same"
