"""Slugs and tokens: what they may look like, how much chance is in them, what is kept of them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pastebin import slugs

ANY_TEXT = st.text(st.characters(), max_size=80)  # lone surrogates too: headers may hold them
SECRETS = st.binary(min_size=32, max_size=32)


def test_generated_slugs_are_slugs_of_the_promised_length() -> None:
    for protected, length in ((False, slugs.UNLISTED_LENGTH), (True, slugs.PROTECTED_LENGTH)):
        made = {slugs.generate(protected=protected) for _ in range(500)}
        assert len(made) == 500
        assert {len(slug) for slug in made} == {length}
        assert all(slugs.is_slug(slug) and not slugs.is_reserved(slug) for slug in made)


def test_lengths_hold_the_promised_bits() -> None:
    """65 bits for a link that is only unlisted, more than 128 for what protects something."""
    assert len(set(slugs.ALPHABET)) == 62
    assert 62**slugs.UNLISTED_LENGTH >= 2**65
    assert 62**slugs.PROTECTED_LENGTH >= 2**128
    assert 62**slugs.TOKEN_LENGTH >= 2**128


def test_every_letter_is_used_everywhere() -> None:
    """A letter missing at a place would show after so many draws but once in 10**14 runs."""
    made = [slugs.generate(protected=False) for _ in range(2500)]
    for place in range(slugs.UNLISTED_LENGTH):
        assert {slug[place] for slug in made} == set(slugs.ALPHABET)


def test_tokens_are_never_alike() -> None:
    tokens = {slugs.generate_token() for _ in range(500)}
    assert len(tokens) == 500
    assert all(re.fullmatch(rf"[0-9A-Za-z]{{{slugs.TOKEN_LENGTH}}}", token) for token in tokens)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{1,62}[A-Za-z0-9]", fullmatch=True))
def test_what_is_announced_is_accepted(text: str) -> None:
    """The grammar that ALLOWED puts in words."""
    assert slugs.is_slug(text)


@given(ANY_TEXT)
def test_what_is_accepted_is_announced(text: str) -> None:
    announced = (
        3 <= len(text) <= 64
        and set(text) <= {*slugs.ALPHABET, "-", "_"}
        and text[0] in slugs.ALPHABET
        and text[-1] in slugs.ALPHABET
    )
    assert slugs.is_slug(text) == announced


def test_not_slugs() -> None:
    for text in ("", "a", "ab", "a" * 65, "-ab", "ab_", "a.b", "a/b", "abc\n", "abç", "a b", "٣٣٣"):
        assert not slugs.is_slug(text), text


def test_reserved_words_are_found_in_any_case() -> None:
    assert slugs.is_reserved("api")
    assert slugs.is_reserved("API")
    assert not slugs.is_reserved("apis")
    assert all(slugs.is_slug(word) and word == word.lower() for word in slugs.RESERVED)


@given(SECRETS, ANY_TEXT)
def test_derived_tokens_look_like_tokens_and_stay(secret: bytes, key: str) -> None:
    token = slugs.derive_token(secret, key)
    assert token == slugs.derive_token(secret, key)
    assert len(token) == slugs.TOKEN_LENGTH
    assert set(token) <= set(slugs.ALPHABET)


def test_derived_tokens_do_not_change_between_versions() -> None:
    """A retry may meet another node, which may run another version."""
    assert slugs.derive_token(b"s" * 32, "key-1") == "ESi970JZ49LGP6dLZUqu7p6SWKhQkaUA"


@given(SECRETS, SECRETS, ANY_TEXT, ANY_TEXT)
def test_derived_tokens_depend_on_secret_and_key(one: bytes, other: bytes, key: str, another: str) -> None:
    token = slugs.derive_token(one, key)
    assert (token == slugs.derive_token(one, another)) == (key == another)
    assert (token == slugs.derive_token(other, key)) == (one == other)


def test_derived_tokens_use_all_letters_alike() -> None:
    """The keys are fixed, so the counts are too; a fifth is 6 standard deviations of pure chance."""
    count = 2000
    tokens = [slugs.derive_token(b"s" * 32, str(number)) for number in range(count)]
    assert len(set(tokens)) == count
    letters = Counter("".join(tokens))
    expected = count * slugs.TOKEN_LENGTH / len(slugs.ALPHABET)
    assert all(abs(letters[letter] - expected) < expected / 5 for letter in slugs.ALPHABET)


@given(ANY_TEXT)
def test_only_a_hash_of_a_token_is_kept(token: str) -> None:
    assert slugs.hash_token(token) == hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
