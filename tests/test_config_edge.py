"""The configuration of the edge: what may stand behind it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from pastebin.cli import settings
from pastebin.config import load, notices
from pastebin.sections import DoorsSection
from tests.test_config import LONG_SECRET, WriteFile, complaints, write

__all__ = ["write"]


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "local/",
        "ftp://o",
        "http://o/path",
        "http://u@o",
        "http://",
        "http://o:99999",
        "http://o:0",
        "http://:80",
        [],
        ["http://o", "local"],
    ],
)
def test_an_edge_needs_an_origin_that_can_be_asked(origin: object) -> None:
    assert complaints(None, edge__origin=origin)[0].startswith("edge.origin: must be local")


def test_readers_of_an_edge_are_urls_beside_an_origin_elsewhere() -> None:
    assert complaints(None, edge__origin="http://a", edge__read_origin=["local"])[0].startswith(
        "edge.read_origin: must"
    )
    assert complaints(None, edge__read_origin=["http://a"])[0].startswith("edge.read_origin: needs an edge.origin")


def test_hosts_are_names_of_hosts() -> None:
    for host in ("", "a/b", "http://a", "u@a", "a:99999", "a?b"):
        assert complaints(None, edge__hosts=["a", host])[0].startswith("edge.hosts: must be names of hosts"), host
    assert load(None, {"edge.hosts": ["a.example", "B.example:8443", "[::1]"]})


def test_an_edge_before_its_own_node_needs_something_there() -> None:
    assert complaints(None, node__roles=["edge"]) == [
        "edge.origin: local needs a role web, read or write on this node; else name a URL"
    ]
    assert complaints(None, edge__lease_seconds=0) == [
        'edge.lease_seconds: must be more than 0 with edge.origin = "local": this node\'s own origin has a feed'
    ]
    assert load(None, {"node.roles": ["edge"], "edge.origin": "http://a", "edge.lease_seconds": 0})
    assert load(None, {"node.roles": ["read"], "edge.lease_seconds": 0})
    elsewhere = {"node.roles": ["edge"], "node.secret": LONG_SECRET, "edge.origin": ["http://a:1", "https://b"]}
    assert load(None, elsewhere).edge.origin


def test_an_edge_that_waits_for_purges_has_the_secret_that_signs_them() -> None:
    (said,) = complaints(None, node__roles=["edge"], edge__origin="http://a")
    assert said.startswith("node.secret: is required with an edge.origin elsewhere")
    assert said.endswith("edge.lease_seconds = 0")


@pytest.mark.parametrize(
    ("roles", "origin", "moved"),
    [
        ("edge", "http://o", "edge"),
        ("edge,cdn-worker", "http://o", "edge"),
        ("edge,analytics", "http://o", "origin"),
        ("web,edge", "http://o", "origin"),
        ("web,edge", "local", "origin"),
        ("read", "http://o", "origin"),
    ],
)
def test_the_port_of_the_command_line_is_that_of_the_door_for_everybody(
    write: WriteFile, roles: str, origin: str, moved: str
) -> None:
    names = ", ".join(f'"{name}"' for name in roles.split(","))
    path = write(f'[node]\nroles = [{names}]\nsecret = "{LONG_SECRET}"\n[edge]\norigin = "{origin}"')
    for arguments in (
        ("--config", str(path)),
        (f"--role={roles}", "--set", f"edge.origin={origin}", "--set", f"node.secret={LONG_SECRET}"),
    ):
        parser = argparse.ArgumentParser()
        settings.configure(parser)
        doors = settings.load(parser.parse_args([*arguments, "--port=1234", "--host=::1"])).doors
        other = "edge" if moved == "origin" else "origin"
        assert getattr(doors, moved) == "[::1]:1234"
        assert getattr(doors, other) == getattr(DoorsSection(), other)


def test_what_readme_shows_of_an_edge_alone_is_a_configuration(write: WriteFile) -> None:
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"\nThat edge, with .*?```toml\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    chosen = load(write(re.sub(r'"file:[^"]*"', f'"{LONG_SECRET}"', shown[1])))
    assert (chosen.node.roles, chosen.edge.origin) == (["edge"], "http://10.0.0.2:8080")
    assert not list(notices(chosen))
