"""Consistency tokens: only ours, only fresh, only for what they were made for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin.allowance import Allowance
from pastebin.http.consistency import Tokens, session_of
from pastebin.positions import Position, Session

POSITIONS = st.builds(
    Position,
    system_id=st.integers(0, 2**64 - 1),
    timeline=st.integers(0, 2**32 - 1),
    lsn=st.integers(0, 2**64 - 1),
)
TOKENS = Tokens(b"a secret", 60)


@given(POSITIONS, st.floats(0, 2**40))
def test_a_token_brings_its_position_back_until_it_expires(position: Position, now: float) -> None:
    token = TOKENS.seal(position, now=now)
    assert TOKENS.unseal(token, now=now) == position
    assert TOKENS.unseal(token, now=now + 58) == position
    assert TOKENS.unseal(token, now=now + 62) is None
    assert TOKENS.unseal(token, now=now, purpose="min-lsn") is None
    assert Tokens(b"another secret", 60).unseal(token, now=now) is None
    assert len(token) < 80
    assert token.isascii()
    assert "=" not in token


def test_while_the_secret_changes_tokens_of_both_are_read() -> None:
    position, changing = Position(1, 1, 100), Tokens(b"the next secret", 60, b"a secret")
    for tokens in (TOKENS, changing):
        token = tokens.seal(position, now=0)
        assert changing.unseal(token, now=0) == position
        assert not changing.is_foreign(token)
    assert TOKENS.is_foreign(changing.seal(position, now=0))


@given(POSITIONS, st.integers(0, 200), st.integers(1, 255))
def test_a_changed_token_is_none(position: Position, at: int, change: int) -> None:
    token = TOKENS.seal(position, now=0)
    at %= len(token)
    changed = token[:at] + chr((ord(token[at]) + change) % 128) + token[at + 1 :]
    found = TOKENS.unseal(changed, now=0)
    assert found is None or found == position  # base64 has bits to spare in its last letter


@given(st.text(max_size=120))
def test_rubbish_is_none(text: str) -> None:
    assert TOKENS.unseal(text, now=0) is None


def session(*given_tokens: str, allowance: Allowance | None = None) -> Session:
    return session_of([("session", token) for token in given_tokens], TOKENS, allowance or Allowance(5, 5), now=0)


def test_a_session_asks_for_what_it_has_seen() -> None:
    assert session() == Session()
    position = Position(1, 1, 100)
    assert session(TOKENS.seal(position, now=0)) == Session(required=position, seen=position)


def test_of_two_positions_the_later_one_counts() -> None:
    early, late = (TOKENS.seal(Position(1, 1, lsn), now=0) for lsn in (100, 200))
    assert session(early, late).required == session(late, early).required == Position(1, 1, 200)


def test_two_timelines_are_for_the_primary_to_tell() -> None:
    old, new = (TOKENS.seal(Position(1, timeline, 100), now=0) for timeline in (1, 2))
    assert session(old, new).from_primary


def test_what_cannot_be_trusted_asks_the_primary_but_not_without_end() -> None:
    allowance = Allowance(0, 3)
    assert [session("rubbish", allowance=allowance).from_primary for _ in range(5)] == [True, True, True, False, False]


@given(st.lists(POSITIONS, max_size=8))
def test_what_a_session_has_seen_never_goes_back(positions: list[Position]) -> None:
    seen = Session()
    for position in positions:
        before = seen.seen
        seen.advance(position)
        assert seen.seen is not None
        assert seen.seen.covers(position)
        assert before is None or seen.seen.covers(before) or not position.covers(before)
