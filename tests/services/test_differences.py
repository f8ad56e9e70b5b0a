"""Differences of texts: whatever they hold, the hunks lead from one to the other, and cost no more than they may."""

from __future__ import annotations

import random
import re
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.models import File
from pastebin.services import difference_pages, differences, newlines, patches
from pastebin.services.comparing import pairs
from pastebin.services.difference_pages import Room
from pastebin.services.differences import CONTEXT, Effort, Hunk, blocks, lines_of
from pastebin.services.patches import Header
from tests.programs import require

texts = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"{\n", b"}\n", b"same\n", b"\xff\r\n"]), max_size=40)
ends = st.sampled_from([b"", b"no end", b"\r"])


def hunks(old: list[bytes], new: list[bytes], effort: Effort, context: int = CONTEXT) -> list[Hunk]:
    return list(differences.hunks(old, new, blocks(old, new, effort), context))


def applied(old: list[bytes], found: list[Hunk]) -> list[bytes]:
    """What the hunks make of the old lines; they have to be right about those."""
    made: list[bytes] = []
    done = 0
    for hunk in found:
        assert len([line for line in hunk.lines if line.tag != "added"]) == hunk.old_count
        assert len([line for line in hunk.lines if line.tag != "removed"]) == hunk.new_count
        begin = hunk.old_start - bool(hunk.old_count)
        made += old[done:begin]
        done = begin
        for line in hunk.lines:
            if line.old:
                assert line.old == done + 1
                assert old[line.old - 1] == line.text
                done = line.old
            if line.new:
                made.append(line.text)
                assert len(made) == line.new
    return made + old[done:]


@given(texts, texts, st.integers(0, 5), st.one_of(st.none(), st.integers(0, 60)))
def test_hunks_lead_from_one_to_the_other(old: list[bytes], new: list[bytes], context: int, effort: int | None) -> None:
    found = hunks(old, new, Effort() if effort is None else Effort(effort), context)
    assert applied(old, found) == new
    assert (found == []) == (old == new)


@given(texts, st.data())
def test_a_small_change_has_a_small_difference(old: list[bytes], data: st.DataObject) -> None:
    """No more lines are touched than were, wherever the effort suffices."""
    place = data.draw(st.integers(0, len(old)))
    new = [*old[:place], b"new\n", *old[place:]]
    (hunk,) = hunks(old, new, Effort())
    assert [line.text for line in hunk.lines if line.tag != "same"] == [b"new\n"]
    assert len(hunk.lines) <= 1 + 2 * differences.CONTEXT


@given(texts, texts)
def test_equal_stretches_are_equal_and_in_order(old: list[bytes], new: list[bytes]) -> None:
    found = blocks(old, new, Effort())
    i = j = 0
    for block in found:
        assert block.size
        assert (block.old >= i) and (block.new >= j)
        assert old[block.old : block.old + block.size] == new[block.new : block.new + block.size]
        i, j = block.old + block.size, block.new + block.size


@given(st.binary(max_size=200))
def test_lines_are_the_content(content: bytes) -> None:
    lines = lines_of(content)
    assert b"".join(lines) == content
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(line.count(b"\n") <= 1 and line for line in lines)


@pytest.mark.parametrize("kind", ["shuffled", "few", "turned", "doubled"])
def test_hostile_texts_are_compared_within_bounds(kind: str) -> None:
    """The effort is spent and no more; what it does not suffice for is replaced."""
    chance = random.Random(1)  # noqa: S311
    old = [b"%d\n" % number for number in range(20_000)]
    new = list(old)
    if kind == "shuffled":
        chance.shuffle(new)
    elif kind == "few":
        old, new = ([b"%d\n" % chance.randrange(3) for _ in range(20_000)] for _ in range(2))
    elif kind == "turned":
        new.reverse()
    else:
        old, new = [line for line in old for _ in range(2)], [line for line in reversed(old) for _ in range(2)]
    effort = Effort(100_000)
    assert applied(old, hunks(old, new, effort)) == new
    assert effort.left > -1000


def test_what_has_no_room_on_a_page_is_counted_and_not_made() -> None:
    old, new = [b"a%d\n" % number for number in range(50)], [b"b%d\n" % number for number in range(40)]
    (hunk,) = differences.hunks(old, new, [], most_lines=60)
    assert (len(hunk.lines), hunk.heading) == (60, "@@ -1,50 +1,40 @@")
    two = [*old, *[b"same\n"] * 20, b"old\n"], [*new, *[b"same\n"] * 20, b"new\n"]
    equal = blocks(*two, Effort())
    assert len(list(differences.hunks(*two, equal, most_lines=60))) == 1
    assert len(list(differences.hunks(*two, equal))) == 2


def file(content: bytes, name: str | None, position: int = 0) -> File:
    return File(position, name, "text/plain", None, len(content), sha256(content).digest(), body=content)


def patch(old: bytes | None, new: bytes | None, name: str = "a.txt", other: str = "a.txt") -> bytes:
    header = Header(old is not None, new is not None, name, other)
    return b"".join(patches.parts(header, hunks(lines_of(old or b""), lines_of(new or b""), Effort())))


@given(texts, ends, texts, ends)
def test_a_patch_makes_the_new_text(old: list[bytes], old_end: bytes, new: list[bytes], new_end: bytes) -> None:
    """The headings are those that Git expects, and so is a missing newline."""
    one, other = b"".join(old) + old_end, b"".join(new) + new_end
    text = patch(one, other)
    assert _patched(text, one) == other if one != other else b"@@" not in text


def _patched(patch: bytes, old: bytes) -> bytes:
    """A reader of unified hunks that believes nothing but their headings and signs."""
    lines = lines_of(old)
    made: list[bytes] = []
    done = 0
    rows = lines_of(patch)
    for number, row in enumerate(rows):
        if row.startswith(b"@@"):
            start = int(row.split()[1][1:].partition(b",")[0])
            count = row.split()[1].partition(b",")[2]
            begin = start if count == b"0" else start - 1
            made += lines[done:begin]
            done = begin
        elif row[:1] in b" -+" and not row.startswith((b"--- ", b"+++ ")):
            ends = rows[number + 1].startswith(b"\\") if number + 1 < len(rows) else False
            text = row[1:-1] if ends else row[1:]
            if row[:1] != b"+":
                assert lines[done] == text
                done += 1
            if row[:1] != b"-":
                made.append(text)
    return b"".join(made + lines[done:])


NAMES = ["a b.txt", 'quo"te', "tab\there", "new\nline", "ümlaut", "back\\slash", "-rf", "a/b/c.txt"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["changed", "added", "removed", "renamed"])
def test_git_and_patch_take_every_name(tmp_path: Path, name: str, kind: str) -> None:
    git = require("git")
    old = None if kind == "added" else b"one\ntwo\n"
    new = None if kind == "removed" else b"one\ntwo\n" if kind == "renamed" else b"one\n2\nno end"
    before = "before.txt" if kind == "renamed" else name
    text = patch(old, new, before, name)
    place = tmp_path / before
    if old is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(old)
    subprocess.run([git, "init", "-q", "."], cwd=tmp_path, check=True, timeout=120)
    subprocess.run([git, "apply"], cwd=tmp_path, input=text, check=True, timeout=120)
    assert (tmp_path / name).exists() == (new is not None)
    if new is not None:
        assert (tmp_path / name).read_bytes() == new


@pytest.mark.parametrize("name", ["../../up", "/etc/passwd", "a/../../b", "..", "./.."])
def test_a_patch_stays_below_the_folder_where_it_is_applied(name: str) -> None:
    paths = re.findall(rb"^(?:---|\+\+\+) (.*)$", patch(b"one\n", b"two\n", name, name), re.MULTILINE)
    assert len(paths) == 2
    assert not any(part in (b"", b".", b"..") for path in paths for part in path.split(b"/"))


def test_what_cannot_be_compared_is_named() -> None:
    header = Header(True, True, "a.bin", "a.bin")
    assert b"Binary files a/a.bin and b/a.bin differ" in b"".join(patches.parts(header, (), "binary"))


def test_files_are_paired_by_name_then_by_content() -> None:
    old = [file(b"1", "a", 0), file(b"2", "b", 1), file(b"3", "c", 2)]
    new = [file(b"3", "moved", 0), file(b"1!", "a", 1), file(b"4", "d", 2)]
    assert pairs(old, new) == [(old[2], new[0]), (old[0], new[1]), (None, new[2]), (old[1], None)]
    assert pairs(old[:1], new[2:]) == [(old[0], new[2])]
    assert pairs([], new[:1]) == [(None, new[0])]


HOSTILE = b"<script>alert(1)</script>\x00\x1b[31m\xe2\x80\xae\xff&amp;\r\n"


@pytest.mark.parametrize("lay_out", [difference_pages.unified, difference_pages.side_by_side])
def test_hostile_lines_are_harmless(lay_out: type) -> None:
    for old, new in ((b"x\n", HOSTILE), (HOSTILE, b"x"), (HOSTILE, HOSTILE[:-2] + b"!\n")):
        html, is_whole = lay_out(hunks(lines_of(old), lines_of(new), Effort()), Room(100_000))
        assert is_whole
        assert "<script" not in html
        assert not set("\x00\x1b\u202e\r") & set(html)
        assert html.count("<mark>") == html.count("</mark>")


@pytest.mark.parametrize("lay_out", [difference_pages.unified, difference_pages.side_by_side])
def test_pages_have_an_end(lay_out: type) -> None:
    new = [b"%d\n" % number for number in range(10_000)]
    room = Room(20_000)
    html, is_whole = lay_out(hunks([], new, Effort()), room)
    assert not is_whole
    assert 10_000 < len(html) <= 20_000
    long, _ = lay_out(hunks([b"x\n"], [b"y" * 1_000_000 + b"\n"], Effort()), Room(10**9))
    assert len(long) < 10_000


def test_the_changed_part_of_a_line_is_marked() -> None:
    html, _ = difference_pages.unified(hunks([b"value = 1;\n"], [b"value = 23;\n"], Effort()), Room(10_000))
    assert "value = <mark>1</mark>;" in html
    assert "value = <mark>23</mark>;" in html
    unlike, _ = difference_pages.unified(hunks([b"abc\n"], [b"xyz\n"], Effort()), Room(10_000))
    assert "<mark>" not in unlike


windows = st.lists(st.tuples(st.text("ab", max_size=2), st.sampled_from([b"\n", b"\r\n"])), max_size=8)


@given(windows, st.lists(st.text("ab", max_size=2), max_size=8))
def test_line_ends_come_back(original: list[tuple[str, bytes]], typed: list[str]) -> None:
    """A browser gives LF; lines that were there keep their end, and who changes nothing changes nothing."""
    content = b"".join(line.encode() + end for line, end in original)
    assert newlines.restored(content, newlines.shown(content).encode()) == content
    edited = "".join(f"{line}\n" for line in typed).encode()
    assert newlines.restored(content, edited).replace(b"\r\n", b"\n") == edited


def test_what_a_text_area_would_spoil_is_not_for_one() -> None:
    assert newlines.is_editable(b"a\r\nb\n")
    for content in (b"a\rb", b"\0", b"\xff"):
        assert not newlines.is_editable(content)
