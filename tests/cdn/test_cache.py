"""The cache in memory: what is found, what dies when, and that it stays within its bounds."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn.freshness import Policy
from pastebin.cdn.objects import Stored, touch
from pastebin.cdn.variants import variant_of
from tests.cdn.caches import HOUR, Shelf, opened

SHORT = Policy(lifetime=1.0, initial_age=0.0)
NEW = CIMultiDictProxy(CIMultiDict({"Content-Type": "text/html", "ETag": '"2"'}))


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with opened(tmp_path / "edge", disk_bytes=0) as shelf:
        yield shelf


async def test_a_response_is_found_under_its_key_alone(shelf: Shelf) -> None:
    stored = await shelf.kept("example.org/a", b"body", tags=["p-a"])
    assert shelf.find("example.org/a") is stored
    assert shelf.find("example.org/b") is None
    assert stored.alive
    assert (stored.size, stored.body) == (4, b"body")
    assert await shelf.body(stored) == b"body"
    assert await shelf.body(stored, 1, 2) == b"od"
    assert await shelf.body(stored, 2) == b"dy"
    assert await shelf.body(stored, 4) == b""


async def test_an_empty_body_is_one(shelf: Shelf) -> None:
    stored = await shelf.kept("k", b"")
    assert await shelf.body(stored) == b""


async def test_a_memory_cache_leaves_no_files(shelf: Shelf) -> None:
    await shelf.kept("k", b"body")
    assert not shelf.directory.exists()


async def test_nothing_is_visible_before_it_is_whole(shelf: Shelf) -> None:
    async with shelf.writer("k", None) as writer:
        assert await writer.write(b"half")
        assert shelf.find("k") is None
    assert shelf.find("k") is None, "it was not committed"


@pytest.mark.parametrize("body", [b"shor", b"longer"])
async def test_a_body_of_another_length_is_not_kept(shelf: Shelf, body: bytes) -> None:
    async with shelf.writer("k", 5) as writer:
        await writer.write(body)
        assert await writer.commit() is None
    assert shelf.find("k") is None
    assert shelf.figure("unkept_total", reason="length") == 1


async def test_a_body_with_another_digest_is_not_kept(shelf: Shelf) -> None:
    assert await shelf.put("k", b"body", sha256=hashlib.sha256(b"other").digest()) is None
    assert await shelf.put("k", b"body", sha256=hashlib.sha256(b"body").digest()) is not None


async def test_what_is_too_large_is_not_kept_but_what_was_taken_can_be_read(shelf: Shelf) -> None:
    async with shelf.writer("k", None) as writer:
        assert await writer.write(b"a" * 900)
        assert not await writer.write(b"b" * 200)
        assert not writer.is_keeping
        assert writer.written == 900
        assert b"".join([chunk async for chunk in writer.read(100)]) == b"a" * 800
        assert await writer.commit() is None


async def test_what_is_known_to_be_too_large_is_not_even_begun(shelf: Shelf) -> None:
    async with shelf.writer("k", 2000) as writer:
        assert not writer.is_keeping
        assert not await writer.write(b"a")


async def test_waiters_read_along(shelf: Shelf) -> None:
    async with shelf.writer("k", None) as writer:
        await writer.write(b"one")
        assert [chunk async for chunk in writer.read(0)] == [b"one"]
        await writer.write(b"two")
        assert [chunk async for chunk in writer.read(3)] == [b"two"]
        assert [chunk async for chunk in writer.read(6)] == []
        stored = await writer.commit()
        assert stored is not None
        shelf.purge("all")
        shelf.cache.flush()
        assert [chunk async for chunk in writer.read(2)] == [b"etwo"], "who asked before gets the rest"


async def test_a_newer_response_takes_the_place_of_an_older_one(shelf: Shelf) -> None:
    old = await shelf.kept("k", b"old", tags=["p-old"])
    new = await shelf.kept("k", b"new", tags=["p-new"])
    assert not old.alive
    assert shelf.find("k") is new
    assert shelf.purge("p-old") == 0
    assert new.alive


async def test_uses_are_counted(shelf: Shelf) -> None:
    stored = await shelf.kept("k", b"")
    for _ in range(9):
        shelf.find("k")
        touch(stored)
    assert stored.frequency == 3


async def test_variants_stand_beside_each_other(shelf: Shelf) -> None:
    made = {}
    for language in ("de", "en", "fr"):
        variant = variant_of(("accept-language",), CIMultiDict({"Accept-Language": language}))
        made[language] = await shelf.kept("k", language.encode(), variant=variant, tags=["p"])
    for language, stored in made.items():
        assert shelf.find("k", **{"Accept-Language": language}) is stored
    assert shelf.find("k", **{"Accept-Language": "it"}) is None
    assert shelf.find("k") is None
    assert shelf.purge("p") == 3
    assert shelf.find("k", **{"Accept-Language": "de"}) is None


async def test_of_several_that_match_the_newest_is_chosen(shelf: Shelf) -> None:
    """The origin has changed its mind about Vary (RFC 9111 section 4.1)."""
    variant = (("accept-language", "de"),)
    plain = await shelf.kept("k", b"plain", responded_at=10.0)
    varied = await shelf.kept("k", b"varied", variant=variant, responded_at=20.0)
    assert shelf.find("k", **{"Accept-Language": "de"}) is varied
    assert shelf.find("k", **{"Accept-Language": "en"}) is plain
    again = await shelf.kept("k", b"plain again", responded_at=30.0)
    assert shelf.find("k", **{"Accept-Language": "de"}) is again


async def test_the_number_of_variants_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, disk_bytes=0, max_variants=4) as shelf:
        liked = await shelf.kept("k", b"", variant=(("accept-language", "de"),))
        for _ in range(3):
            shelf.find("k", **{"Accept-Language": "de"})
        for number in range(50):
            await shelf.kept("k", b"", variant=(("accept-language", f"x{number}"),))
        assert len(shelf.cache.peek("k")) == 4
        assert liked.alive, "who asks for nonsense cannot turn out what others read"


async def test_a_hard_purge_removes_at_once(shelf: Shelf) -> None:
    first = await shelf.kept("a", b"1", tags=["p-1", "all"])
    second = await shelf.kept("b", b"2", tags=["p-2", "all"])
    assert shelf.purge("p-1", "p-3") == 1
    assert (first.alive, second.alive) == (False, True)
    assert shelf.find("a") is None
    assert shelf.purge("all") == 1
    assert shelf.figure("objects", tier="memory") == 0
    assert shelf.figure("bytes", tier="memory") == 0


async def test_a_soft_purge_marks_stale(shelf: Shelf) -> None:
    stored = await shelf.kept("a", b"1", tags=["p-1"])
    assert shelf.purge("p-1", soft=True) == 1
    assert not stored.alive, "whatever was made of it says that it is fresh"
    marked = shelf.find("a")
    assert marked is not None
    assert marked.soft_purged
    assert marked.alive
    assert await shelf.body(marked) == b"1"
    refreshed = shelf.cache.refresh(marked, NEW, HOUR, 2_000_000.0, shelf.generations.clock)
    assert refreshed is not None
    assert not refreshed.soft_purged
    assert shelf.purge("p-1") == 1


async def test_a_fill_that_a_purge_overtakes_is_not_kept(shelf: Shelf) -> None:
    async with shelf.writer("k", None, tags=["p-1"]) as writer:
        await writer.write(b"old")
        shelf.purge("p-1")
        assert await writer.commit() is None
    assert shelf.find("k") is None
    assert shelf.figure("unkept_total", reason="overtaken") == 1


@pytest.mark.parametrize("what", ["soft", "drop", "flush", "tag"])
async def test_nor_by_anything_like_a_purge(shelf: Shelf, what: str) -> None:
    async with shelf.writer("k", None, tags=["p-1"]) as writer:
        match what:
            case "soft":
                shelf.purge("p-1", soft=True)
            case "drop":
                shelf.cache.drop("k")
            case "flush":
                shelf.cache.flush()
            case "tag":
                shelf.purge("p-2")
        assert (await writer.commit() is not None) is (what == "tag")


async def test_a_304_updates_what_is_stored(shelf: Shelf) -> None:
    old = await shelf.kept("k", b"body", tags=["p-1"])
    touch(old)
    touch(old)
    new = shelf.cache.refresh(old, NEW, SHORT, 2_000_000.0, shelf.generations.clock, tags=frozenset({"p-2"}))
    assert new is not None
    assert shelf.cache.peek("k") == [new]
    assert (old.alive, new.alive) == (False, True)
    assert (new.headers, new.policy, new.responded_at, new.body) == (NEW, SHORT, 2_000_000.0, b"body")
    assert new.frequency == 2
    assert shelf.purge("p-1") == 0
    assert shelf.purge("p-2") == 1


async def test_a_304_that_a_purge_overtakes_changes_nothing(shelf: Shelf) -> None:
    stored = await shelf.kept("k", b"body", tags=["p-1"])
    born = shelf.generations.clock
    shelf.purge("p-1", soft=True)
    (marked,) = shelf.cache.peek("k")
    assert shelf.cache.refresh(stored, NEW, HOUR, 2_000_000.0, born) is None
    assert shelf.cache.refresh(marked, NEW, HOUR, 2_000_000.0, born) is None
    assert shelf.cache.peek("k") == [marked]


async def test_a_304_for_what_was_purged_brings_nothing_back(shelf: Shelf) -> None:
    stored = await shelf.kept("k", b"body", tags=["p-1"])
    shelf.purge("p-1")
    assert shelf.cache.refresh(stored, NEW, HOUR, 2_000_000.0, shelf.generations.clock) is None
    assert shelf.find("k") is None


async def test_a_304_that_brings_a_purged_tag_is_refused(shelf: Shelf) -> None:
    stored = await shelf.kept("k", b"body", tags=["p-1"])
    born = shelf.generations.clock
    shelf.purge("p-2")
    assert shelf.cache.refresh(stored, NEW, HOUR, 2_000_000.0, born, tags=frozenset({"p-2"})) is None
    assert stored.alive


async def test_drop_removes_every_variant(shelf: Shelf) -> None:
    await shelf.kept("k", b"1")
    await shelf.kept("k", b"2", variant=(("accept-language", "de"),))
    await shelf.kept("other", b"3")
    assert shelf.cache.drop("k") == 2
    assert shelf.cache.peek("k") == []
    assert shelf.find("other") is not None


async def test_flush_removes_everything(shelf: Shelf) -> None:
    made = [await shelf.kept(f"k{number}", b"body", tags=["p"]) for number in range(10)]
    shelf.cache.flush()
    assert not any(stored.alive for stored in made)
    assert shelf.figure("objects", tier="memory") == 0
    assert shelf.purge("p") == 0
    assert await shelf.put("k1", b"body") is not None


async def test_who_watches_hears_of_every_change(shelf: Shelf) -> None:
    heard: list[str] = []
    shelf.cache.watch(heard.append)
    stored = await shelf.kept("a", b"1", tags=["p-1"])
    await shelf.kept("b", b"2", tags=["p-1"])
    assert heard == ["a", "b"]
    shelf.cache.refresh(stored, NEW, HOUR, 2_000_000.0, shelf.generations.clock)
    shelf.purge("p-1", soft=True)
    assert sorted(heard[2:]) == ["a", "a", "b"]
    shelf.purge("p-1")
    assert sorted(heard[5:]) == ["a", "b"]


async def test_what_is_attached_is_counted_and_ends_with_its_object(shelf: Shelf) -> None:
    stored = await shelf.kept("k", b"body")
    before = shelf.figure("bytes", tier="memory")
    stored.attached = object()
    shelf.cache.charge(stored, 5000)
    assert shelf.figure("bytes", tier="memory") == before + 5000
    shelf.cache.drop("k")
    assert stored.attached is None
    assert shelf.figure("bytes", tier="memory") == 0
    shelf.cache.charge(stored, 5000)
    assert shelf.figure("bytes", tier="memory") == 0


keys = st.sampled_from(["a", "b", "c"])
tag_sets = st.frozensets(st.sampled_from(["p-1", "p-2", "all"]))
Step = tuple[str, str, frozenset[str]]
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("put"), keys, tag_sets),
    st.tuples(st.just("late"), keys, tag_sets),
    st.tuples(st.sampled_from(["purge", "soft"]), st.just(""), tag_sets),
    st.tuples(st.sampled_from(["drop", "refresh", "find"]), keys, tag_sets),
    st.tuples(st.just("flush"), st.just(""), st.just(frozenset())),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(plan=st.lists(steps, max_size=30))
async def test_it_does_what_a_dictionary_would(tmp_path: Path, plan: list[Step]) -> None:
    async with opened(tmp_path, disk_bytes=0) as shelf:
        entries: dict[str, tuple[Stored, bytes, frozenset[str], bool]] = {}
        for number, (what, key, tags) in enumerate(plan):
            body = str(number).encode()
            match what:
                case "put":
                    entries[key] = (await shelf.kept(key, body, tags=tags), body, tags, False)
                case "late":
                    born = shelf.generations.clock
                    shelf.purge("p-1")
                    for name in [name for name, entry in entries.items() if "p-1" in entry[2]]:
                        del entries[name]
                    stored = await shelf.put(key, body, tags=tags, born=born)
                    assert (stored is None) is ("p-1" in tags)
                    if stored is not None:
                        entries[key] = (stored, body, tags, False)
                case "purge" | "soft":
                    hit = [name for name, entry in entries.items() if entry[2] & tags]
                    assert shelf.purge(*tags, soft=what == "soft") == len(hit)
                    for name in hit:
                        old = entries.pop(name)
                        assert not old[0].alive
                        if what == "soft":
                            (marked,) = shelf.cache.peek(name)
                            entries[name] = (marked, old[1], old[2], True)
                case "drop":
                    assert shelf.cache.drop(key) == (entries.pop(key, None) is not None)
                case "refresh" if key in entries:
                    old = entries[key]
                    new = shelf.cache.refresh(old[0], NEW, HOUR, 3e6, shelf.generations.clock, tags=tags)
                    assert new is not None
                    entries[key] = (new, old[1], tags, False)
                case "flush":
                    shelf.cache.flush()
                    entries.clear()
            for name in ("a", "b", "c"):
                found = shelf.find(name)
                if name not in entries:
                    assert found is None
                    continue
                stored, body, _, is_stale = entries[name]
                assert found is stored
                assert found.alive
                assert (found.body, found.soft_purged) == (body, is_stale)
        assert shelf.figure("objects", tier="memory") == len(entries)
        assert shelf.figure("bytes", tier="memory") == sum(entry[0].cost for entry in entries.values())
