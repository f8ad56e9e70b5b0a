"""The tables about many nodes: regions, name servers, gateways, and who looks after all of them; see `sections`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from pastebin.sections import Count, CountOrZero, Label, RoleName, Seconds, Secret, Section


class RegionNodeSection(Section, frozen=True):
    """A node of a region, as others reach it: `url` is where it serves, `internal` its internal door."""

    name: Label
    roles: list[RoleName] = []
    url: str = ""
    internal: str = ""


class AdminSection(Section, frozen=True):
    token: Secret = msgspec.field(default_factory=Secret)
    open_topology: bool = False
    nodes: Annotated[list[RegionNodeSection], Meta(max_length=256)] = []


class RegionSection(Section, frozen=True):
    """One region: who belongs to it, how much it takes, and how it is asked whether it is well."""

    addresses: Annotated[list[str], Meta(max_length=32)] = []
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    countries: list[str] = []
    continents: list[str] = []
    networks: Annotated[list[str], Meta(max_length=65_536)] = []
    fallbacks: list[str] = []
    weight: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    capacity: CountOrZero = 0
    probe: Annotated[list[str], Meta(max_length=32)] = []
    nodes: Annotated[list[RegionNodeSection], Meta(max_length=256)] = []


class GeodnsSection(Section, frozen=True):
    """The name server of the service's zone."""

    zone: str = ""
    file: str = ""
    names: Annotated[list[str], Meta(max_length=1000)] = msgspec.field(default_factory=lambda: ["@"])
    nameservers: Annotated[list[str], Meta(max_length=13)] = []
    ttl_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 30
    ns_ttl_seconds: Annotated[int, Meta(ge=1, le=604_800)] = 3600
    negative_ttl_seconds: Annotated[int, Meta(ge=1, le=10_800)] = 60
    dnssec_keys: Annotated[list[str], Meta(max_length=4)] = []
    client_subnet: bool = True
    sockets: Annotated[int, Meta(ge=1, le=64)] = 2
    max_tcp_connections: Count = 256
    max_tcp_connections_per_address: Count = 16
    tcp_idle_seconds: Seconds = 10.0
    responses_per_second: CountOrZero = 5
    slip: CountOrZero = 2
    reload_seconds: Seconds = 5.0
    probe_interval_seconds: Annotated[float, Meta(ge=0.1, le=255)] = 5.0
    probe_timeout_seconds: Seconds = 2.0
    down: Annotated[int, Meta(ge=1, le=100)] = 3
    up: Annotated[int, Meta(ge=1, le=100)] = 6
    peers: Annotated[list[str], Meta(max_length=64)] = []


class GatewaySection(Section, frozen=True):
    """The proxy before the nodes of all regions."""

    steer: bool = True
    primary: str = ""
    connections: Count = 256
    connect_timeout_seconds: Seconds = 1.0
    response_timeout_seconds: Seconds = 30.0
    try_timeout_seconds: Seconds = 3.0
    deadline_seconds: Seconds = 60.0
    stream_idle_seconds: Seconds = 90.0
    tries: Annotated[int, Meta(ge=1, le=10)] = 3
    retry_share: Annotated[float, Meta(ge=0, le=1)] = 0.1
    hedge_share: Annotated[float, Meta(ge=0, le=1)] = 0.05
    eject_seconds: Seconds = 1.0
    probe_interval_seconds: Annotated[float, Meta(ge=0.1, le=255)] = 1.0
    probe_timeout_seconds: Seconds = 1.0
    down: Annotated[int, Meta(ge=1, le=100)] = 2
    up: Annotated[int, Meta(ge=1, le=100)] = 2
    resolve_seconds: Seconds = 10.0
    nameserver: str = ""
    proxy_protocol: bool = False
