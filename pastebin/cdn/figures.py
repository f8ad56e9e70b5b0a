"""What the edge measures of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Figures:
    """Instruments of one edge, on the registry of its node. Labels are words of this code only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.objects = Gauge("pastebin_edge_objects", "Cached answers", ["tier"], registry=registry)
        self.bytes = Gauge("pastebin_edge_bytes", "Bytes of cached answers", ["tier"], registry=registry)
        self.evictions = Counter(
            "pastebin_edge_evictions_total", "Cached answers that made room for others", ["tier"], registry=registry
        )
        self.unkept = Counter(
            "pastebin_edge_unkept_total",
            "Answers that might have been kept",
            ["reason"],
            registry=registry,
        )
        self.disk_errors = Counter(
            "pastebin_edge_disk_errors_total", "What the disk of the cache refused", registry=registry
        )
        self.damaged = Counter(
            "pastebin_edge_damaged_total", "Cached answers whose bytes were not what was written", registry=registry
        )

        self.answers = Counter(
            "pastebin_edge_answers_total",
            "GET and HEAD on the full road, by how the answer was come by",
            ["kind"],
            registry=registry,
        )
        self.collapsed = Counter(
            "pastebin_edge_collapsed_total", "Answers that came of a fetch for somebody else", registry=registry
        )
        self.fetches = Histogram(
            "pastebin_edge_fetch_duration_seconds",
            "Until the head of the origin's answer is here, by outcome",
            ["outcome"],
            buckets=_DURATIONS,
            registry=registry,
        )
        self.fetching = Gauge("pastebin_edge_fetching", "Fetches whose head has not come yet", registry=registry)

    def watch_shortcut(self, answered: Callable[[], Mapping[str, int]]) -> None:
        """Have the short cut asked how many answers of each kind it has given whenever the figures are read."""
        self._registry.register(_Shortcut(answered))

    def answered(self, *kinds: str) -> float:
        """How many answers of these kinds the full road has given."""
        samples = (sample for family in self.answers.collect() for sample in family.samples)
        return sum(one.value for one in samples if one.name.endswith("_total") and one.labels["kind"] in kinds)

    def watch_tier(self, tier: str, objects: Callable[[], float], size: Callable[[], float]) -> None:
        """Have a tier looked at whenever the figures are read."""
        self.objects.labels(tier).set_function(objects)
        self.bytes.labels(tier).set_function(size)


class _Shortcut(Collector):
    """Counting into an instrument would cost as much as the rest of such an answer."""

    def __init__(self, answered: Callable[[], Mapping[str, int]]) -> None:
        self._answered = answered

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "pastebin_edge_shortcut_answers", "Hits answered before the full road, by what was sent", labels=["kind"]
        )
        for kind, count in self._answered().items():
            family.add_metric([kind], count)
        yield family
