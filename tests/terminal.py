"""A terminal with a program in it, for tests: what is on its screen, and keys that are pressed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pyte

DOWN = "\x1b[B"
ENTER = "\r"
TAB = "\t"
_LINES, _COLUMNS = 60, 100
# who runs the tests may have said how large another terminal is
_ENVIRONMENT = {
    "TERM": "vt220",
    "NO_COLOR": "1",
    "LC_ALL": "C.UTF-8",
    "LINES": str(_LINES),
    "COLUMNS": str(_COLUMNS),
}
_SECONDS = 120.0
_STILL_SECONDS = 0.3
# what answers one key comes at once, as soon as it comes; a key that changes nothing is answered by nothing
_ANSWER_SECONDS = 3.0
_STROKE_SECONDS = 0.06
_MOST_KEYS = 120


class Terminal:
    """What a program shows on a screen of 60 lines, and who types there."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._screen = pyte.Screen(_COLUMNS, _LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = asyncio.Event()

    def read(self) -> None:
        """Take what has come from the program."""
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # EIO: the program has ended
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self._stream.feed(data)
        self._changed.set()

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def place(self) -> str:
        """The line of the cursor, and those with something in reverse: programs show where they are in either way."""
        lines = self._screen.display[: _LINES - 3]
        buffer = self._screen.buffer
        marked = [line for y, line in enumerate(lines) if any(buffer[y][x].reverse for x in range(_COLUMNS))]
        return "\n".join([self._screen.display[self._screen.cursor.y], *marked])

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something to be on the screen."""
        try:
            async with asyncio.timeout(_SECONDS):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"the screen stays as it is, at {self.place!r}:\n{self.text}") from None

    async def shows(self, words: str) -> None:
        await self.until(lambda: words in self.text)

    async def settled(self, seconds: float = _STILL_SECONDS) -> None:
        """Wait until the program has nothing more to say for a moment."""
        self._changed.clear()
        while await self._says_more(seconds):
            self._changed.clear()

    async def press(self, key: str) -> None:
        """Type a key and wait for what the program does of it."""
        self._changed.clear()
        self.type(key)
        if await self._says_more(_ANSWER_SECONDS):
            await self.settled(_STROKE_SECONDS)

    async def _says_more(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def go_to(self, words: str, key: str) -> None:
        """Press `key` until the program stands at these words."""
        await self.settled()
        for _ in range(_MOST_KEYS):
            if words in self.place:
                await self.settled()
                if words in self.place:
                    return
            await self.press(key)
        raise AssertionError(f"nothing at {words!r}, but at {self.place!r}:\n{self.text}")


@asynccontextmanager
async def terminal(*command: str, **environment: str) -> AsyncIterator[Terminal]:
    """Run a program in a terminal while the block lasts."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
    loop = asyncio.get_running_loop()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, **_ENVIRONMENT, **environment},
    )
    os.close(slave)
    shown = Terminal(master)
    loop.add_reader(master, shown.read)
    try:
        yield shown
    finally:
        loop.remove_reader(master)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(master)
