"""What a node measures of itself. One `Metrics` per node: tests run several nodes in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from pastebin import __version__

# OpenTelemetry's buckets for http.server.request.duration, in seconds.
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class Metrics:
    """Instruments by name; cardinality is bounded: labels are routes, roles and words of this code only."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.build = Info("pastebin_build", "Version of this node", registry=self.registry)
        self.build.info({"version": __version__})
        self.requests = self._histogram(
            "pastebin_http_request_duration_seconds",
            "Requests by door, route, method and status",
            ["door", "route", "method", "status"],
        )
        self.in_flight = self._gauge("pastebin_http_requests_in_flight", "Requests being answered", ["door"])
        self.ready = self._gauge("pastebin_ready", "1 while the node is ready")
        self.loop_lag = self._gauge("pastebin_loop_lag_seconds", "How late the event loop woke up, at the last look")
        self.background_success = self._gauge(
            "pastebin_background_last_success_timestamp_seconds",
            "When a background loop last did its work",
            ["loop"],
        )
        self.published = self._counter("pastebin_pastes_published_total", "Pastes and revisions made durable", ["kind"])
        self.received_bytes = self._counter("pastebin_received_bytes_total", "Bytes of content received")
        self.renders = self._counter("pastebin_renders_total", "Highlighting by outcome", ["outcome"])
        self.expired_but_present = self._gauge(
            "pastebin_expired_but_present", "Expired, deleted or burned pastes whose content is still stored"
        )
        self.expired_oldest_age = self._gauge(
            "pastebin_expired_oldest_age_seconds", "For how long the oldest of them should have been gone"
        )
        self.swept = self._counter("pastebin_swept_total", "What the sweeper removed", ["kind"])
        self.orphan_blobs = self._gauge(
            "pastebin_orphan_blobs", "Blobs that no paste refers to, within their grace period"
        )
        self.missing_blobs = self._gauge("pastebin_missing_blobs", "Live blobs that the store does not hold")

    def expose(self) -> bytes:
        """The registry in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, text, labels or [], registry=self.registry)

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_DURATIONS)
