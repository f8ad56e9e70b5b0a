"""The configuration of the edge: what may stand behind it."""

from __future__ import annotations

import pytest

from pastebin.config import load
from tests.test_config import complaints


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
    assert load(None, {"node.roles": ["edge"], "edge.origin": ["http://a:1", "https://b"]}).edge.origin
