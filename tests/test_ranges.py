"""Ranges: what an address has, and the largest block around it that has the same."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pastebin.ranges import Ranges, flattened, overlaid

BITS = 6
STARTS = st.dictionaries(st.integers(1, 2**BITS - 1), st.sampled_from("abc"))
NETWORKS = st.dictionaries(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda pair: ip_network(pair, strict=False)),
    st.sampled_from("abc"),
    max_size=8,
)


@given(STARTS, st.integers(0, 2**BITS - 1))
def test_the_prefix_is_the_shortest_that_holds(starts: dict[int, str], address: int) -> None:
    stretches = sorted({0: "a", **starts}.items())
    every = [dict(stretches)[max(start for start, _ in stretches if start <= n)] for n in range(2**BITS)]
    value, prefix = Ranges(BITS, stretches).find(address)
    assert value == every[address]

    def block(length: int) -> set[str]:
        size = 2 ** (BITS - length)
        first = address // size * size
        return set(every[first : first + size])

    assert block(prefix) == {value}
    assert not prefix or block(prefix - 1) != {value}


@given(NETWORKS, st.integers(0, 2**32 - 1))
def test_the_longest_network_counts(networks: dict[object, str], bits: int) -> None:
    stretches = list(flattened(networks, 32))  # type: ignore[arg-type]
    assert all(one[0] <= other[0] for one, other in pairwise(stretches))
    ranges = Ranges(32, stretches)
    edges = {int(edge) for network in networks for edge in (network[0], network[-1])}  # type: ignore[index]
    for address in {bits, *edges}:
        fitting = [network for network in networks if ip_address(address) in network]  # type: ignore[operator]
        longest = max(fitting, key=lambda network: network.prefixlen, default=None)  # type: ignore[attr-defined]
        assert ranges.find(address)[0] == networks.get(longest)


@given(STARTS, st.dictionaries(st.integers(1, 2**BITS - 1), st.sampled_from(["x", None])))
def test_what_lies_above_counts_where_there_is_something(lower: dict[int, str], upper: dict[int, str | None]) -> None:
    above, below = sorted({0: None, **upper}.items()), sorted({0: "a", **lower}.items())
    both = Ranges(BITS, overlaid(above, below))
    for address in range(2**BITS):
        over = Ranges(BITS, above).find(address)[0]
        assert both.find(address)[0] == (Ranges(BITS, below).find(address)[0] if over is None else over)
