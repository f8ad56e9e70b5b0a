"""The configuration: one list of options for people and program, every mistake told, no secret shown."""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin import config
from pastebin.config import Config, describe, load
from pastebin.errors import ConfigError
from pastebin.places import parse_address
from pastebin.sections import DEFAULT_ROLES, Secret
from pastebin.sections_regions import RegionSection

REFERENCE = Path(__file__).resolve().parent.parent / "pastebin.toml"
SECTIONS = {field.name: field.type for field in msgspec.structs.fields(Config)}
LONG_SECRET = "0123456789abcdef0123456789abcdef"
WriteFile = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Write a configuration that only its owner can read."""

    def write_file(text: str) -> Path:
        path = tmp_path / "node.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write_file


def complaints(path: Path | None, **overrides: Any) -> list[str]:
    options = {key.replace("__", "."): value for key, value in overrides.items()}
    with pytest.raises(ConfigError) as raised:
        load(path, options)
    return str(raised.value).splitlines()


def defaults() -> dict[str, dict[str, Any]]:
    """Every option with its default, as TOML would have it."""
    return {
        name: {
            field.name: _plain(field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory())
            for field in msgspec.structs.fields(kind)
        }
        for name, kind in SECTIONS.items()
        if name != "regions"
    } | {"regions": {}}


def _plain(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value


def test_the_reference_names_every_option_with_its_default() -> None:
    """pastebin.toml and the Sections are one list, in one order."""
    reference = tomllib.loads(REFERENCE.read_text(encoding="utf-8"))
    assert reference == defaults()
    assert [(section, list(table)) for section, table in reference.items()] == [
        (section, list(table)) for section, table in defaults().items()
    ]
    for section, table in reference.items():
        kinds = {key: type(value) for key, value in table.items()}
        assert kinds == {key: type(value) for key, value in defaults()[section].items()}


def test_the_reference_explains_every_option() -> None:
    lines = [line for line in REFERENCE.read_text(encoding="utf-8").splitlines() if re.match(r"\w+ *=", line)]
    assert len(lines) == sum(len(table) for table in defaults().values())
    assert [line for line in lines if not re.search(r"\S +# \S.{5,}", line)] == []


def test_the_reference_is_a_configuration_like_none_at_all() -> None:
    assert load(REFERENCE) == load(None)


def test_without_a_file_everything_has_its_default() -> None:
    chosen = load(None)
    assert chosen.node.roles == list(DEFAULT_ROLES)
    assert chosen.node.name and chosen.uses_embedded
    assert chosen.blob_directory == chosen.data_dir / "blobs"
    assert chosen.data_dir == Path.cwd() / "data"


def test_a_file_changes_what_it_names(write: WriteFile) -> None:
    chosen = load(
        write(
            '[node]\nname = "a"\nroles = ["read"]\ndata_dir = "/srv/p"\ndrain_seconds = 3\n'
            '[blobs]\ndirectory = "/srv/b"'
        )
    )
    assert (chosen.node.name, chosen.node.roles, chosen.node.drain_seconds) == ("a", ["read"], 3.0)
    assert (chosen.data_dir, chosen.blob_directory) == (Path("/srv/p"), Path("/srv/b"))
    assert chosen.doors == Config().doors


def test_the_command_line_goes_over_the_file(write: WriteFile) -> None:
    path = write('[doors]\norigin = "127.0.0.1:1"\ninternal = "127.0.0.1:2"')
    chosen = load(path, {"doors.origin": "[::]:3", "node.roles": ["web"]})
    assert (chosen.doors.origin, chosen.doors.internal) == ("[::]:3", "127.0.0.1:2")
    assert chosen.node.roles == ["web"]


def test_every_problem_is_told_at_once(write: WriteFile) -> None:
    path = write(
        """
        site = 3
        [node]
        roles = "web"
        region = "EU"
        log_level = "loud"
        bogus = 1
        [doors]
        origin = "8080"
        [limits]
        max_files = 0
        [database]
        primary = "mysql://db/pastebin"
        [embedded]
        listen = ":5432"
        password = "env:PASTEBIN_TEST_UNSET"
        [nowhere]
        """
    )
    assert complaints(path, rendering__workers=0, elsewhere__x=1) == [
        "site: must be a table: [site]",
        f"nowhere: is not a section; allowed: {', '.join(SECTIONS)}",
        f"elsewhere.x: is not an option; sections: {', '.join(SECTIONS)}",
        f"node.bogus: is not known here; allowed: {', '.join(sorted(defaults()['node']))}",
        "node.region: must be 1 to 32 lower-case letters, digits and '-', not beginning with '-'",
        "node.roles: expected array, got string",
        "node.log_level: must be one of debug, info, warning, error",
        "limits.max_files: expected integer >= 1",
        "embedded.password: environment variable PASTEBIN_TEST_UNSET is not set",
        "rendering.workers: expected integer >= 1",
        "doors.origin: must be host:port with a port from 0 to 65535, such as 127.0.0.1:8080",
        "database.primary: must be postgresql://user@host:port/name, or empty for the embedded server",
        "node.secret: is required with a database of your own: every node needs the same; try: openssl rand -hex 32",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('[node]\nroles = ["web", "web"]', "node.roles: names a role twice"),
        ("[node]\nroles = []", "node.roles: expected array of length >= 1"),
        ('[node]\nroles = ["wbe"]', "node.roles: must be one of web, read, write"),
        ('[node]\nregion = "eu\\n"', "node.region: must be 1 to 32"),
        ('[node]\nsecret = "short"', "node.secret: must have 32 characters or more"),
        (f'[node]\nsecret_previous = "{"x" * 40}"', "node.secret_previous: must have 32 characters or more, and be"),
        ('[node]\ndata_dir = "~no-such-user/x"', "node.data_dir: is not a path of this machine"),
        ('[node]\ndata_dir = "a\\u0000b"', "node.data_dir: is not a path of this machine"),
        ("[node]\nshutdown_seconds = 0", "node.shutdown_seconds: expected number > 0"),
        ("[node]\nshutdown_seconds = nan", "node.shutdown_seconds: expected number > 0"),
        ('[doors]\norigin = ":9"\ninternal = ":9"', "doors.internal: is the address of doors.origin too"),
        ('[site]\nurl = "p.example"', "site.url: must be http(s)://"),
        ('[site]\nurl = "https://[p"', "site.url: must be http(s)://"),
        ('[site]\nurl = "https://me@p.example"', "site.url: must be http(s)://"),
        ('[database]\nprimary = "postgresql://db/p"', "node.secret: is required with a database of your own"),
        ('[database]\nprimary = "postgresql://["\n[node]\nsecret="' + LONG_SECRET + '"', "database.primary: must be"),
        ('[embedded]\nlisten = ":5432"', "embedded.password: is required"),
        ('[embedded]\nlisten = "x"\npassword = "y"', "embedded.listen: must be host:port"),
        (
            "[limits]\nmax_lifetime_seconds = 10\ndefault_lifetime_seconds = 11",
            "limits.default_lifetime_seconds: must be at most limits.max_lifetime_seconds (10)",
        ),
    ],
)
def test_what_cannot_work_is_refused(write: WriteFile, text: str, start: str) -> None:
    found = complaints(write(text))
    assert len(found) == 1
    assert found[0].startswith(start)


@pytest.mark.parametrize(
    ("text", "host", "port", "address"),
    [
        ("", None, None, "127.0.0.1:8080"),
        ('[doors]\norigin = "[::1]:1"', None, 2, "[::1]:2"),
        ('[doors]\norigin = "h:1"', "::", None, "[::]:1"),
        ('[doors]\norigin = ":1"', None, 0, "0.0.0.0:0"),
        ('[doors]\norigin = "1"', "h", 2, "1"),
        ("doors = 3", "h", 2, "h:2"),
    ],
)
def test_a_door_takes_another_host_or_port(
    write: WriteFile, text: str, host: str | None, port: int | None, address: str
) -> None:
    """What is wrong in the file is left for load() to report."""
    assert config.with_address(write(text), {}, "origin", host, port) == address


def test_two_doors_may_both_take_any_free_port(write: WriteFile) -> None:
    assert load(write('[doors]\norigin = "127.0.0.1:0"\ninternal = "127.0.0.1:0"'))


def test_values_come_from_files_and_the_environment(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dsn").write_text("postgresql://db/pastebin\n")
    monkeypatch.setenv("PASTEBIN_TEST_SECRET", LONG_SECRET)
    path = write(f'[node]\nsecret = "env:PASTEBIN_TEST_SECRET"\n[database]\nprimary = "file:{tmp_path}/dsn"')
    path.chmod(0o644)
    chosen = load(path)
    assert chosen.node.secret.reveal() == LONG_SECRET
    assert chosen.database.primary.reveal() == "postgresql://db/pastebin"
    assert not chosen.uses_embedded


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("file:{here}/missing", "secret file {here}/missing cannot be read: No such file or directory"),
        ("file:{here}", "secret file {here} cannot be read: Is a directory"),
        ("file:{here}/latin1", "secret file {here}/latin1 cannot be read: not UTF-8 text, or not a path"),
        ("file:{here}/\\u0000", "secret file {here}/\0 cannot be read: not UTF-8 text, or not a path"),
        ("file:{here}/empty", "file:{here}/empty is empty"),
        ("env:PASTEBIN_TEST_UNSET", "environment variable PASTEBIN_TEST_UNSET is not set"),
        ("env:PASTEBIN_TEST_EMPTY", "env:PASTEBIN_TEST_EMPTY is empty"),
    ],
)
def test_a_secret_that_cannot_be_had_is_told_once(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    """An empty one is no better: the node would silently start a database of its own."""
    (tmp_path / "latin1").write_bytes(b"\xe9")
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("PASTEBIN_TEST_EMPTY", "")
    path = write(f'[database]\nprimary = "{value.format(here=tmp_path)}"')
    assert complaints(path) == [f"database.primary: {told.format(here=tmp_path)}"]


def test_a_secret_in_a_file_for_everybody_is_refused(write: WriteFile) -> None:
    path = write(f'[node]\nsecret = "{LONG_SECRET}"\n[embedded]\npassword = "hunter2"')
    assert load(path).node.secret.reveal() == LONG_SECRET
    path.chmod(0o604)
    found = complaints(path)
    assert [line.split(":")[0] for line in found] == ["node.secret", "embedded.password"]
    assert all("everybody can read" in line for line in found)
    given = {"node.secret": LONG_SECRET, "embedded.password": "x"}
    assert load(path, given).node.secret.reveal() == LONG_SECRET  # the file is not to blame for the command line
    assert LONG_SECRET not in "".join(found)
    assert "hunter2" not in "".join(found)


def test_secrets_show_themselves_to_nobody(write: WriteFile) -> None:
    dsn = "postgresql://me:hunter2@db/p"
    chosen = load(write(f'[node]\nsecret = "{LONG_SECRET}"\n[database]\nprimary = "{dsn}"'))
    shown = "\n".join([*describe(chosen), repr(chosen), str(chosen), f"{chosen.node.secret}"])
    assert LONG_SECRET not in shown
    assert "hunter2" not in shown
    assert 'secret = "***"' in shown
    assert 'password = ""' in shown


def test_a_problem_does_not_repeat_the_secret(write: WriteFile) -> None:
    path = write('[database]\nprimary = "mysql://me:hunter2@db/p"\n[node]\nsecret = "hunter2"')
    assert "hunter2" not in "".join(complaints(path))


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret()


@pytest.mark.parametrize("text", ["[node", "a = ", "x" * 5, "a=" + "[" * 5000])
def test_what_is_not_toml_is_told_with_its_file(write: WriteFile, text: str) -> None:
    path = write(text)
    assert complaints(path)[0].startswith(f"{path}: is not TOML: ")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert complaints(tmp_path / "none.toml") == [f"{tmp_path}/none.toml: there is no such file"]
    assert complaints(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    (tmp_path / "latin1.toml").write_bytes(b'[node]\nname = "\xe9"')
    assert "is not TOML" in complaints(tmp_path / "latin1.toml")[0]


ROLES = st.lists(st.sampled_from(DEFAULT_ROLES), min_size=1, unique=True).filter(lambda names: names != ["edge"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXT.filter(bool), ROLES, TEXT)
def test_the_description_is_toml_that_says_the_same(title: str, roles: list[str], name: str) -> None:
    origin = "local" if {"web", "read", "write"} & set(roles) else "http://127.0.0.1:8080"
    wanted = {"site.title": title, "node.roles": roles, "node.name": name or "n", "edge.origin": origin}
    chosen = load(None, {**wanted, "node.secret": LONG_SECRET})
    described = tomllib.loads("\n".join(describe(chosen)))
    assert described["site"]["title"] == title
    assert (described["node"]["roles"], described["node"]["name"]) == (roles, name or "n")
    assert {section: set(table) for section, table in described.items()} == {
        section: set(table) for section, table in defaults().items()
    }


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:80", ("::1", 80)),
        (":8080", ("0.0.0.0", 8080)),  # noqa: S104
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "8080", "host:", "host:65536", "host:-1", "host:٣", "::1:80", "[::1:80", "::1]:80"]
)
def test_not_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="must be host:port"):
        parse_address(text)


@given(st.ip_addresses() | st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), st.integers(0, 65535))
def test_every_host_and_port_is_an_address(host: Any, port: int) -> None:
    written = f"[{host}]:{port}" if getattr(host, "version", 4) == 6 else f"{host}:{port}"
    assert parse_address(written) == (str(host), port)


@given(st.text(max_size=20) | st.text("0123456789:[].", max_size=20))
def test_any_text_is_an_address_or_not(text: str) -> None:
    try:
        host, port = parse_address(text)
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65535


SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.just(date(1979, 5, 27))
    | TEXT
    | st.sampled_from(["", "file:/", "file:\0", "env:", "env:=", "http://[", "postgresql://[::", "~x/y", ":1", "[:0"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def _lines(document: dict[str, Any]) -> Iterator[str]:
    for section, table in document.items():
        if not isinstance(table, dict):
            yield f'"{section}" = {_toml(table)}'
    for section, table in document.items():
        if isinstance(table, dict):
            yield f'["{section}"]'
            yield from (f'"{key}" = {_toml(value)}' for key, value in table.items())


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
        case list():
            return f"[{', '.join(map(_toml, value))}]"
    return str(value)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """TOML whose names are mostly right and whose values are mostly wrong."""
    document: dict[str, Any] = {}
    for section in draw(st.lists(st.sampled_from([*SECTIONS, "x"]), unique=True, max_size=4)):
        kind = RegionSection if section == "regions" else SECTIONS.get(section, Config)
        names = [field.name for field in msgspec.structs.fields(kind)]
        document[section] = draw(st.dictionaries(st.sampled_from([*names, "x"]), VALUES, max_size=6) | VALUES)
    return "\n".join(_lines(document))


@given(documents() | st.text(string.printable, max_size=60))
def test_any_file_is_a_configuration_or_explained(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8")
    try:
        chosen = load(path)
    except ConfigError as error:
        assert error.problems
        return
    assert all(directory.is_absolute() for directory in (chosen.data_dir, chosen.blob_directory))
    tomllib.loads("\n".join(describe(chosen)))
