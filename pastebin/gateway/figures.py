"""What the gateway measures of itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from pastebin.gateway.members import Word

Again = Literal["unsent", "failed", "refused", "behind"]


class Figures:
    """Instruments of one gateway, on the registry of its node. Labels are configured names and words of this code."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Counter(
            "pastebin_gateway_answers_total",
            "Answers passed back, by region and node",
            ["region", "node"],
            registry=registry,
        )
        self.retries = Counter(
            "pastebin_gateway_retries_total", "Requests that were sent again, by why", ["reason"], registry=registry
        )
        self.exhausted = Counter(
            "pastebin_gateway_retries_refused_total", "Those that were not, for the budget was spent", registry=registry
        )
        self.hedges = Counter(
            "pastebin_gateway_hedges_total",
            "Reads sent to a second node, by whose answer it was",
            ["won"],
            registry=registry,
        )
        self.states = Gauge(
            "pastebin_gateway_node_state",
            "1 for the state a node is in",
            ["region", "node", "state"],
            registry=registry,
        )

        self._answered: dict[tuple[str, str], Counter] = {}

    def answered(self, region: str, name: str) -> None:
        """Count an answer of a member of this name: the addresses of a node count as one."""
        node = name.partition("@")[0]
        counter = self._answered.get((region, node))
        if counter is None:
            counter = self._answered[region, node] = self.answers.labels(region, node)
        counter.inc()

    def show(self, members: Iterable[tuple[str, str, Word]]) -> None:
        """Set the states of all nodes; those that are gone are not shown any more."""
        self.states.clear()
        for region, name, word in members:
            for state in get_args(Word):
                self.states.labels(region, name, state).set(state == word)
