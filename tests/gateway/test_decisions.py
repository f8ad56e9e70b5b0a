"""The decisions of the gateway, without any network."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.gateway import announced, balancing
from pastebin.gateway.wants import Want, wanted

READ = Want("read", is_safe=True)


@dataclass(frozen=True)
class Node:
    name: str
    roles: tuple[str, ...] = ("web", "read", "write")
    well: bool = True
    price: float = 1.0

    def is_well(self, _now: float) -> bool:
        return self.well

    def cost(self, _now: float) -> float:
        return self.price


NODES = st.builds(
    Node,
    st.text("abc", min_size=1, max_size=3),
    st.sets(st.sampled_from(["web", "read", "write", "edge", "analytics"]), max_size=3).map(lambda roles: tuple(roles)),
    st.booleans(),
    st.floats(0, 10),
)
REGIONS = st.lists(st.lists(NODES, max_size=4), max_size=4)
WANTS = st.builds(
    Want, st.sampled_from(["web", "read", "write", "analytics"]), st.booleans(), st.sampled_from(["", "id"])
)


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/", "web"),
        ("HEAD", "/abc", "web"),
        ("GET", "/abc/stats", "web"),
        ("POST", "/abc/stats", "web"),
        ("POST", "/api/v1/pastes/abc/stats", "write"),
        ("GET", "/raw/abc", "read"),
        ("GET", "/abc/raw", "read"),
        ("GET", "/abc/raw/name.txt", "read"),
        ("GET", "/api/v1/pastes/abc/stats", "read"),
        ("OPTIONS", "*", "web"),
        ("POST", "/", "write"),
        ("POST", "/abc/reveal", "write"),
        ("GET", "/abc/manage?x", "write"),
        ("DELETE", "/api/v1/pastes/abc", "write"),
        ("BREW", "/raw/abc", "write"),
        ("GET", "/admin/analytics?days=7", "analytics"),
        ("GET", "/administrator", "web"),
        ("GET", "/admin", "web"),
        ("POST", "/admin", "web"),
        ("GET", "/admin/topology", "web"),
        ("GET", "/api/v1/topology", "web"),
        ("GET", "/api/v1/topology-of-others", "read"),
        ("HEAD", "/uploads/abc", "write"),
        ("GET", "/?h8Kq2ZtV0aB", "web"),
    ],
)
def test_what_a_request_is_for(method: str, target: str, kind: str) -> None:
    assert wanted(method, target).kind == kind


def test_requests_of_one_upload_stick_together() -> None:
    assert wanted("PATCH", "/uploads/abc?x").sticky == wanted("HEAD", "/uploads/abc").sticky == "abc"
    assert wanted("POST", "/uploads").sticky == ""


@pytest.mark.parametrize(
    "target", ["/?h8Kq2ZtV0aB", "/?h8Kq2ZtV0aB=", "/?f468483c313401e8", "/?pasteid=x&deletetoken=y"]
)
def test_what_may_use_up_a_reading_is_asked_for_once(target: str) -> None:
    assert not wanted("GET", target).is_safe
    assert wanted("GET", f"/x{target}").is_safe
    assert wanted("GET", "/?utm=a").is_safe


@given(st.text(max_size=8), st.text(max_size=40).filter(lambda target: not target.startswith("/?")))
def test_only_safe_methods_go_to_readers(method: str, target: str) -> None:
    want = wanted(method, target)
    assert want.is_safe == (method in ("GET", "HEAD", "OPTIONS"))
    assert want.is_safe or want.kind != "read"


@given(REGIONS, WANTS, st.integers())
def test_the_one_picked_suits_and_is_well_if_any_is(regions: list[list[Node]], want: Want, seed: int) -> None:
    picked = balancing.pick(regions, want, (), 0.0, random.Random(seed).random)  # noqa: S311
    fit = [[node for node in nodes if want.suits(node.roles) >= 0] for nodes in regions]
    well = [[node for node in nodes if node.well] for nodes in fit]
    first = next((nodes for nodes in well if nodes), None) or next((nodes for nodes in fit if nodes), None)
    assert (picked is None) == (first is None)
    if picked is not None and first is not None:
        assert picked in first
        assert want.suits(picked.roles) == min(want.suits(node.roles) for node in first)


def test_an_edge_that_says_what_it_stands_before_is_asked_for_nothing_else() -> None:
    alone, before_readers = ("edge",), ("edge", "web", "read")
    for kind in ("web", "read"):
        assert Want(kind, is_safe=True).suits(before_readers) == 0
    for kind in ("write", "analytics"):
        want = Want(kind, is_safe=False)
        assert want.suits(before_readers) == -1
        assert 0 == want.suits((kind,)) < want.suits(alone)


@given(st.lists(NODES, min_size=2, max_size=6, unique_by=lambda node: node.name), st.integers())
def test_the_dearest_of_all_is_never_picked(nodes: list[Node], seed: int) -> None:
    nodes = [Node(node.name, price=index) for index, node in enumerate(nodes)]
    assert balancing.pick([nodes], READ, (), 0.0, random.Random(seed).random) is not nodes[-1]  # noqa: S311


@given(st.lists(NODES, min_size=1, max_size=6, unique_by=lambda node: node.name), st.text(min_size=1, max_size=8))
def test_the_loss_of_a_node_moves_only_what_was_its_own(nodes: list[Node], word: str) -> None:
    nodes = [Node(node.name) for node in nodes]
    want = Want("write", is_safe=False, sticky=word)
    picked = balancing.pick([nodes], want, (), 0.0, random.random)
    for lost in nodes:
        left = balancing.pick([nodes], want, (lost,), 0.0, random.random)
        assert lost is picked or left is picked


SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


@given(st.binary(max_size=64))
def test_an_announcement_is_read_or_refused(data: bytes) -> None:
    for given_ in (data, SIGNATURE + data, SIGNATURE + b"\x21" + data):
        try:
            found = announced.read(given_)
        except ValueError:
            continue
        assert found is None or found.size <= len(given_)


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(max_size=20), st.binary(max_size=20))
def test_an_announcement_names_the_client(address: object, port: int, more: bytes, behind: bytes) -> None:
    packed: bytes = address.packed  # type: ignore[attr-defined]
    body = packed + bytes(len(packed)) + struct.pack(">HH", port, 1) + more
    data = SIGNATURE + struct.pack(">BBH", 0x21, 0x11 if len(packed) == 4 else 0x21, len(body)) + body
    assert announced.read(data + behind) == ((str(address), port), len(data))
    assert announced.read(data[:-1]) is None
