"""The configuration of every node of a lab. Pure: a plan and its sites give `section.key` options, and these TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.plan import COMMON, ROLES, Plan, Site
from tests.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY

DATABASE = "pastebin"
ANALYTICS = "analytics"
_KNOWING_REGIONS = ("geodns", "gateway", "web")


@dataclass(frozen=True)
class Secrets:
    """One set for the whole lab."""

    node: str = field(repr=False)
    admin: str = field(repr=False)
    database: str = field(repr=False)


@dataclass(frozen=True)
class Tables:
    """Makes them."""

    plan: Plan
    sites: Mapping[str, Site]
    first: str
    secrets: Secrets
    directory: Path

    @property
    def site_url(self) -> str:
        port = next(site.doors["gateway"][1] for site in self.sites.values() if site.kind == "gateway")
        return f"http://{self.plan.zone}" if port == 80 else f"http://{self.plan.zone}:{port}"

    def of(self, site: Site) -> dict[str, Any]:
        """Options of a node."""
        options: dict[str, Any] = {
            "node.name": site.name,
            "node.region": site.region or COMMON,
            "node.roles": list(ROLES[site.kind]),
            "node.data_dir": str(self.directory / site.name),
            "node.secret": self.secrets.node,
            "node.shutdown_seconds": 5.0,
            "node.log_style": "line",
            "doors.trusted_proxies": self._servers(),
            "admin.token": self.secrets.admin,
            "admin.open_topology": True,
            "geo.networks": self._countries(),
            **{f"doors.{door}": f"{host}:{port}" for door, (host, port) in site.doors.items()},
        }
        if site.kind in _KNOWING_REGIONS:
            options |= {f"regions.{name}": self._region(name) for name in self.plan.regions}
        own = getattr(self, f"_{site.kind}", None)
        if site.kind in ("web", "read", "write", "worker"):
            options |= self._origin(site)
        if site.kind in ("web", "read", "write", "edge"):
            options |= {"visits.url": self.sites["analytics"].url("internal"), "site.url": self.site_url}
        options |= own(site) if own else {}
        for key in ("*", site.kind, site.name):
            options |= self.plan.settings.get(key, {})
        return options

    def dsn(self, name: str, database: str = DATABASE) -> str:
        host, port = self.sites[name].doors["postgres"]
        return f"postgresql://pastebin:{self.secrets.database}@{host}:{port}/{database}"

    def zone_file(self) -> str:
        """What of the zone does not depend on who asks."""
        servers = [site for site in self.sites.values() if site.kind == "geodns"]
        lines = [f"$ORIGIN {self.plan.zone}.", "@ 300 IN SOA ns1 hostmaster 1 3600 600 86400 10"]
        for number, site in enumerate(servers, 1):
            lines += [f"@ 300 IN NS ns{number}", f"ns{number} 300 IN A {site.address}"]
        return "\n".join(lines) + "\n"

    def _servers(self) -> list[str]:
        return [f"{self.first}.{place.number}.0/24" for place in self.plan.places if not place.is_clients]

    def _countries(self) -> dict[str, str]:
        return {
            f"{self.first}.{self.plan.clients(name).number}.0/24": self.plan.country(name)
            for name in self.plan.regions
            if self.plan.country(name)
        }

    def _region(self, name: str) -> dict[str, Any]:
        plan = self.plan
        numbers = (plan.clients(name).number, plan.place(name).number)
        after = plan.regions.index(name) + 1
        gateway = self.sites[f"{name}-gateway"]
        country = plan.country(name)
        members = [site for site in self.sites.values() if site.region == name]
        if name == plan.regions[0]:
            members.append(self.sites["analytics"])
        return {
            "addresses": [gateway.address],
            **plan.coordinates(name),
            "countries": [country] if country else [],
            "networks": [f"{self.first}.{number}.0/24" for number in numbers],
            "fallbacks": [*plan.regions[after:], *plan.regions[: after - 1]],
            "probe": [f"{gateway.url('internal')}/readyz"],
            "nodes": [_row(site) for site in members if site.is_node],
        }

    def _origin(self, site: Site) -> dict[str, Any]:
        replicas = [other for other in self.sites.values() if other.name.startswith("replica-")]
        return {
            "database.primary": self.dsn("primary"),
            "database.replicas": [self.dsn(replica.name) for replica in replicas],
            "database.near": [f"{self.first}.{site.place.number}.0/24"],
            "database.pool_size": 4,
            "blobs.store": "s3",
            "blobs.endpoint": self.sites["objects"].url("s3"),
            "blobs.bucket": BUCKET,
            "blobs.access_key": ACCESS_KEY,
            "blobs.secret_key": SECRET_KEY,
            "blobs.addressing": "path",
            "blobs.upload_budget_bytes": 32 * 1024**2,
        }

    def _edge(self, site: Site) -> dict[str, Any]:
        pages, readers, writers = (
            [self.sites[f"{site.region}-{kind}"].url("origin")] for kind in ("web", "read", "write")
        )
        return {
            "edge.origin": pages,
            "edge.read_origin": readers,
            "edge.write_origin": writers,
            "edge.memory_bytes": 16 * 1024**2,
            "edge.min_free_bytes": 0,
        }

    def _worker(self, _site: Site) -> dict[str, Any]:
        edges = [site for site in self.sites.values() if site.kind == "edge"]
        return {"cdn.targets": [{"name": edge.name, "kind": "edge", "url": edge.url("internal")} for edge in edges]}

    def _analytics(self, _site: Site) -> dict[str, Any]:
        return {"analytics.database": self.dsn("analytics-db", ANALYTICS)}

    def _geodns(self, site: Site) -> dict[str, Any]:
        peers = [other for other in self.sites.values() if other.kind == "geodns" and other.name != site.name]
        return {
            "geodns.zone": self.plan.zone,
            "geodns.file": str(self.directory / "zone"),
            "geodns.names": ["@", "www"],
            "geodns.ttl_seconds": self.plan.ttl_seconds,
            "geodns.sockets": 1,
            "geodns.responses_per_second": 0,  # clients of a lab are few, and ask often
            "geodns.probe_interval_seconds": 1.0,
            "geodns.probe_timeout_seconds": 1.0,
            "geodns.peers": [peer.url("internal") for peer in peers],
        }

    def _gateway(self, _site: Site) -> dict[str, Any]:
        return {"gateway.primary": self.plan.regions[0]}


def _row(site: Site) -> dict[str, Any]:
    """A node as the table of its region names it."""
    # an edge stands before pages and reads only
    roles = ["edge", "web", "read"] if site.kind == "edge" else list(ROLES[site.kind])
    row = {"name": site.name, "roles": roles, "internal": site.url("internal")}
    door = {"edge": "edge", "worker": "", "geodns": "", "gateway": ""}.get(site.kind, "origin")
    return row | ({"url": site.url(door)} if door else {})


def as_toml(options: Mapping[str, Any]) -> str:
    """The file; options of tables within tables come last, as TOML wants it."""
    tables: dict[str, list[str]] = {}
    for key, value in options.items():
        section, _, option = key.partition(".")
        if section == "regions":
            tables[key] = [f"{name} = {_value(inner)}" for name, inner in value.items()]
        else:
            tables.setdefault(section, []).append(f"{option} = {_value(value)}")
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in tables.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
