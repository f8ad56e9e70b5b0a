"""What a node measures of itself. One `Metrics` per node: tests run several nodes in one process."""

from __future__ import annotations

import math
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from pastebin import __version__
from pastebin.breaking import Circuit
from pastebin.portraits import Pace

# OpenTelemetry's buckets for http.server.request.duration, in seconds.
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

_MEMBER_STATES = ("up", "suspect", "down")


class Metrics:
    """Instruments by name; cardinality is bounded: labels are routes, roles and words of this code only."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info("pastebin_build", "Version of this node", registry=self.registry).info({"version": __version__})
        self.requests = self._histogram(
            "pastebin_http_request_duration_seconds",
            "Requests by door, route, method and status",
            ["door", "route", "method", "status"],
        )
        self.in_flight = self._gauge("pastebin_http_requests_in_flight", "Requests being answered", ["door"])
        self.shed = self._counter(
            "pastebin_http_requests_shed_total", "Requests refused because of too much load", ["door", "kind"]
        )
        self.concurrency = self._gauge(
            "pastebin_http_concurrency_limit", "Requests let in at once; Inf without a limit", ["door"]
        )
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
        self._observe_paces()
        self._observe_database()
        self._observe_purges()
        self.secrets_differ = self._counter(
            "pastebin_secrets_differ_total", "Requests between nodes whose node.secret differs, by which one", ["this"]
        )
        self._observe_analytics()
        self._observe_names()

    def _observe_database(self) -> None:
        """Instruments of the servers of the database, and of how often they and other dependencies are asked."""
        self.database_state = self._gauge(
            "pastebin_database_member_state", "1 for the state a database server is in", ["member", "state"]
        )
        self.database_leads = self._gauge(
            "pastebin_database_member_leads", "1 for the server that is written to", ["member"]
        )
        self.database_in_flight = self._gauge(
            "pastebin_database_member_in_flight", "Requests on a database server, at the last look", ["member"]
        )
        self.replica_lag_seconds = self._gauge(
            "pastebin_database_replica_lag_seconds", "How old the last change replayed is; NaN: unknown", ["member"]
        )
        self.replica_lag_bytes = self._gauge(
            "pastebin_database_replica_lag_bytes", "How much is not replayed yet; NaN: unknown", ["member"]
        )
        self.database_elections = self._counter(
            "pastebin_database_primary_changes_total", "How often a server was found to be the primary"
        )
        self.database_reads = self._counter(
            "pastebin_database_reads_total", "Reads by who served them, on nodes with replicas", ["by"]
        )
        self.database_retries = self._counter(
            "pastebin_database_read_retries_total", "Reads repeated on another database server"
        )
        self.database_hedges = self._counter(
            "pastebin_database_hedges_total", "Lookups asked of a second replica, by whose answer it was", ["won"]
        )
        self.retries_refused = self._counter(
            "pastebin_retries_refused_total", "What was not asked again, for the budget was spent", ["dependency"]
        )
        self.circuits = self._gauge(
            "pastebin_circuit_open",
            "1 while a dependency is not asked, 0.5 while it is tried with one request at a time",
            ["dependency", "host"],
        )

    def _observe_paces(self) -> None:
        self._paces: list[Pace] = []
        self.pace = self.paced()  # of requests, through every door that is for clients

    def _observe_purges(self) -> None:
        """Instruments of the purge queue, for those who send and those who receive."""
        self.pushes = self._counter("pastebin_pushes_total", "Hot pastes sent to every edge, by outcome", ["outcome"])
        self.purges_sent = self._counter(
            "pastebin_purge_keys_sent_total", "Surrogate keys that a target has taken", ["target"]
        )
        self.purge_failures = self._counter(
            "pastebin_purge_failures_total", "Calls that a target did not take, by what it did", ["target", "outcome"]
        )
        self.purge_latency = self._histogram(
            "pastebin_purge_latency_seconds", "From a change to the answer of a target that knows it", ["target"]
        )
        self.purge_depth = self._gauge("pastebin_purge_queue_depth", "Changes that a target does not know", ["target"])
        self.purge_oldest_age = self._gauge(
            "pastebin_purge_queue_oldest_age_seconds",
            "Age of the oldest change that a target does not know",
            ["target"],
        )
        self.dead_letters = self._gauge(
            "pastebin_purge_dead_letters", "What a target refuses and nobody has decided about", ["target"]
        )
        self.letters_dropped = self._counter(
            "pastebin_purge_letters_dropped_total", "What a target refuses, given up: too many or too old", ["target"]
        )
        self.purge_messages = self._counter(
            "pastebin_edge_purge_messages_total", "Messages of the purge feed, by what became of them", ["outcome"]
        )
        self.purge_requests_refused = self._counter(
            "pastebin_purge_requests_refused_total", "Requests to the signed addresses that were refused", ["reason"]
        )

    def _observe_analytics(self) -> None:
        """Instruments of the analytics service, and of those who tell it of visits."""
        self._observe_visits()
        self.analytics_batches = self._counter(
            "pastebin_analytics_batches_total", "Batches of events by what became of them", ["outcome"]
        )
        self.analytics_events = self._counter("pastebin_analytics_events_total", "Events that were kept", ["kind"])
        self.analytics_rejected = self._counter(
            "pastebin_analytics_events_rejected_total", "Events that were left out, by what was wrong", ["reason"]
        )
        self.analytics_clamped = self._counter(
            "pastebin_analytics_events_clamped_total", "Events of which something was put right", ["reason"]
        )

    def _observe_visits(self) -> None:
        """Instruments of what is told to analytics: visits, and changes of pastes."""
        self.visits_noted = self._counter("pastebin_visits_noted_total", "Visits that were noted, weights included")
        self.visits_dropped = self._counter(
            "pastebin_visits_dropped_total", "Visits that were lost, by why", ["reason"]
        )
        self.visit_batches = self._counter(
            "pastebin_visit_batches_total", "Batches of visits sent to analytics, by what became of them", ["outcome"]
        )
        self.visit_spool_bytes = self._gauge("pastebin_visit_spool_bytes", "Visits on disk, also those set aside")
        self.visit_spool_age = self._gauge(
            "pastebin_visit_spool_oldest_age_seconds", "For how long the oldest visits have been waiting"
        )
        self.changes_told = self._counter(
            "pastebin_changes_told_total", "Changes of pastes sent to analytics, by what became of them", ["outcome"]
        )
        self.changes_lost = self._gauge(
            "pastebin_changes_lost", "Changes that analytics has not heard of within a week, since ever"
        )

    def _observe_names(self) -> None:
        """Instruments of the name server."""
        self.dns_answers = self._counter(
            "pastebin_dns_answers_total", "Questions by what became of their answer", ["outcome"]
        )
        self.region_up = self._gauge(
            "pastebin_region_up", "The part of its clients that are sent to the region: 0 while it is down", ["region"]
        )

    def watch_circuit(self, dependency: str, host: str, circuit: Circuit) -> None:
        """Show the state of a circuit whose times are those of `time.monotonic`. Hosts are configured names."""
        openness = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
        self.circuits.labels(dependency, host).set_function(lambda: openness[circuit.state(time.monotonic())])

    def paced(self, seconds: int = 10) -> Pace:
        """A new pace, over so many seconds."""
        pace = Pace(seconds)
        self._paces.append(pace)
        return pace

    def look(self, now: float) -> None:
        """Called once a second: see `Pace`."""
        for pace in self._paces:
            pace.look(now)

    def show_database_member(
        self,
        member: str,
        *,
        state: str,
        leads: bool,
        in_flight: int,
        lag_seconds: float | None,
        lag_bytes: int | None,
    ) -> None:
        """Set the gauges of one database server. Their number is bounded by how many servers there are."""
        for word in _MEMBER_STATES:
            self.database_state.labels(member, word).set(1 if word == state else 0)
        self.database_leads.labels(member).set(1 if leads else 0)
        self.database_in_flight.labels(member).set(in_flight)
        self.replica_lag_seconds.labels(member).set(math.nan if lag_seconds is None else lag_seconds)
        self.replica_lag_bytes.labels(member).set(math.nan if lag_bytes is None else lag_bytes)

    def forget_database_member(self, member: str) -> None:
        """Stop showing a server that is not used any more."""
        for word in _MEMBER_STATES:
            self.database_state.remove(member, word)
        for gauge in (
            self.database_leads,
            self.database_in_flight,
            self.replica_lag_seconds,
            self.replica_lag_bytes,
        ):
            gauge.remove(member)

    def expose(self) -> bytes:
        """The registry in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, text, labels or [], registry=self.registry)

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_DURATIONS)
