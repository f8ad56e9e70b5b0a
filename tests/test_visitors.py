"""Pseudonyms: the same for the same reader of a paste on a day, and nothing that could be led back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin.visitors import Salts, pseudonyms

_TODAY = Salts(20_000, b"b" * 16, b"a" * 16)
_YESTERDAY = Salts(19_999, b"a" * 16)


@given(st.text(), st.text(), st.text())
def test_numbers_fit_a_bigint_and_are_never_the_one_for_unknown(address: str, agent: str, slug: str) -> None:
    period, visitor, before = pseudonyms(_TODAY, address, agent, slug)
    assert period == 20_000
    assert 0 < visitor < 2**63
    assert 0 < before < 2**63


def test_who_reads_is_the_same_everywhere_on_one_day_and_known_again_at_midnight() -> None:
    reader = ("2001:db8::1", "Mozilla/5.0", "h8Kq2ZtV0aB")
    assert pseudonyms(_TODAY, *reader) == pseudonyms(Salts(20_000, b"b" * 16, b"a" * 16), *reader)
    assert pseudonyms(_TODAY, *reader)[2] == pseudonyms(_YESTERDAY, *reader)[1]
    assert pseudonyms(_TODAY, *reader)[1] != pseudonyms(_YESTERDAY, *reader)[1]


def test_other_readers_and_other_pastes_are_others() -> None:
    readers = [("10.0.0.1", "a", "slug"), ("10.0.0.2", "a", "slug"), ("10.0.0.1", "b", "slug"), ("10.0.0.1", "a", "x")]
    readers += [("10.0.0.1", "as", "lug")]
    assert len({pseudonyms(_TODAY, *reader)[1] for reader in readers}) == len(readers)


def test_without_salts_everybody_is_unknown() -> None:
    assert pseudonyms(None, "10.0.0.1", "a", "slug") == (0, 0, 0)
    assert pseudonyms(_YESTERDAY, "10.0.0.1", "a", "slug")[2] == 0


def test_salts_do_not_show_themselves() -> None:
    assert "bbb" not in repr(_TODAY)
    assert "aaa" not in repr(_TODAY)
