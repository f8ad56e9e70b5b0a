"""Places in memory: each for one, and never written over while a socket has them to send."""

from __future__ import annotations

import os
import socket

import pytest

from pastebin.cdn.arena import Arena, Held

PLACE = 64 * 1024


def held(arena: Arena, data: bytes) -> Held:
    found = arena.hold(data)
    assert isinstance(found, Held)
    return found


def test_everybody_has_a_place_while_there_are_some() -> None:
    arena = Arena(2, PLACE)
    one, other = held(arena, b"a" * PLACE), held(arena, b"bcd")
    assert (len(one), bytes(one)) == (PLACE, b"a" * PLACE)
    assert (len(other), bytes(other), bytes(other.part(1, 2))) == (3, b"bcd", b"c")
    more = b"more"
    assert arena.hold(more) is more


def test_a_place_is_free_when_nobody_has_any_of_it() -> None:
    arena = Arena(1, PLACE)
    one = held(arena, b"abc")
    part = one.part(1, 3)
    del one
    assert arena.hold(b"more") == b"more"
    assert bytes(part) == b"bc"
    del part
    assert bytes(held(arena, b"more")) == b"more"


def test_what_is_being_sent_stays_what_it_was() -> None:
    arena = Arena(1, PLACE)
    one = held(arena, b"a" * PLACE)
    near, far = socket.socketpair()
    with near, far:
        assert os.sendfile(near.fileno(), one.descriptor, one.start, len(one)) == PLACE
        del one
        other = held(arena, b"b" * PLACE)
        assert far.recv(PLACE, socket.MSG_WAITALL) == b"a" * PLACE
        assert bytes(other) == b"b" * PLACE


def test_parts_outlive_the_arena() -> None:
    one = held(Arena(1, PLACE), b"abc")
    assert bytes(one.part(0, 2)) == b"ab"


def test_without_such_files_everything_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "memfd_create", refused)
    assert Arena(1, PLACE).hold(b"abc") == b"abc"
