"""A node's share in the life of the embedded server, as a process to be killed: `serving.py DATA_DIR`.

Says `ready PID` when PostgreSQL answers, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from pastebin.config import EmbeddedSection
from pastebin.embedded.claims import claim
from pastebin.embedded.server import primary
from pastebin.errors import StartError


async def serve(data_dir: Path) -> None:
    async with primary(EmbeddedSection(durable=False), data_dir) as server:
        print("ready", server.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    try:
        with claim(Path(sys.argv[1])), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(Path(sys.argv[1])))
    except StartError as error:
        sys.exit(error.detail)
