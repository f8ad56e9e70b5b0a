"""What the edge measures of itself."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class Figures:
    """Instruments of one edge, on the registry of its node. Labels are words of this code only."""

    def __init__(self, registry: CollectorRegistry) -> None:
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

    def watch_tier(self, tier: str, objects: Callable[[], float], size: Callable[[], float]) -> None:
        """Have a tier looked at whenever the figures are read."""
        self.objects.labels(tier).set_function(objects)
        self.bytes.labels(tier).set_function(size)
