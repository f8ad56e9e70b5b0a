"""The search tree of MaxMind's format, byte by byte."""

from __future__ import annotations

import pytest

from pastebin.leaves import ELSEWHERE, Damaged, Leaves


def packed(nodes: list[tuple[int, int]], size: int) -> bytes:
    """Nodes as they stand in a file (specification 2.0, "Node Layout")."""
    written = b""
    for left, right in nodes:
        if size == 28:
            middle = (left >> 24) << 4 | right >> 24
            written += (left & 0xFFFFFF).to_bytes(3, "big") + bytes([middle]) + (right & 0xFFFFFF).to_bytes(3, "big")
        else:
            written += left.to_bytes(size // 8, "big") + right.to_bytes(size // 8, "big")
    return written


@pytest.mark.parametrize(("size", "record"), [(24, 0xABCDEF), (28, 0xABCDEF1), (32, 0xABCDEF12)])
def test_every_size_of_record_is_read(size: int, record: int) -> None:
    nodes = [(record, 1), (2, record - 1)]  # 2: nothing
    leaves = Leaves(packed(nodes, size), node_count=2, record_size=size, ip_version=4)
    assert list(leaves.walk(32)) == [(0, record), (1 << 31, 2), (3 << 30, record - 1)]
    assert list(leaves.walk(128)) == [(0, 2)]


def test_addresses_of_ipv4_within_ipv6_are_not_gone_through_again() -> None:
    nodes = [(index + 1, 98) for index in range(96)] + [(1000, 1001)]
    nodes[1] = (2, 96)  # the same addresses at another place
    leaves = Leaves(packed(nodes, 24), node_count=97, record_size=24, ip_version=6)
    assert list(leaves.walk(32)) == [(0, 1000), (1 << 31, 1001)]
    walked = list(leaves.walk(128))
    assert walked[0] == (0, ELSEWHERE)
    assert (1 << 126, ELSEWHERE) in walked
    assert walked[-1] == (1 << 127, 98)


def test_a_tree_without_end_is_damaged() -> None:
    leaves = Leaves(packed([(0, 0)], 24), node_count=1, record_size=24, ip_version=4)
    with pytest.raises(Damaged):
        list(leaves.walk(32))
    cut = Leaves(b"\0" * 5, node_count=3, record_size=28, ip_version=4)
    with pytest.raises((Damaged, IndexError)):
        list(cut.walk(32))
