from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.embedded import settings
from pastebin.errors import ConfigError
from pastebin.sections import EmbeddedSection, Secret

one_line = st.text(st.characters(exclude_characters="\n\r"))


def _configuration(section: EmbeddedSection, **overrides: str) -> dict[str, str]:
    text = settings.configuration(
        section,
        data=Path("/d/postgres"),
        files=Path("/d/files"),
        socket_dir=Path("/run/x"),
        name="pastebin-0",
        overrides=overrides,
    )
    lines = [line.partition(" = ") for line in text.splitlines() if not line.startswith("#")]
    return {key: value for key, _, value in lines}


def test_by_default_nothing_listens_and_everything_is_durable() -> None:
    found = _configuration(EmbeddedSection())
    assert found["listen_addresses"] == "''"
    assert not {"fsync", "full_page_writes", "synchronous_commit"} & found.keys()
    assert _configuration(EmbeddedSection(durable=False))["fsync"] == "'off'"
    assert "host" not in settings.access(EmbeddedSection())
    assert "trust" not in settings.access(EmbeddedSection())


def test_the_network_is_opened_only_with_a_password() -> None:
    section = EmbeddedSection(listen=":6000", password=Secret("p"))
    assert settings.address(section) == ("0.0.0.0", 6000)  # noqa: S104
    assert "host replication pastebin all scram-sha-256" in settings.access(section)
    for wrong in (
        EmbeddedSection(listen=":6000"),
        EmbeddedSection(listen="x", password=Secret("p")),
        EmbeddedSection(listen=":0", password=Secret("p")),
    ):
        with pytest.raises(ConfigError):
            settings.address(wrong)


def test_what_is_asked_for_wins() -> None:
    assert _configuration(EmbeddedSection(), max_wal_size="64MB")["max_wal_size"] == "'64MB'"


@given(one_line)
def test_a_quoted_value_is_one_word(value: str) -> None:
    quoted = settings.quote(value)
    inside = quoted[1:-1].replace("\\\\", "").replace("''", "")
    assert quoted[0] == quoted[-1] == "'"
    assert "'" not in inside
    assert "\\" not in inside
    assert quoted[1:-1].replace("''", "'").replace("\\\\", "\\") == value


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_a_value_cannot_begin_a_setting_of_its_own(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        settings.quote(value)


@given(st.lists(st.text(), min_size=2, max_size=4))
def test_other_texts_have_another_digest(texts: list[str]) -> None:
    assert settings.digest(*texts) == settings.digest(*texts)
    assert settings.digest(*texts) != settings.digest(*texts, "")
    assert len(settings.digest(*texts)) == 16
