from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services.credentials import MOST_BYTES, SHAPES, Finding, Scanner, scan

# Put together here, so that nobody who looks through this file finds a credential.
EXAMPLES = {
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "private key of PuTTY": "PuTTY-User-Key-" + "File-3: ssh-ed25519",
    "private key of age": "AGE-SECRET-" + "KEY-1" + "Q" * 58,
    "AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "Azure storage key": "Account" + "Key=" + "a" * 86 + "==",
    "Google API key": "AIza" + "b" * 35,
    "Google client secret": "GOCSPX" + "-" + "c" * 28,
    "DigitalOcean token": "dop_v1" + "_" + "0" * 64,
    "GitHub token": "ghp" + "_" + "d" * 36,
    "GitLab token": "glpat" + "-" + "e" * 20,
    "npm token": "npm" + "_" + "f" * 36,
    "PyPI token": "pypi-" + "AgE" + "g" * 60,
    "Docker Hub token": "dckr_" + "pat_" + "h" * 27,
    "Hugging Face token": "hf" + "_" + "i" * 34,
    "Slack token": "xoxb" + "-" + "1" * 12,
    "Slack webhook": "https://hooks.slack" + ".com/services/T0000000/B0000000/" + "j" * 24,
    "Stripe key": "sk_" + "live_" + "k" * 24,
    "SendGrid key": "SG" + "." + "l" * 22 + "." + "m" * 43,
    "Telegram bot token": "123456789" + ":AA" + "n" * 33,
    "secret API key": "sk-" + "o" * 20 + "T3Blbk" + "FJ" + "p" * 20,
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxIn0" + ".signature",
    "password in an address": "postgresql://app:" + "hunter22" + "@db.example/app",
}
HARMLESS = """
-----BEGIN PUBLIC KEY-----
-----BEGIN CERTIFICATE-----
Set AWS_ACCESS_KEY_ID to AKIA... and read https://example.org:8080/a@b and ssh://git@host/repo
postgresql://app:${PASSWORD}@db.example/app  https://user@example.org/  redis://:@localhost
sk_test_4eC39HqLyjWDarjtT1zdp7dc  ghp_short  eyJ.eyJ.eyJ  12:34:AA  hf_model  npm_config_registry
commit 356a192b7913b04c54574d18c28d46e6395428ab, AKIAIOSFODNN7EXAMPLEANDMORE
"""


def test_every_shape_has_an_example() -> None:
    assert {shape.kind for shape in SHAPES} == EXAMPLES.keys()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_it_is_found_on_its_line(kind: str) -> None:
    text = f"first\nkey = '{EXAMPLES[kind]}'\nlast\n"
    assert Finding(kind, 2) in scan(text.encode())


def test_what_only_looks_a_little_like_it_is_let_be() -> None:
    assert scan(HARMLESS.encode()) == []


@given(
    st.lists(st.sampled_from([*EXAMPLES.values(), "\n", " ", "word ", "\n" * 40, "x" * 3000 + "\n"]), max_size=20),
    st.lists(st.integers(1, 5000), min_size=1, max_size=20),
)
def test_nothing_is_missed_however_it_arrives(parts: list[str], sizes: list[int]) -> None:
    content = " ".join(parts).encode()
    scanner, rest = Scanner(), content
    for size in sizes:
        scanner.feed(rest[:size])
        rest = rest[size:]
    scanner.feed(rest)
    whole = scan(content)
    assert set(whole) <= set(scanner.found) or len(whole) == len(scanner.found) == 20


def test_the_beginning_of_something_large_is_looked_at() -> None:
    secret = EXAMPLES["npm token"].encode()
    scanner = Scanner()
    scanner.feed(b"\n" * (MOST_BYTES - 100))
    scanner.feed(secret + b"\n" * 200)
    scanner.feed(secret)
    assert scanner.found == [Finding("npm token", MOST_BYTES - 99)]
