from __future__ import annotations

import asyncio
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pastebin.cli.failures import LocalFileError
from pastebin.cli.ledger import Entry, Ledger

ADDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pastebin.cli.ledger import Entry, Ledger
ledger = Ledger(Path(sys.argv[1]))
for number in range(30):
    slug = f"{sys.argv[2]}{number}"
    ledger.add(Entry("http://a", slug, f"http://a/{slug}", "token", datetime.now(UTC)))
    if number % 3 == 0:
        ledger.remove("http://a", slug)
"""


def entry(slug: str, *, server: str = "http://a.example", url: str = "", day: int = 1) -> Entry:
    return Entry(server, slug, url or f"{server}/{slug}", f"token-of-{slug}", datetime(2026, 1, day, tzinfo=UTC))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state")


def test_nothing_made_nothing_listed(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.entries() == []
    assert not (tmp_path / "state").exists()


def test_what_is_added_is_listed_oldest_first_and_what_is_removed_is_not(ledger: Ledger) -> None:
    for added in (entry("bbb", day=2), entry("aaa", day=1), entry("ccc", day=3)):
        ledger.add(added)
    ledger.remove("http://a.example", "bbb")
    ledger.remove("http://a.example", "never")
    assert ledger.entries() == [entry("aaa", day=1), entry("ccc", day=3)]


def test_only_the_owner_can_read_the_tokens(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state" / "pastes.jsonl").touch(0o644)
    ledger.add(entry("aaa"))
    for step in (lambda: None, lambda: ledger.remove("http://a.example", "aaa")):
        step()
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "state" / "pastes.jsonl").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["pastes.jsonl"]


def test_a_removed_token_is_gone_from_the_disk(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add(entry("aaa"))
    ledger.add(entry("bbb"))
    ledger.remove("http://a.example", "aaa")
    assert b"token-of-aaa" not in (tmp_path / "state" / "pastes.jsonl").read_bytes()


def test_a_paste_is_found_at_its_own_server_first(ledger: Ledger) -> None:
    inside = entry("aaa", server="http://10.0.0.1:8080", url="https://p.example/aaa")
    ledger.add(inside)
    assert ledger.find("http://10.0.0.1:8080", "aaa") == inside
    assert ledger.find("https://p.example", "aaa") == inside
    assert ledger.find("https://other.example", "aaa") is None
    public = entry("aaa", server="https://p.example")
    ledger.add(public)
    assert ledger.find("https://p.example", "aaa") == public


@pytest.mark.parametrize(
    "damage", [b"{", b'{"server": 1}\n', b"\0\0\0\n", b'{"server":"http://a","slug":"aaa"}\n', b"[]\n"]
)
def test_a_damaged_list_is_named_and_left_alone(ledger: Ledger, tmp_path: Path, damage: bytes) -> None:
    ledger.add(entry("aaa"))
    path = tmp_path / "state" / "pastes.jsonl"
    content = path.read_bytes() + damage
    path.write_bytes(content)
    for use in (
        ledger.prepare,
        ledger.entries,
        lambda: ledger.add(entry("bbb")),
        lambda: ledger.remove("http://a.example", "aaa"),
    ):
        with pytest.raises(LocalFileError, match=r"pastes\.jsonl: line 2 is damaged") as caught:
            use()
        assert "token-of" not in caught.value.detail
    assert path.read_bytes() == content


def test_a_line_without_its_end_is_damage(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add(entry("aaa"))
    path = tmp_path / "state" / "pastes.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    with pytest.raises(LocalFileError, match="line 1 is damaged"):
        ledger.add(entry("bbb"))


def test_members_of_later_versions_are_no_damage(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add(entry("aaa"))
    path = tmp_path / "state" / "pastes.jsonl"
    path.write_bytes(path.read_bytes().replace(b"{", b'{"colour":"red",'))
    assert ledger.entries() == [entry("aaa")]


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalFileError, match="file"):
        Ledger(tmp_path / "file" / "state").prepare()


async def test_commands_at_the_same_time_lose_nothing(ledger: Ledger, tmp_path: Path) -> None:
    adders = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", ADDER, str(tmp_path / "state"), name)
        for name in ("aaa", "bbb", "ccc")
    ]
    codes = await asyncio.wait_for(asyncio.gather(*(adder.wait() for adder in adders)), 120)
    assert codes == [0, 0, 0]
    expected = {f"{name}{number}" for name in ("aaa", "bbb", "ccc") for number in range(30) if number % 3}
    assert {found.slug for found in ledger.entries()} == expected
