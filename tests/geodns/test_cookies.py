"""Server cookies as RFC 9018 makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.geodns.cookies import Cookies, siphash

# RFC 9018, appendix A: secret, client, address, time, server cookie
EXAMPLES = [
    (
        "e5e973e5a6b2a43f48e7dc849e37bfcf",
        "2464c4abcf10c957",
        "198.51.100.100",
        1559731985,
        "010000005cf79f111f8130c3eee29480",
    ),
    (
        "dd3bdf9344b678b185a6f5cb60fca715",
        "22681ab97d52c298",
        "2001:db8:220:1:59de:d0f4:8769:82b8",
        1559741817,
        "010000005cf7c57926556bd0934c72f8",
    ),
]


def test_siphash() -> None:
    """The reference implementation's vectors for 0, 1 and 15 bytes."""
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash(key, b"") == 0x726FDB47DD0E0E31
    assert siphash(key, bytes(range(1))) == 0x74F839C593DC67FD
    assert siphash(key, bytes(range(15))) == 0xA129CA6149BE45E5


@pytest.mark.parametrize(("secret", "client", "address", "now", "server"), EXAMPLES)
def test_the_examples_of_the_rfc(secret: str, client: str, address: str, now: int, server: str) -> None:
    cookies = Cookies(bytes.fromhex(secret))
    made = cookies.made(bytes.fromhex(client), address, now)
    assert made.hex() == client + server
    assert cookies.is_ours(made, address, now)


def test_who_may_use_a_cookie_and_for_how_long() -> None:
    cookies = Cookies(b"k" * 16)
    made = cookies.made(b"12345678", "192.0.2.1", 1_000_000)
    assert cookies.is_ours(made, "192.0.2.1", 1_000_000 + 3600)
    assert not cookies.is_ours(made, "192.0.2.1", 1_000_000 + 3601)
    assert not cookies.is_ours(made, "192.0.2.1", 1_000_000 - 301)
    assert not cookies.is_ours(made, "192.0.2.2", 1_000_000)
    assert not Cookies(b"x" * 16).is_ours(made, "192.0.2.1", 1_000_000)


def test_a_young_cookie_is_returned_as_it_is_and_an_older_one_renewed() -> None:
    cookies = Cookies(b"k" * 16)
    first, is_ours = cookies.returned(b"12345678", "192.0.2.1", 1_000_000)
    assert (first, is_ours) == (cookies.made(b"12345678", "192.0.2.1", 1_000_000), False)
    assert cookies.returned(first, "192.0.2.1", 1_001_000) == (first, True)
    second, is_ours = cookies.returned(first, "192.0.2.1", 1_003_000)
    assert is_ours
    assert second == cookies.made(first, "192.0.2.1", 1_003_000)
    assert cookies.returned(first, "192.0.2.2", 1_000_000)[1] is False


@given(st.binary(max_size=48))
def test_others_are_not_ours(cookie: bytes) -> None:
    assert not Cookies(b"k" * 16).is_ours(cookie, "2001:db8::1", 1_000_000)
