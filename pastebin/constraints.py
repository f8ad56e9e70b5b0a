"""Rules about several options of the configuration at once, or about text that has a grammar of its own.

Each takes sections, and yields every rule that they break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from urllib.parse import urlsplit

from pastebin.errors import Problem
from pastebin.places import is_site, is_url, parse_address
from pastebin.regions import none
from pastebin.sections import (
    AnalyticsSection,
    BlobsSection,
    CdnSection,
    DatabaseSection,
    DoorsSection,
    EdgeSection,
    EmbeddedSection,
    GeoSection,
    NodeSection,
    VisitsSection,
)
from pastebin.sections_regions import AdminSection, GatewaySection, GeodnsSection, RegionSection

_DISCOVER = re.compile(r"(?:srv:[\w.-]+|a:[\w.-]+:([1-9]\d{0,4}))", re.ASCII)
# S3 User Guide, "General purpose bucket naming rules"
# RFC 1035, 2.3.4: a name as people write it; labels of host names, and _ for services
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_doors(doors: DoorsSection) -> Iterator[Problem]:
    """The addresses to listen on."""
    addresses: dict[tuple[str, int], str] = {}
    for door in ("origin", "edge", "internal", "dns", "gateway"):
        try:
            address = parse_address(getattr(doors, door))
        except ValueError as error:
            yield Problem(f"doors.{door}", str(error))
            continue
        if address[1] and address in addresses:
            yield Problem(f"doors.{door}", f"is the address of doors.{addresses[address]} too; each door needs its own")
        addresses[address] = door
    for network in doors.trusted_proxies:
        try:
            ip_network(network)
        except ValueError as error:
            yield Problem("doors.trusted_proxies", f"{network!r} is no network: {error}")


def check_database(database: DatabaseSection, embedded: EmbeddedSection, node: NodeSection) -> Iterator[Problem]:
    """The primary, its replicas, and the secret that nodes share."""
    dsn = database.primary.reveal()
    if dsn and not is_url(dsn, "postgresql", "postgres"):
        yield Problem("database.primary", "must be postgresql://user@host:port/name, or empty for the embedded server")
    yield from _check_replicas(database)
    yield from _check_markers(database, node)
    if embedded.listen:
        try:
            parse_address(embedded.listen)
        except ValueError as error:
            yield Problem("embedded.listen", str(error))
        if not embedded.password:
            yield Problem("embedded.password", "is required when embedded.listen opens PostgreSQL to the network")
    if secret := node.secret.reveal():
        if len(secret) < 32:
            yield Problem("node.secret", "must have 32 characters or more; try: openssl rand -hex 32")
    elif dsn:
        yield Problem(
            "node.secret",
            "is required with a database of your own: every node needs the same; try: openssl rand -hex 32",
        )
    if (previous := node.secret_previous.reveal()) and (len(previous) < 32 or not secret or previous == secret):
        yield Problem("node.secret_previous", "must have 32 characters or more, and be another one than node.secret")


def _check_replicas(database: DatabaseSection) -> Iterator[Problem]:
    for index, replica in enumerate(database.replicas):
        if not is_url(replica.reveal(), "postgresql", "postgres"):
            yield Problem(f"database.replicas[{index}]", "must be postgresql://user@host:port/name")
    if not database.primary and (database.replicas or database.discover):
        option = "replicas" if database.replicas else "discover"
        yield Problem(f"database.{option}", "needs database.primary: the embedded server has no replicas")
    for index, near in enumerate(database.near):
        if not near or ("/" in near and not _is_network(near)):
            yield Problem(f"database.near[{index}]", "must be host, host:port or a network such as 10.1.0.0/16")
    match = _DISCOVER.fullmatch(database.discover)
    if database.discover and (match is None or int(match[1] or 0) > 65535):
        allowed = "srv:NAME, such as srv:_postgresql._tcp.db.example, or a:NAME:PORT"
        yield Problem("database.discover", f"must be {allowed}")
    if database.discover_nameserver:
        try:
            parse_address(database.discover_nameserver)
        except ValueError as error:
            yield Problem("database.discover_nameserver", str(error))


def _check_markers(database: DatabaseSection, node: NodeSection) -> Iterator[Problem]:
    if not database.markers:
        return
    if not (database.replicas or database.discover):
        yield Problem("database.markers", "needs database.replicas or database.discover: the primary is never behind")
    if "edge" in node.roles or not {"web", "read"} & set(node.roles):
        yield Problem("database.markers", "is for nodes with the role web or read, and without an edge")


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def check_blobs(blobs: BlobsSection) -> Iterator[Problem]:
    """The object store."""
    if blobs.endpoint and not is_site(blobs.endpoint):
        yield Problem("blobs.endpoint", "must be http(s)://host[:port], or empty for AWS")
    if blobs.bucket and not _BUCKET.fullmatch(blobs.bucket):
        yield Problem("blobs.bucket", "must be 3 to 63 lower-case letters, digits, '.' and '-'")
    if blobs.store == "s3" and not blobs.bucket:
        yield Problem("blobs.bucket", 'is required with blobs.store = "s3"')
    if bool(blobs.access_key) != bool(blobs.secret_key):
        missing = "secret_key" if blobs.access_key else "access_key"
        yield Problem(f"blobs.{missing}", "is required: access_key and secret_key come together or not at all")


def check_targets(cdn: CdnSection, node: NodeSection) -> Iterator[Problem]:
    """The caches to purge."""
    if not node.secret and any(target.kind == "edge" for target in cdn.targets):
        yield Problem("node.secret", 'is required with a target of kind "edge": both nodes need the same')
    names = [target.name for target in cdn.targets]
    for index, target in enumerate(cdn.targets):
        option = f"cdn.targets[{index}]"
        if target.name in names[:index]:
            yield Problem(f"{option}.name", f"is the name of another target too: {target.name}")
        if target.url and not is_site(target.url):
            yield Problem(f"{option}.url", "must be http(s)://host[:port] without query, fragment or user")
        for name, message in target.problems():
            yield Problem(f"{option}.{name}", message)


def check_edge(edge: EdgeSection, node: NodeSection) -> Iterator[Problem]:
    """What the edge stands before."""
    origin = edge.origin
    for url in edge.read_origin:
        if not is_site(url) or urlsplit(url).path not in ("", "/"):
            yield Problem("edge.read_origin", "must be a list of http(s)://host[:port]")
    if edge.read_origin and origin == "local":
        yield Problem("edge.read_origin", "needs an edge.origin elsewhere: this node's own answers everything")
    for host in edge.hosts:
        if not is_site(f"http://{host}") or urlsplit(f"http://{host}").path:
            yield Problem("edge.hosts", f"must be names of hosts, with a port if it is not 80: {host!r}")
    for url in edge.write_origin:
        if origin == "local" or not is_site(url) or urlsplit(url).path not in ("", "/"):
            yield Problem("edge.write_origin", "must be a list of http(s)://host[:port], for an edge.origin elsewhere")
    if origin == "local":
        if "edge" in node.roles and not {"web", "read", "write"} & set(node.roles):
            yield Problem("edge.origin", "local needs a role web, read or write on this node; else name a URL")
        elif "edge" in node.roles and not edge.lease_seconds:
            message = 'must be more than 0 with edge.origin = "local": this node\'s own origin has a feed'
            yield Problem("edge.lease_seconds", message)
        return
    if not origin:
        yield Problem("edge.origin", "must be local, a URL or a list of URLs")
    for url in [origin] if isinstance(origin, str) else origin:
        if not is_site(url) or urlsplit(url).path not in ("", "/"):
            yield Problem("edge.origin", "must be local, http(s)://host[:port], or a list of such")
    if origin and "edge" in node.roles and edge.lease_seconds and not node.secret:
        message = "is required with an edge.origin elsewhere: the nodes there need the same to purge this one"
        yield Problem("node.secret", f"{message}; or nobody does: edge.lease_seconds = 0")


def check_analytics(
    analytics: AnalyticsSection, visits: VisitsSection, geo: GeoSection, admin: AdminSection, node: NodeSection
) -> Iterator[Problem]:
    """Counting, its database, geography, and who may see it."""
    database, url, token = analytics.database.reveal(), visits.url, admin.token.reveal()
    if database and not is_url(database, "postgresql", "postgres", "http", "https"):
        allowed = "postgresql://user@host:port/name, or http(s)://user@host:port/name for ClickHouse"
        yield Problem("analytics.database", f"must be {allowed}; empty for a database beside the embedded one")
    if url and not is_site(url):
        yield Problem("visits.url", "must be http(s)://host:port, the internal door of a node with the role analytics")
    if url and not node.secret:
        yield Problem("node.secret", "is required with visits.url: both nodes need the same")
    if token and len(token) < 32:
        yield Problem("admin.token", "must have 32 characters or more; try: openssl rand -hex 32")
    for network, country in geo.networks.items():
        try:
            ip_network(network)
        except ValueError as error:
            yield Problem("geo.networks", f"{network!r} is no network: {error}")
        if not re.fullmatch("[A-Z]{2}", country):
            yield Problem("geo.networks", f"{network}: must be a country of two capital letters, not {country!r}")


def check_admin(admin: AdminSection, regions: Mapping[str, RegionSection]) -> Iterator[Problem]:
    """The nodes of no region."""
    seen = {node.name: f"region {name}" for name, region in regions.items() for node in region.nodes}
    for index, node in enumerate(admin.nodes):
        option = f"admin.nodes[{index}]"
        if node.name in seen:
            yield Problem(f"{option}.name", f"{node.name} is a node of {seen[node.name]} already")
        seen[node.name] = "admin.nodes"
        if not is_site(node.internal):
            yield Problem(f"{option}.internal", "must be http(s)://host[:port] without query, fragment or user")


def check_geodns(geodns: GeodnsSection, regions: Mapping[str, RegionSection], node: NodeSection) -> Iterator[Problem]:
    """The zone, the names in it, and who else answers for it."""
    zone = geodns.zone.lower().rstrip(".")
    if zone and not _NAME.fullmatch(zone):
        yield Problem("geodns.zone", "must be a domain name, such as p.example")
    if "geodns" in node.roles:
        if not zone:
            yield Problem("geodns.zone", "is required with the role geodns")
        if not regions:
            yield from none()
        if regions and geodns.names and not any(region.addresses for region in regions.values()):
            yield Problem("geodns.names", "no region has addresses that they could stand for")
        if not geodns.file and not geodns.nameservers:
            yield Problem("geodns.nameservers", "is required where no geodns.file says which they are")
    for name in geodns.names:
        lower = name.lower()
        if lower.endswith(".") and zone and not f".{lower}".endswith(f".{zone}."):
            yield Problem("geodns.names", f"{name} lies outside the zone {zone}")
        elif lower not in ("@", "*") and not _NAME.fullmatch(lower.rstrip(".").removeprefix("*.")):
            yield Problem("geodns.names", f"{name!r} is no name within the zone; @ is the zone itself")
    for name in geodns.nameservers:
        if not _NAME.fullmatch(name.lower().rstrip(".")):
            yield Problem("geodns.nameservers", f"{name!r} is no domain name")
    for index, url in enumerate(geodns.peers):
        if not is_site(url):
            yield Problem(f"geodns.peers[{index}]", "must be http(s)://host:port, the internal door of a geodns node")
    if geodns.peers and not node.secret:
        yield Problem("node.secret", "is required with geodns.peers: all of them need the same")


def check_gateway(
    gateway: GatewaySection, regions: Mapping[str, RegionSection], node: NodeSection
) -> Iterator[Problem]:
    """The regions and nodes that requests are passed on to."""
    if gateway.primary and gateway.primary not in regions:
        yield Problem("gateway.primary", f"{gateway.primary!r} is not a region")
    if "gateway" not in node.roles:
        return
    if not regions:
        yield from none()
    elif not any(member.url for region in regions.values() for member in region.nodes):
        yield Problem("regions", "no region has a node with a url, which the role gateway could pass requests on to")
    for name, region in regions.items():
        for index, member in enumerate(region.nodes):
            path = f"regions.{name}.nodes[{index}]"
            if member.url and not member.roles:
                yield Problem(
                    f"{path}.roles", "are required with a url: what a gateway sends it (edge, web, read, write)"
                )
            for option in ("url", "internal"):
                if urlsplit(getattr(member, option)).path not in ("", "/"):
                    yield Problem(
                        f"{path}.{option}", "must be http(s)://host[:port]: a gateway puts nothing before a path"
                    )
    if gateway.primary in regions and not any(
        {"write", "edge"} & set(member.roles) for member in regions[gateway.primary].nodes if member.url
    ):
        yield Problem(f"regions.{gateway.primary}.nodes", "none has the role write, which gateway.primary asks for")


def notices(cdn: CdnSection, admin: AdminSection, node: NodeSection) -> Iterator[Problem]:
    """What breaks no rule, and yet is hardly meant."""
    if admin.open_topology and "web" in node.roles:
        yield Problem("admin.open_topology", "shows names, addresses and load of all nodes to whoever asks")
    is_worker = "cdn-worker" in node.roles
    if cdn.targets and not is_worker:
        yield Problem("cdn.targets", "are not purged by this node: it does not have the role cdn-worker")
    # a node that is no worker answers in dialects for targets that workers elsewhere have
    kinds = {target.kind for target in cdn.targets}
    for dialect in dict.fromkeys(cdn.dialects) if is_worker else ():
        if dialect not in kinds:
            yield Problem("cdn.dialects", f'names {dialect}, which no target of kind = "{dialect}" purges')
