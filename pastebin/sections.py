"""The sections of the configuration: every option of a node, frozen, typed, with its default.

`pastebin.toml` at the top of the repository is the same list for people; a test compares the two both ways.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

RoleName = Literal["web", "read", "write", "cdn-worker", "edge", "analytics", "geodns", "gateway"]
ROLE_NAMES: tuple[RoleName, ...] = get_args(RoleName)
# What a node does that is not told: everything a single machine has a use for.
DEFAULT_ROLES: tuple[RoleName, ...] = ("web", "read", "write", "cdn-worker", "edge", "analytics")
BlobStore = Literal["directory", "s3"]

_LONGEST_SECONDS = 36_525 * 86_400  # a century

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
CountOrZero = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Meta(ge=0, le=2**60)]
Seconds = Annotated[float, Meta(gt=0, le=_LONGEST_SECONDS)]
SecondsOrZero = Annotated[float, Meta(ge=0, le=_LONGEST_SECONDS)]

# The description is what a person is told instead of the pattern.
Label = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z",
        description="must be 1 to 32 lower-case letters, digits and '-', not beginning with '-'",
    ),
]

Lifetime = Annotated[int, Meta(ge=0, le=_LONGEST_SECONDS)]


class Secret:
    """A value that never shows itself: `repr`, `str` and logs see stars; `reveal()` is for whom it is for."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "***" if self._value else "''"

    __str__ = __repr__


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the configuration."""


class NodeSection(Section, frozen=True):
    name: str = ""
    region: Label = "local"
    roles: Annotated[list[RoleName], Meta(min_length=1)] = msgspec.field(default_factory=lambda: list(DEFAULT_ROLES))
    data_dir: Annotated[str, Meta(min_length=1)] = "./data"
    secret: Secret = msgspec.field(default_factory=Secret)
    secret_previous: Secret = msgspec.field(default_factory=Secret)
    drain_seconds: SecondsOrZero = 0.0
    shutdown_seconds: Seconds = 20.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_style: Literal["auto", "json", "line"] = "auto"


class DoorsSection(Section, frozen=True):
    origin: str = "127.0.0.1:8080"
    edge: str = "127.0.0.1:8081"
    internal: str = "127.0.0.1:9090"
    dns: str = "127.0.0.1:5353"
    gateway: str = "127.0.0.1:8000"
    idle_seconds: Seconds = 75.0
    body_idle_seconds: Seconds = 30.0
    min_body_bytes_per_second: CountOrZero = 1024
    max_connections: CountOrZero = 8192
    max_connections_per_address: CountOrZero = 2048
    trusted_proxies: Annotated[list[str], Meta(max_length=4096)] = []
    max_timeout_seconds: Seconds = 60.0
    max_delay_seconds: SecondsOrZero = 0.25


class SiteSection(Section, frozen=True):
    title: Annotated[str, Meta(min_length=1, max_length=80)] = "pastebin"
    url: str = ""
    compress: bool = True


class LimitsSection(Section, frozen=True):
    max_paste_bytes: Annotated[int, Meta(ge=1, le=2**60)] = 5 * 1024**3
    max_json_bytes: Annotated[int, Meta(ge=1024, le=2**31)] = 8 * 1024**2
    max_files: Count = 1000
    max_revisions: Count = 1000
    max_lifetime_seconds: Lifetime = 0
    default_lifetime_seconds: Lifetime = 0
    page_bytes: Bytes = 1024**2


class DatabaseSection(Section, frozen=True):
    primary: Secret = msgspec.field(default_factory=Secret)
    replicas: Annotated[list[Secret], Meta(max_length=64)] = []
    near: Annotated[list[str], Meta(max_length=64)] = []
    discover: str = ""
    discover_nameserver: str = ""
    discover_interval_seconds: Seconds = 10.0
    discover_drain_seconds: Annotated[float, Meta(ge=0, le=120)] = 30.0
    pool_size: Count = 10
    connect_timeout_seconds: Seconds = 1.0
    acquire_timeout_seconds: Seconds = 5.0
    command_timeout_seconds: Seconds = 15.0
    replica_timeout_seconds: Seconds = 2.0
    hedge_share: Annotated[float, Meta(ge=0, le=1)] = 0.05
    check_interval_seconds: Annotated[float, Meta(gt=0, le=5)] = 1.0
    slow_start_seconds: SecondsOrZero = 10.0
    max_lag_seconds: SecondsOrZero = 10.0
    max_lag_bytes: Bytes = 8 * 1024**2
    wait_for_replay_seconds: Annotated[float, Meta(ge=0, le=10)] = 0.1
    markers: bool = False
    token_seconds: Seconds = 60.0
    spill_reads_per_second: Annotated[float, Meta(gt=0, le=1e9)] = 500.0
    spill_pool_share: Annotated[float, Meta(gt=0, le=1)] = 0.5


class EmbeddedSection(Section, frozen=True):
    user: str = ""
    listen: str = ""
    password: Secret = msgspec.field(default_factory=Secret)
    shared_buffers_mb: Annotated[int, Meta(ge=1)] = 64
    max_connections: Annotated[int, Meta(ge=10)] = 50
    durable: bool = True


class BlobsSection(Section, frozen=True):
    store: BlobStore = "directory"
    directory: str = ""
    inline_max_bytes: Annotated[int, Meta(ge=0, le=1024**2)] = 64 * 1024
    min_free_bytes: Bytes = 256 * 1024**2
    grace_seconds: SecondsOrZero = 86_400.0
    endpoint: str = ""
    bucket: str = ""
    region: Annotated[str, Meta(min_length=1, max_length=64)] = "us-east-1"
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9!_.*'()-]+/)*\Z",
            max_length=512,
            description="must be names of letters, digits and !_.*'()-, each with a / behind it, such as pastes/",
        ),
    ] = ""
    access_key: str = ""
    secret_key: Secret = msgspec.field(default_factory=Secret)
    addressing: Literal["auto", "path", "virtual"] = "auto"
    checksums: Literal["when_required", "when_supported"] = "when_supported"
    connections: Count = 64
    connect_timeout_seconds: Seconds = 3.0
    read_timeout_seconds: Seconds = 20.0
    part_timeout_seconds: Seconds = 120.0
    upload_budget_bytes: Annotated[int, Meta(ge=16 * 1024**2, le=2**50)] = 256 * 1024**2


class RenderingSection(Section, frozen=True):
    workers: Count = 2
    page_seconds: Seconds = 1.5
    timeout_seconds: Seconds = 5.0
    memory_mb: Annotated[int, Meta(ge=64)] = 512
    idle_seconds: Seconds = 60.0
    queue_size: Count = 64
    cache_bytes: Bytes = 16 * 1024**2


class SearchSection(Section, frozen=True):
    workers: Count = 2
    timeout_seconds: Seconds = 5.0
    memory_mb: Annotated[int, Meta(ge=128)] = 256


class SweepingSection(Section, frozen=True):
    interval_seconds: Seconds = 30.0
    batch_size: Count = 500
    reconcile_seconds: Seconds = 3600.0
    tombstone_seconds: SecondsOrZero = 86_400.0
    abandoned_seconds: Seconds = 3600.0
    max_removals_per_second: Annotated[float, Meta(gt=0, le=1e6)] = 100.0


class LiveSection(Section, frozen=True):
    """Pastes that are read while they are written."""

    max_bytes: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 64 * 1024**2
    max_seconds: Seconds = 86_400.0
    idle_seconds: Annotated[float, Meta(gt=0, le=3600)] = 900.0
    lease_seconds: Annotated[float, Meta(ge=1, le=300)] = 15.0


class EdgeSection(Section, frozen=True):
    origin: str | list[str] = "local"
    write_origin: list[str] = []
    read_origin: list[str] = []
    hosts: list[str] = []
    memory_bytes: Bytes = 128 * 1024**2
    memory_object_bytes: Bytes = 256 * 1024
    disk: str = ""
    disk_bytes: Bytes = 1024**3
    min_free_bytes: Bytes = 512 * 1024**2
    max_object_bytes: Bytes = 512 * 1024**2
    max_variants: Count = 48
    lease_seconds: SecondsOrZero = 15.0
    tombstone_seconds: Seconds = 600.0
    collapse_seconds: Seconds = 5.0
    uncacheable_seconds: SecondsOrZero = 30.0
    heuristics: bool = False
    connections: Count = 64
    connect_timeout_seconds: Seconds = 3.0
    response_timeout_seconds: Seconds = 30.0
    bypass_cookies: list[str] = msgspec.field(default_factory=lambda: ["owner", "mine"])
    query: list[str] = msgspec.field(default_factory=lambda: ["*"])
    purges_per_second: Annotated[float, Meta(gt=0, le=1e6)] = 2000.0
    clock_skew_seconds: Annotated[float, Meta(gt=0, le=300)] = 30.0


Dialect = Literal["fastly", "cloudflare", "cloudfront", "bunny"]
TargetKind = Literal["edge", "varnish", "fastly", "cloudflare", "cloudfront", "bunny"]


# What a target of each kind cannot work without.
_REQUIRED: dict[TargetKind, tuple[str, ...]] = {
    "edge": ("url",),
    "varnish": ("url", "token"),
    "fastly": ("id", "token"),
    "cloudflare": ("id", "token"),
    "cloudfront": ("id",),
    "bunny": ("id", "token"),
}


_SOFT: tuple[TargetKind, ...] = ("varnish", "fastly")
# What a Varnish knows its workers by comes from nobody else; anybody may try.
_LEAST_VARNISH_TOKEN = 16


class TargetSection(Section, frozen=True):
    """A cache to purge. `url` overrides where the service is known to be; 0 for a rate means what its kind allows."""

    name: Label
    kind: TargetKind = "edge"
    url: str = ""
    id: str = ""
    token: Secret = msgspec.field(default_factory=Secret)
    access_key: str = ""
    soft: bool = False
    tags: bool = False
    calls_per_second: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    burst: Annotated[int, Meta(ge=0, le=10**6)] = 0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Option and message of what does not fit the kind."""
        for name in _REQUIRED[self.kind]:
            if not getattr(self, name):
                yield name, f'is required with kind = "{self.kind}"'
        for name, value in (("token", self.token.reveal()), ("access_key", self.access_key), ("id", self.id)):
            if not (value.isascii() and value.isprintable()):
                yield name, "must be one line of printable ASCII characters"
        if self.kind == "cloudfront" and bool(self.access_key) != bool(self.token):
            missing = "token" if self.access_key else "access_key"
            yield missing, "is required: access_key and token come together or not at all"
        if self.kind == "varnish" and 0 < len(self.token.reveal()) < _LEAST_VARNISH_TOKEN:
            yield "token", f"must have {_LEAST_VARNISH_TOKEN} characters or more; try: openssl rand -hex 32"
        if self.soft and self.kind not in _SOFT:
            yield "soft", f"is for kind = {' or '.join(map(repr, _SOFT))}".replace("'", '"')
        if self.kind != "cloudfront" and self.tags:
            yield "tags", 'is for kind = "cloudfront"'


class CdnSection(Section, frozen=True):
    targets: Annotated[list[TargetSection], Meta(max_length=256)] = []
    dialects: list[Dialect] = []
    lease_seconds: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    poll_seconds: Annotated[float, Meta(gt=0, le=5)] = 1.0
    batch_keys: Count = 1000
    request_timeout_seconds: Seconds = 5.0
    confirm_seconds: Annotated[float, Meta(ge=0, le=30)] = 1.0
    retry_max_seconds: Seconds = 30.0
    attempts: Count = 25
    retention_seconds: Annotated[float, Meta(ge=60, le=31_536_000)] = 86_400.0
    push: bool = True
    push_reads: Count = 20
    push_fills: Count = 2
    push_window_seconds: Seconds = 10.0


class GeoSection(Section, frozen=True):
    database: str = ""
    networks: Annotated[dict[str, str], Meta(max_length=65_536)] = {}


class VisitsSection(Section, frozen=True):
    """What a node that serves readers notes of them."""

    count: bool = True
    url: str = ""
    honour: list[Literal["dnt", "gpc"]] = msgspec.field(default_factory=lambda: ["dnt", "gpc"])
    exact_per_second: Count = 1000
    buffer_events: Count = 65_536
    spool: str = ""
    spool_bytes: Bytes = 256 * 1024**2
    flush_seconds: Annotated[float, Meta(gt=0, le=5)] = 0.5
    batch_events: Annotated[int, Meta(ge=1, le=20_000)] = 5000
    request_timeout_seconds: Seconds = 10.0
    retry_max_seconds: Seconds = 30.0


class AnalyticsSection(Section, frozen=True):
    """The analytics service: its database, how long it keeps what, and what a question may cost."""

    database: Secret = msgspec.field(default_factory=Secret)
    pool_size: Count = 4
    raw_days: Annotated[int, Meta(ge=3, le=3650)] = 30
    rollup_days: Annotated[int, Meta(ge=3, le=36_500)] = 730
    late_seconds: Annotated[float, Meta(ge=60, le=1_209_600)] = 172_800.0
    future_seconds: Annotated[float, Meta(ge=1, le=3600)] = 300.0
    batches_per_second: Annotated[float, Meta(gt=0, le=1e6)] = 100.0
    question_timeout_seconds: Seconds = 10.0
    max_rows: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
