"""Commands of `pastebin` run in the process of the tests: to start one of their own takes a second each time."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging

from pastebin.cli import main


async def told(*arguments: str) -> tuple[int, str]:
    """Exit code, and what was printed, on a loop and a thread of its own."""
    said = io.StringIO()
    logger = logging.getLogger()
    known, level = list(logger.handlers), logger.level
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = await asyncio.to_thread(main, list(arguments))
    finally:
        for handler in set(logger.handlers).difference(known):
            logger.removeHandler(handler)
        logger.setLevel(level)
    return code, said.getvalue()
