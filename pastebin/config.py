"""The configuration of a node: read, laid over, checked as a whole.

The only reader of TOML, environment and secret files. What there is to configure stands in `pastebin.sections`.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec

from pastebin.decoding import decode
from pastebin.errors import ConfigError, Problem
from pastebin.places import is_path, is_site, is_url, parse_address
from pastebin.sections import (
    BlobsSection,
    CdnSection,
    DatabaseSection,
    DoorsSection,
    EdgeSection,
    EmbeddedSection,
    LimitsSection,
    NodeSection,
    RenderingSection,
    Secret,
    Section,
    SiteSection,
    SweepingSection,
)

_DISCOVER = re.compile(r"(?:srv:[\w.-]+|a:[\w.-]+:([1-9]\d{0,4}))", re.ASCII)
# S3 User Guide, "General purpose bucket naming rules"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Config(Section, frozen=True):
    """The whole configuration. Functions receive the Section they need, not this."""

    node: NodeSection = NodeSection()
    doors: DoorsSection = DoorsSection()
    site: SiteSection = SiteSection()
    limits: LimitsSection = LimitsSection()
    database: DatabaseSection = DatabaseSection()
    embedded: EmbeddedSection = EmbeddedSection()
    blobs: BlobsSection = BlobsSection()
    rendering: RenderingSection = RenderingSection()
    sweeping: SweepingSection = SweepingSection()
    edge: EdgeSection = EdgeSection()
    cdn: CdnSection = CdnSection()

    @property
    def uses_embedded(self) -> bool:
        """Whether this node starts PostgreSQL itself, because no database is named."""
        return not self.database.primary

    @property
    def data_dir(self) -> Path:
        return Path(self.node.data_dir).expanduser().absolute()

    @property
    def blob_directory(self) -> Path:
        chosen = self.blobs.directory
        return Path(chosen).expanduser().absolute() if chosen else self.data_dir / "blobs"

    @property
    def edge_directory(self) -> Path:
        chosen = self.edge.disk
        return Path(chosen).expanduser().absolute() if chosen else self.data_dir / "edge"


def load(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the file (if any), lay the `section.key` overrides of the command line over it, check everything.

    Raises ConfigError with every problem found.
    """
    data = _read(path) if path else {}
    problems: list[Problem] = []
    inline_secrets: list[str] = []
    sections = {field.name: field.type for field in msgspec.structs.fields(Config)}
    for name in data:
        if name not in sections:
            problems.append(Problem(name, f"is not a section; allowed: {', '.join(sections)}"))
        elif not isinstance(data[name], dict):
            problems.append(Problem(name, f"must be a table: [{name}]"))
            data[name] = {}
    for key, value in (overrides or {}).items():
        section, _, option = key.partition(".")
        data.setdefault(section, {})[option] = value
        if section not in sections:
            problems.append(Problem(key, f"is not an option; sections: {', '.join(sections)}"))
    built: dict[str, Any] = {}
    for name, kind in sections.items():
        resolved, unresolved = _resolve(name, kind, data.get(name, {}), inline_secrets)
        decoded, wrong = decode(kind, resolved, hook=_decode_secret, path=f"{name}.")
        problems += unresolved + wrong
        built[name] = None if unresolved else decoded
    # what the command line says instead is not the file's to hide
    inline_secrets = [key for key in inline_secrets if key.partition("[")[0] not in (overrides or {})]
    if path and inline_secrets and path.stat().st_mode & stat.S_IROTH:
        problems += [
            Problem(
                key,
                f"holds a secret in {path}, which everybody can read; use file:/path, env:NAME or chmod o-r",
            )
            for key in inline_secrets
        ]
    # a section that has problems of its own is replaced by its defaults, so that the others are checked too
    config = Config(**{name: section for name, section in built.items() if section is not None})
    problems += [problem for problem in _cross_check(config) if built[problem.field.partition(".")[0]] is not None]
    if problems:
        raise ConfigError(problems)
    if not config.node.name:
        config = msgspec.structs.replace(
            config, node=msgspec.structs.replace(config.node, name=socket.gethostname() or "pastebin")
        )
    return config


def describe(config: Config) -> Iterator[str]:
    """The effective configuration as TOML lines, secrets as stars."""
    for field in msgspec.structs.fields(config):
        yield f"[{field.name}]"
        section = getattr(config, field.name)
        for option in msgspec.structs.fields(section):
            yield f"{option.name} = {_as_toml(getattr(section, option.name))}"
        yield ""


def with_address(path: Path | None, overrides: Mapping[str, Any], door: str, host: str | None, port: int | None) -> str:
    """The address of a door with another host or port, the rest as configured."""
    table = _read(path).get("doors") if path else None
    if not isinstance(table, dict):
        table = {}  # load() reports what else it is
    configured = overrides.get(f"doors.{door}") or table.get(door) or getattr(DoorsSection(), door)
    try:
        old_host, old_port = parse_address(str(configured))
    except ValueError:
        return str(configured)  # reported by load()
    chosen = host if host is not None else old_host
    return f"{f'[{chosen}]' if ':' in chosen else chosen}:{old_port if port is None else port}"


def load_environment(name: str) -> str:
    """An environment variable that belongs to the process rather than to a Section; empty if it is not set."""
    return os.environ.get(name, "")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "there is no such file")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), f"is not TOML: {error}")]) from None
    except RecursionError:
        raise ConfigError([Problem(str(path), "is not TOML: nested too deeply")]) from None


def _resolve(
    section: str, kind: type[Section], table: Mapping[str, Any], inline_secrets: list[str]
) -> tuple[dict[str, Any], list[Problem]]:
    """Replace `file:/path` and `env:NAME` by what they name; note the secrets that stand there themselves."""
    kinds = {field.name: field.type for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    problems: list[Problem] = []

    def resolved(name: str, value: Any, is_secret: bool) -> Any:
        if not isinstance(value, str):
            return value
        found = value
        try:
            if value.startswith("file:"):
                found = Path(value[5:]).read_text(encoding="utf-8").rstrip("\r\n")
            elif value.startswith("env:"):
                found = os.environ[value[4:]]
            elif value and is_secret:
                inline_secrets.append(name)
            if value and not found and is_secret:
                problems.append(Problem(name, f"{value} is empty"))
        except KeyError:
            problems.append(Problem(name, f"environment variable {value[4:]} is not set"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text, or not a path"
            problems.append(Problem(name, f"secret file {value[5:]} cannot be read: {reason}"))
        return found

    for key, value in table.items():
        name = f"{section}.{key}"
        if isinstance(value, list) and (inner := _holds_tables(kinds.get(key))):
            values[key] = []
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    item, unresolved = _resolve(f"{name}[{index}]", inner, item, inline_secrets)
                    problems += unresolved
                values[key].append(item)
        elif isinstance(value, list):
            is_secret = _holds_secrets(kinds.get(key))
            values[key] = [resolved(f"{name}[{index}]", item, is_secret) for index, item in enumerate(value)]
        else:
            values[key] = resolved(name, value, kinds.get(key) is Secret)
    return values, problems


def _holds_secrets(kind: Any) -> bool:
    """Whether a type is a list of secrets, with or without limits."""
    return Secret in get_args(getattr(kind, "__origin__", kind)) or Secret in get_args(kind)


def _holds_tables(kind: Any) -> type[Section] | None:
    """The Section that a type is a list of, with or without limits."""
    inner = get_args(getattr(kind, "__origin__", kind)) or get_args(kind)
    return inner[0] if inner and isinstance(inner[0], type) and issubclass(inner[0], Section) else None


def _decode_secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError("expected str")


def _cross_check(config: Config) -> Iterator[Problem]:
    """Rules about several options at once, or about text that has a grammar of its own."""
    yield from _check_doors(config.doors)
    yield from _check_database(config)
    yield from _check_blobs(config.blobs)
    yield from _check_targets(config.cdn)
    yield from _check_edge(config)
    if len(set(config.node.roles)) != len(config.node.roles):
        yield Problem("node.roles", "names a role twice")
    for option, directory in (
        ("node.data_dir", config.node.data_dir),
        ("blobs.directory", config.blobs.directory),
        ("edge.disk", config.edge.disk),
    ):
        if not is_path(directory):
            yield Problem(option, "is not a path of this machine")
    if config.site.url and not is_site(config.site.url):
        yield Problem("site.url", "must be http(s)://host[:port] without query, fragment or user")
    limits = config.limits
    if limits.max_lifetime_seconds and limits.default_lifetime_seconds > limits.max_lifetime_seconds:
        yield Problem(
            "limits.default_lifetime_seconds",
            f"must be at most limits.max_lifetime_seconds ({limits.max_lifetime_seconds})",
        )


def _check_doors(doors: DoorsSection) -> Iterator[Problem]:
    addresses: dict[tuple[str, int], str] = {}
    for door in ("origin", "edge", "internal"):
        try:
            address = parse_address(getattr(doors, door))
        except ValueError as error:
            yield Problem(f"doors.{door}", str(error))
            continue
        if address[1] and address in addresses:
            yield Problem(f"doors.{door}", f"is the address of doors.{addresses[address]} too; each door needs its own")
        addresses[address] = door


def _check_database(config: Config) -> Iterator[Problem]:
    dsn = config.database.primary.reveal()
    if dsn and not is_url(dsn, "postgresql", "postgres"):
        yield Problem("database.primary", "must be postgresql://user@host:port/name, or empty for the embedded server")
    yield from _check_replicas(config.database)
    if config.embedded.listen:
        try:
            parse_address(config.embedded.listen)
        except ValueError as error:
            yield Problem("embedded.listen", str(error))
        if not config.embedded.password:
            yield Problem("embedded.password", "is required when embedded.listen opens PostgreSQL to the network")
    if secret := config.node.secret.reveal():
        if len(secret) < 32:
            yield Problem("node.secret", "must have 32 characters or more; try: openssl rand -hex 32")
    elif dsn:
        yield Problem(
            "node.secret",
            "is required with a database of your own: every node needs the same; try: openssl rand -hex 32",
        )


def _check_replicas(database: DatabaseSection) -> Iterator[Problem]:
    for index, replica in enumerate(database.replicas):
        if not is_url(replica.reveal(), "postgresql", "postgres"):
            yield Problem(f"database.replicas[{index}]", "must be postgresql://user@host:port/name")
    if not database.primary and (database.replicas or database.discover):
        option = "replicas" if database.replicas else "discover"
        yield Problem(f"database.{option}", "needs database.primary: the embedded server has no replicas")
    match = _DISCOVER.fullmatch(database.discover)
    if database.discover and (match is None or int(match[1] or 0) > 65535):
        allowed = "srv:NAME, such as srv:_postgresql._tcp.db.example, or a:NAME:PORT"
        yield Problem("database.discover", f"must be {allowed}")
    if database.discover_nameserver:
        try:
            parse_address(database.discover_nameserver)
        except ValueError as error:
            yield Problem("database.discover_nameserver", str(error))


def _check_blobs(blobs: BlobsSection) -> Iterator[Problem]:
    if blobs.endpoint and not is_site(blobs.endpoint):
        yield Problem("blobs.endpoint", "must be http(s)://host[:port], or empty for AWS")
    if blobs.bucket and not _BUCKET.fullmatch(blobs.bucket):
        yield Problem("blobs.bucket", "must be 3 to 63 lower-case letters, digits, '.' and '-'")
    if blobs.store == "s3" and not blobs.bucket:
        yield Problem("blobs.bucket", 'is required with blobs.store = "s3"')
    if bool(blobs.access_key) != bool(blobs.secret_key):
        missing = "secret_key" if blobs.access_key else "access_key"
        yield Problem(f"blobs.{missing}", "is required: access_key and secret_key come together or not at all")


def _check_targets(cdn: CdnSection) -> Iterator[Problem]:
    names = [target.name for target in cdn.targets]
    for index, target in enumerate(cdn.targets):
        option = f"cdn.targets[{index}]"
        if target.name in names[:index]:
            yield Problem(f"{option}.name", f"is the name of another target too: {target.name}")
        if target.url and not is_site(target.url):
            yield Problem(f"{option}.url", "must be http(s)://host[:port] without query, fragment or user")
        for name, message in target.problems():
            yield Problem(f"{option}.{name}", message)


def _check_edge(config: Config) -> Iterator[Problem]:
    origin = config.edge.origin
    for host in config.edge.hosts:
        if not is_site(f"http://{host}") or urlsplit(f"http://{host}").path:
            yield Problem("edge.hosts", f"must be names of hosts, with a port if it is not 80: {host!r}")
    if origin == "local":
        if "edge" in config.node.roles and not {"web", "read", "write"} & set(config.node.roles):
            yield Problem("edge.origin", "local needs a role web, read or write on this node; else name a URL")
        elif "edge" in config.node.roles and not config.edge.lease_seconds:
            message = 'must be more than 0 with edge.origin = "local": this node\'s own origin has a feed'
            yield Problem("edge.lease_seconds", message)
        return
    if not origin:
        yield Problem("edge.origin", "must be local, a URL or a list of URLs")
    for url in [origin] if isinstance(origin, str) else origin:
        if not is_site(url) or urlsplit(url).path not in ("", "/"):
            yield Problem("edge.origin", "must be local, http(s)://host[:port], or a list of such")


def _as_toml(value: Any) -> str:
    if isinstance(value, Secret):
        return '"***"' if value else '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, Section):
        members = (f"{name} = {_as_toml(getattr(value, name))}" for name in value.__struct_fields__)
        return f"{{ {', '.join(members)} }}"
    if isinstance(value, str):
        return '"' + "".join(_escape(character) for character in value) + '"'
    return str(value)


def _escape(character: str) -> str:
    if character in '\\"':
        return "\\" + character
    return f"\\u{ord(character):04x}" if character < " " or character == "\x7f" else character
