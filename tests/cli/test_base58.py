from __future__ import annotations

import base58 as other
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cli import base58


@given(st.binary(max_size=64))
def test_what_is_encoded_comes_back_and_others_agree(data: bytes) -> None:
    text = base58.encode(data)
    assert base58.decode(text) == data
    assert text.encode() == other.b58encode(data)


@given(st.text(base58.ALPHABET, max_size=64))
def test_text_has_one_meaning(text: str) -> None:
    assert base58.encode(base58.decode(text)) == text
    assert base58.decode(text) == other.b58decode(text)


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "-", " ", "abc\n", "ä", "\uff41"])
def test_other_letters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        base58.decode(text)
