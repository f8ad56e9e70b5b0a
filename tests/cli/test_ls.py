from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from pastebin.cli.ledger import Entry
from pastebin.cli.ls import as_json, as_table

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ENTRIES = [
    Entry("http://a", "aaa", "http://a/aaa", "secret", NOW, NOW, title="build log", name="x.log"),
    Entry("http://a", "bbbbbb", "http://a/bbbbbb", "secret", NOW, NOW + timedelta(days=1), name="a\x1b[2Jb"),
    Entry("http://a", "ccc", "http://a/ccc", "secret", NOW),
]


def test_the_table_marks_what_has_expired_and_shows_no_tokens() -> None:
    heading, expired, alive, endless = as_table(ENTRIES, NOW)
    assert heading.split() == ["ADDRESS", "CREATED", "EXPIRES", "TITLE"]
    assert expired.startswith("http://a/aaa ")
    assert "expired" in expired
    assert expired.endswith("build log")
    assert "expired" not in alive
    assert "\x1b" not in alive
    assert endless.endswith("never")
    assert "secret" not in "".join((expired, alive, endless))
    assert expired.index("build log") == heading.index("TITLE")


def test_json_has_everything_but_the_tokens() -> None:
    first, second, third = orjson.loads(as_json(ENTRIES, NOW))
    assert first == {
        "server": "http://a",
        "slug": "aaa",
        "url": "http://a/aaa",
        "created_at": "2026-11-22T10:00:00Z",
        "expires_at": "2026-11-22T10:00:00Z",
        "title": "build log",
        "name": "x.log",
        "is_expired": True,
    }
    assert (second["is_expired"], third["is_expired"]) == (False, False)
    assert third["expires_at"] is None
