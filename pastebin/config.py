"""The configuration of a node: read, laid over, checked as a whole.

The only reader of TOML, environment and secret files. What there is to configure stands in `pastebin.sections`.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import msgspec

from pastebin import constraints
from pastebin import regions as region_rules
from pastebin.decoding import decode
from pastebin.errors import ConfigError, Problem
from pastebin.places import is_path, is_site, parse_address
from pastebin.sections import (
    AnalyticsSection,
    BlobsSection,
    CdnSection,
    DatabaseSection,
    DoorsSection,
    EdgeSection,
    EmbeddedSection,
    GeoSection,
    Label,
    LimitsSection,
    LiveSection,
    NodeSection,
    RenderingSection,
    SearchSection,
    Secret,
    Section,
    SiteSection,
    SweepingSection,
    VisitsSection,
)
from pastebin.sections_regions import AdminSection, GatewaySection, GeodnsSection, RegionSection

Read = TypeVar("Read", bound=Section)

_OPTION = re.compile(r"[.\[]")


def _nothing(_config: Config) -> Iterable[Problem]:
    return ()


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
    search: SearchSection = SearchSection()
    sweeping: SweepingSection = SweepingSection()
    live: LiveSection = LiveSection()
    edge: EdgeSection = EdgeSection()
    cdn: CdnSection = CdnSection()
    geo: GeoSection = GeoSection()
    visits: VisitsSection = VisitsSection()
    analytics: AnalyticsSection = AnalyticsSection()
    admin: AdminSection = AdminSection()
    geodns: GeodnsSection = GeodnsSection()
    gateway: GatewaySection = GatewaySection()
    regions: dict[str, RegionSection] = msgspec.field(default_factory=dict)

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

    @property
    def spool_directory(self) -> Path:
        chosen = self.visits.spool
        return Path(chosen).expanduser().absolute() if chosen else self.data_dir / "visits"

    @property
    def counts_visits(self) -> bool:
        """Whether somebody is there who counts: an analytics service in this process, or the one that is named."""
        return self.visits.count and (bool(self.visits.url) or "analytics" in self.node.roles)


def load(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    also: Callable[[Config], Iterable[Problem]] = _nothing,
) -> Config:
    """Read the file (if any), lay the `section.key` overrides of the command line over it, check everything.

    Raises ConfigError with every problem found, with those that `also` finds in what the configuration leads to.
    """
    data, mode = _read(path) if path else ({}, 0)
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
        if name == "regions":
            built[name], wrong = _regions(data.get(name, {}), inline_secrets)
            problems += wrong
            continue
        built[name], wrong = _section(name, kind, data.get(name, {}), inline_secrets)
        problems += wrong
    # what the command line says instead is not the file's to hide
    inline_secrets = [key for key in inline_secrets if key.partition("[")[0] not in (overrides or {})]
    if inline_secrets and mode & stat.S_IROTH:
        problems += [
            Problem(
                key,
                f"holds a secret in {path}, which everybody can read; use file:/path, env:NAME or chmod o-r",
            )
            for key in inline_secrets
        ]
    # an option that has a problem of its own has its default here, so that the others are checked too
    config = Config(**built)
    wrong = [*_violations(config), *also(config)]
    told = tuple(problem.field for problem in problems)
    problems += [problem for problem in wrong if not _is_about(problem.field, told)]
    if problems:
        raise ConfigError(problems)
    if not config.node.name:
        config = msgspec.structs.replace(
            config, node=msgspec.structs.replace(config.node, name=socket.gethostname() or "pastebin")
        )
    return config


def _regions(table: Mapping[str, Any], inline_secrets: list[str]) -> tuple[dict[str, RegionSection], list[Problem]]:
    """The tables [regions.NAME], as far as they can be read."""
    found: dict[str, RegionSection] = {}
    problems: list[Problem] = []
    for name, members in table.items():
        path = f"regions.{name}"
        try:
            msgspec.convert(name, Label)
        except msgspec.ValidationError:
            problems.append(Problem(path, "is no name of a region: 1 to 32 lower-case letters, digits and '-'"))
        if not isinstance(members, dict):
            problems.append(Problem(path, f"must be a table: [{path}]"))
            continue
        found[name], wrong = _section(path, RegionSection, members, inline_secrets)
        problems += wrong
    return found, problems


def _section(
    path: str, kind: type[Read], table: Mapping[str, Any], inline_secrets: list[str]
) -> tuple[Read, list[Problem]]:
    """A section, without those of its options that cannot be used."""
    resolved, problems = _resolve(path, kind, table, inline_secrets)
    decoded, wrong = decode(kind, resolved, hook=_decode_secret, path=f"{path}.")
    problems += wrong
    unusable = {_OPTION.split(problem.field.removeprefix(f"{path}."))[0] for problem in problems}
    if decoded is None or problems:
        usable = {name: value for name, value in resolved.items() if name not in unusable}
        decoded, _ = decode(kind, usable, hook=_decode_secret)
    return decoded or kind(), problems


def _is_about(field: str, told: tuple[str, ...]) -> bool:
    """Whether something has been told of this option, of the table that it is in, or of one of its members."""
    return any(field == other or field.startswith((f"{other}.", f"{other}[")) for other in told) or any(
        other.startswith((f"{field}.", f"{field}[")) for other in told if field.count(".")
    )


def describe(config: Config) -> Iterator[str]:
    """The effective configuration as TOML lines, secrets as stars."""
    for field in msgspec.structs.fields(config):
        section = getattr(config, field.name)
        tables = (
            {field.name: section}
            if isinstance(section, Section)
            else {f"{field.name}.{name}": table for name, table in section.items()}
        )
        yield from [] if tables else [f"[{field.name}]", ""]
        for title, table in tables.items():
            yield f"[{title}]"
            for option in msgspec.structs.fields(table):
                if (value := getattr(table, option.name)) is not None:
                    yield f"{option.name} = {_as_toml(value)}"
            yield ""


def notices(config: Config) -> Iterator[Problem]:
    """What a node can be started with, and what whoever wrote it will hardly have meant."""
    yield from constraints.notices(config.cdn, config.admin, config.node)
    yield from region_rules.notice_home(config.regions, config.node)
    if "geodns" in config.node.roles:
        yield from region_rules.notices(config.regions)


def public_door(path: Path | None, overrides: Mapping[str, Any]) -> Literal["origin", "edge"]:
    """Where clients come to: the door of the edge, if the node has no other role that they come for."""
    data = _read(path)[0] if path else {}

    def chosen(section: str, option: str, default: object) -> object:
        table = data.get(section)
        configured = table.get(option, default) if isinstance(table, dict) else default
        return overrides.get(f"{section}.{option}", configured)

    roles = chosen("node", "roles", NodeSection().roles)
    others = [role for role in roles if role != "cdn-worker"] if isinstance(roles, list) else []
    return "edge" if others == ["edge"] and chosen("edge", "origin", EdgeSection().origin) != "local" else "origin"


def with_address(path: Path | None, overrides: Mapping[str, Any], door: str, host: str | None, port: int | None) -> str:
    """The address of a door with another host or port, the rest as configured."""
    table = _read(path)[0].get("doors") if path else None
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


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """What the file says, and the mode of that very file: another may take its place at any time."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file), os.fstat(file.fileno()).st_mode
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
    raise ValueError("expected string")


def _violations(config: Config) -> Iterator[Problem]:
    """Every rule that is broken."""
    yield from constraints.check_doors(config.doors)
    yield from constraints.check_database(config.database, config.embedded, config.node)
    yield from constraints.check_blobs(config.blobs)
    yield from constraints.check_targets(config.cdn, config.node)
    yield from constraints.check_edge(config.edge, config.node)
    yield from constraints.check_geodns(config.geodns, config.regions, config.node)
    yield from constraints.check_gateway(config.gateway, config.regions, config.node)
    yield from region_rules.check(config.regions)
    yield from constraints.check_analytics(config.analytics, config.visits, config.geo, config.admin, config.node)
    yield from constraints.check_admin(config.admin, config.regions)
    if len(set(config.node.roles)) != len(config.node.roles):
        yield Problem("node.roles", "names a role twice")
    for option, directory in (
        ("node.data_dir", config.node.data_dir),
        ("blobs.directory", config.blobs.directory),
        ("edge.disk", config.edge.disk),
        ("visits.spool", config.visits.spool),
        ("geo.database", config.geo.database),
        ("geodns.file", config.geodns.file),
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


def _as_toml(value: Any) -> str:
    if isinstance(value, Secret):
        return '"***"' if value else '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_as_toml(name)} = {_as_toml(member)}' for name, member in value.items())} }}"
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
