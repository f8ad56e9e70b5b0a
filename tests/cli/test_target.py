from __future__ import annotations

import contextlib
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cli.failures import UsageError
from pastebin.cli.target import Target, parse_server, parse_target
from pastebin.slugs import is_reserved

SLUG = st.text(string.ascii_letters + string.digits, min_size=3, max_size=30).filter(lambda text: not is_reserved(text))
NAME = st.text(min_size=1, max_size=30).filter(lambda text: text not in (".", "..") and text.isprintable())


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("h8Kq2ZtV0aB", Target("h8Kq2ZtV0aB")),
        ("https://p.example/h8Kq2ZtV0aB", Target("h8Kq2ZtV0aB", "https://p.example")),
        ("https://P.Example:443/h8Kq2ZtV0aB/", Target("h8Kq2ZtV0aB", "https://p.example")),
        ("http://p.example:8080/h8Kq2ZtV0aB.py#L3", Target("h8Kq2ZtV0aB", "http://p.example:8080")),
        ("https://p.example/h8Kq2ZtV0aB/raw", Target("h8Kq2ZtV0aB", "https://p.example")),
        ("https://p.example/raw/h8Kq2ZtV0aB", Target("h8Kq2ZtV0aB", "https://p.example")),
        ("https://p.example/h8Kq2ZtV0aB/raw/a.py", Target("h8Kq2ZtV0aB", "https://p.example", "a.py")),
        ("https://p.example/h8Kq2ZtV0aB/raw/a%20b%2Fc", Target("h8Kq2ZtV0aB", "https://p.example", "a b/c")),
        ("https://p.example/api/v1/pastes/h8Kq2ZtV0aB", Target("h8Kq2ZtV0aB", "https://p.example")),
        ("http://[::1]:8080/h8Kq2ZtV0aB", Target("h8Kq2ZtV0aB", "http://[::1]:8080")),
    ],
)
def test_every_address_of_a_paste_names_it(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "a",
        "../etc/passwd",
        "p.example/h8Kq2ZtV0aB",
        "https://p.example",
        "https://p.example/",
        "https://p.example/api/v1/limits",
        "https://p.example/h8Kq2ZtV0aB/rev/2",
        "https://p.example/h8Kq2ZtV0aB/history",
        "https://p.example/prefix/h8Kq2ZtV0aB",
        "https://p.example/h8Kq2ZtV0aB.zip",
        "https://p.example/h8Kq2ZtV0aB.tar.gz",
        "https://user:secret@p.example/h8Kq2ZtV0aB",
        "ftp://p.example/h8Kq2ZtV0aB",
        "https://p.example:port/h8Kq2ZtV0aB",
        "https:///h8Kq2ZtV0aB",
    ],
)
def test_what_names_no_paste_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_target(text)


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(UsageError) as caught:
        parse_server("https://user:secret@p.example")
    assert "secret" not in caught.value.detail


@given(SLUG, NAME)
def test_names_of_files_survive_their_address(slug: str, name: str) -> None:
    address = f"https://p.example/{slug}/raw/{quote(name, safe='')}"
    assert parse_target(address) == Target(slug, "https://p.example", name)


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_target(text)


@given(st.sampled_from(["http", "https"]), st.sampled_from(["p.example", "127.0.0.1", "[::1]"]), st.integers(1, 65535))
def test_a_server_has_one_spelling(scheme: str, host: str, port: int) -> None:
    server = parse_server(f"{scheme.upper()}://{host.upper()}:{port}/")
    assert parse_server(server) == server
    assert server.startswith(f"{scheme}://{host}")
