"""Where servers are: connection strings taken apart, so that every server is a member of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

_DEFAULT_PORT = 5432


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server: a name to show, without secrets, and how to connect."""

    name: str
    dsn: str = field(repr=False)


def endpoints(dsn: str) -> list[Endpoint]:
    """The servers that a connection string names, `postgresql://user@a:5432,b:5433/name` or `?host=a,b`.

    Asking each one by itself what it is replaces `target_session_attrs`. Raises ValueError for a port that is none.
    """
    parts = urlsplit(dsn)
    user, _, hosts = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not hosts and "host" in query:
        ports = query.get("port", "").split(",")
        names = query["host"].split(",")
        pairs = [(name, ports[min(index, len(ports) - 1)]) for index, name in enumerate(names)]
        return [_of_query(parts.path, parts.scheme, user, query, host, port) for host, port in pairs]
    if "," not in hosts:
        return [Endpoint(_name(*_split(hosts)), dsn)]
    return [_at(dsn, *_split(host)) for host in hosts.split(",")]


def beside(dsn: str, host: str, port: int) -> Endpoint:
    """A server elsewhere that is to be used with the user, password, database and options of `dsn`."""
    return _at(dsn, host, str(port))


def _of_query(path: str, scheme: str, user: str, query: dict[str, str], host: str, port: str) -> Endpoint:
    chosen = {**_kept(query), "host": host, **({"port": port} if port else {})}
    netloc = f"{user}@" if user else ""
    return Endpoint(_name(host, port), urlunsplit((scheme, netloc, path, urlencode(chosen), "")))


def _at(dsn: str, host: str, port: str) -> Endpoint:
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    query = {key: value for key, value in dict(parse_qsl(parts.query)).items() if key not in ("host", "port")}
    address = (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
    netloc = f"{user}@{address}" if user else address
    return Endpoint(_name(host, port), urlunsplit((parts.scheme, netloc, parts.path, urlencode(_kept(query)), "")))


def _kept(query: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in query.items() if key != "target_session_attrs"}


def _split(address: str) -> tuple[str, str]:
    """`host:port`, `[v6]:port` or either without a port."""
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = address.partition(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is not a port")
    return unquote(host), port


def _name(host: str, port: str) -> str:
    shown = f"[{host}]" if ":" in host else host or "localhost"
    return f"{shown}:{port or _DEFAULT_PORT}"
