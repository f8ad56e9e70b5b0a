"""Passwords of pastes: argon2id, off the event loop, few at a time (each costs 64 MiB and tens of milliseconds)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import argon2

from pastebin.errors import Overloaded

Result = TypeVar("Result")

_AT_ONCE = 2
_WAITING = 32
_SECONDS = 10.0
# Wrong ones of one paste from one address: enough for a person who tries what it may have been.
GUESSES, GUESSES_PER_SECOND = 10, 0.1


class Guesses(Protocol):
    """How many wrong ones an address still has for a thing."""

    def require(self, address: str, thing: str, /) -> None: ...
    def charge(self, address: str, thing: str, /) -> None: ...


class Passwords:
    """Hashes and verifies with the second recommended profile of RFC 9106, section 4 (64 MiB, 3 passes)."""

    def __init__(self, guesses: Guesses | None = None) -> None:
        self._hasher = argon2.PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self._guesses = guesses

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The encoded hash, with its own salt. Raises Overloaded."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, encoded: str, password: str, address: str = "") -> bool:
        """Whether the password is right, in constant time; `address` is whose wrong ones are counted.

        Raises Overloaded, and RateLimited after too many of those, also for the right password.
        """
        guesses = self._guesses if address else None
        if guesses is not None:
            guesses.require(address, encoded)
        is_right = await self._run(lambda: self._matches(encoded, password))
        if guesses is not None and not is_right:
            guesses.charge(address, encoded)
        return is_right

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= _WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            async with asyncio.timeout(_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise Overloaded from None
        finally:
            self._waiting -= 1
