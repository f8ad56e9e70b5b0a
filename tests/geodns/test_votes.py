"""Who decides whether a region is up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin.geodns.votes import Told, Votes

PEERS = ["http://n2", "http://n3"]


def heard(**says: bool) -> Votes:
    """Three name servers, of which n1 has heard these at 100."""
    votes = Votes("n1", PEERS, 10.0)
    for name, is_up in says.items():
        votes.hear(f"http://{name}", Told(name, {"us": is_up}), 100.0)
    return votes


def verdict(votes: Votes, *, own: bool, before: bool = True, now: float = 101.0) -> bool:
    return votes.verdict("us", own=own, before=before, now=now)


def test_most_of_three_decide() -> None:
    assert verdict(heard(n2=True, n3=True), own=False)
    assert not verdict(heard(n2=False, n3=True), own=False)
    assert not verdict(heard(n2=False, n3=False), own=True)
    assert verdict(heard(n2=False), own=True)
    assert not verdict(heard(n2=False), own=False)


def test_who_is_cut_off_changes_nothing() -> None:
    """Neither before the votes of the others have grown old nor after."""
    votes = heard(n2=True, n3=True)
    for now in (101.0, 109.9, 110.1, 1e6):
        assert verdict(votes, own=False, now=now)
        assert verdict(votes, own=True, now=now)
    assert not verdict(votes, own=True, before=False, now=1e6)
    votes.hear("http://n3", Told("n3", {"us": False}), 1e6)
    assert not verdict(votes, own=False, now=1e6)


def test_the_one_of_two_that_is_left_decides() -> None:
    votes = Votes("n1", PEERS[:1], 10.0)
    assert not verdict(votes, own=False)
    assert verdict(votes, own=True, before=False)


def test_oneself_and_strangers_have_no_vote() -> None:
    votes = heard(n4=False)
    votes.hear("http://n2", Told("n1", {"us": False}), 100.0)
    votes.hear("http://n3", Told("n3", {"eu": False}), 100.0)
    assert verdict(votes, own=True)
    assert not verdict(votes, own=False)  # of two that are left, half is heard


@given(st.booleans(), st.booleans(), st.dictionaries(st.sampled_from(["n2", "n3"]), st.booleans()))
def test_what_all_who_are_heard_find_is_so_or_stays(own: bool, before: bool, says: dict[str, bool]) -> None:
    if set(says.values()) <= {own}:
        assert verdict(heard(**says), own=own, before=before) == (own if says else before)
