"""Passwords of pastes: slow on purpose, few at a time, never on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import argon2
import pytest

from pastebin.errors import Overloaded, WrongPassword
from pastebin.models import Changes
from pastebin.services import passwords as module
from pastebin.services.passwords import Passwords
from pastebin.services.reading import Reading
from tests.stored import Stored


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


class Stuck:
    """Hashing that takes until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.threads: set[str] = set()
        self.most = self._now = 0
        self._lock = threading.Lock()
        monkeypatch.setattr(argon2.PasswordHasher, "hash", lambda _, password: self._hash(password))

    def _hash(self, password: str) -> str:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.threads.add(threading.current_thread().name)
        self.begun.release()
        assert self.go.wait(60)
        with self._lock:
            self._now -= 1
        return password[::-1]


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    made = Stuck(monkeypatch)
    yield made
    made.go.set()


@pytest.mark.parametrize("password", ["пароль 🔑", "a\0b", "x" * 1024])
async def test_the_right_one_opens_and_others_do_not(passwords: Passwords, password: str) -> None:
    encoded = await passwords.hash(password)
    assert password not in encoded or len(password) < 2
    answers = [await passwords.verify(encoded, attempt) for attempt in (password, f"{password} ")]
    assert answers == [True, False]


async def test_equal_passwords_look_different(passwords: Passwords) -> None:
    first, second = await asyncio.gather(passwords.hash("same"), passwords.hash("same"))
    assert first != second
    assert await passwords.verify(second, "same")


async def test_the_profile_is_that_of_rfc_9106(passwords: Passwords) -> None:
    """Section 4, second recommended option: argon2id, 64 MiB, 3 passes, 4 lanes, 128 bits of salt, 256 of tag."""
    chosen = argon2.extract_parameters(await passwords.hash("x"))
    assert chosen == argon2.profiles.RFC_9106_LOW_MEMORY


async def test_few_at_a_time_in_threads_of_their_own(passwords: Passwords, stuck: Stuck) -> None:
    async with asyncio.TaskGroup() as tasks:
        jobs = [tasks.create_task(passwords.hash(f"{number:02}")) for number in range(10)]
        for _ in range(2):
            assert await asyncio.to_thread(stuck.begun.acquire, timeout=60)
        stuck.go.set()
    assert [job.result() for job in jobs] == [f"{number:02}"[::-1] for number in range(10)]
    assert stuck.most == 2
    assert all(name.startswith("argon2") for name in stuck.threads)


async def test_more_than_can_wait_are_refused_at_once(passwords: Passwords, stuck: Stuck) -> None:
    async with asyncio.TaskGroup() as tasks:
        jobs = [tasks.create_task(passwords.hash("x")) for _ in range(module._WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await passwords.hash("one too many")
        stuck.go.set()
    assert {job.result() for job in jobs} == {"x"}
    assert await passwords.hash("ab") == "ba", "there is room again"


async def test_who_waits_too_long_is_refused(
    passwords: Passwords, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.01)
    for _ in range(3):
        with pytest.raises(Overloaded):
            await passwords.hash("x")
    stuck.go.set()
    monkeypatch.setattr(module, "_SECONDS", 60.0)
    assert await passwords.hash("ab") == "ba"


async def test_a_caller_who_leaves_takes_no_place(passwords: Passwords, stuck: Stuck) -> None:
    for _ in range(3):
        async with asyncio.TaskGroup() as tasks:
            jobs = [tasks.create_task(passwords.hash("x")) for _ in range(module._WAITING)]
            await asyncio.sleep(0)
            for job in jobs:
                job.cancel()
    stuck.go.set()
    assert await passwords.hash("ab") == "ba"


async def test_closing_waits_for_nobody(stuck: Stuck) -> None:
    passwords = Passwords()
    async with asyncio.TaskGroup() as tasks:
        job = tasks.create_task(passwords.hash("x"))
        assert await asyncio.to_thread(stuck.begun.acquire, timeout=60)
        passwords.close()
        assert not job.done()
        stuck.go.set()
    assert job.result() == "x"


@pytest.mark.parametrize("max_reads", [None, 5])
async def test_an_old_password_opens_nothing_once_the_new_one_is_acknowledged(
    stored: Stored, passwords: Passwords, monkeypatch: pytest.MonkeyPatch, max_reads: int | None
) -> None:
    paste = await stored.paste(password_hash=await passwords.hash("old"), max_reads=max_reads)
    reading = Reading(stored.pastes, stored.blobs, passwords)
    new = await passwords.hash("new")
    verify = passwords.verify

    async def slow(encoded: str, password: str, address: str) -> bool:
        is_right = await verify(encoded, password, address)
        monkeypatch.setattr(passwords, "verify", verify)
        await stored.pastes.revise(paste, Changes(None, {"password_hash": new}))
        return is_right

    monkeypatch.setattr(passwords, "verify", slow)
    with pytest.raises(WrongPassword):
        await reading.reveal(paste.slug, "old")
    assert (await reading.reveal(paste.slug, "new")).files[0].body == b"hello\n"
