from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.store.nearness import Nearness, nearest


@pytest.mark.parametrize(
    ("near", "name", "is_near"),
    [
        ([], "db.example:5432", True),
        (["db.example"], "db.example:5432", True),
        (["DB.example"], "db.example:6432", True),
        (["db.example:5432"], "db.example:6432", False),
        (["db.example:5432"], "db.example:5432", True),
        (["db"], "db.example:5432", False),
        (["10.1.0.0/16"], "10.1.2.3:5432", True),
        (["10.1.0.0/16"], "10.2.2.3:5432", False),
        (["10.1.0.0/16"], "db.example:5432", False),
        (["fd00::/8"], "[fd00::1]:5432", True),
        (["fd00::1"], "[fd00::1]:5432", True),
        (["[fd00::1]:5432"], "[fd00::1]:5433", False),
        (["::1", "127.0.0.0/8"], "127.0.0.9:1", True),
    ],
)
def test_hosts_ports_and_networks(near: list[str], name: str, is_near: bool) -> None:
    assert Nearness(near).is_near(name) is is_near


@given(st.lists(st.integers(), unique=True), st.sets(st.integers()))
def test_a_far_one_is_taken_only_where_no_near_one_is_left(candidates: list[int], near: set[int]) -> None:
    left = nearest(candidates, near.__contains__)
    assert bool(left) == bool(candidates)
    assert set(left) == (near.intersection(candidates) or set(candidates))
