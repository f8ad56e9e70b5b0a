"""A node's share in the life of the embedded server, as a process to be killed: `serving.py DATA_DIR [USER]`.

Says `ready PID DSN` when PostgreSQL answers, and ends when its standard input does. When started by root it can become
an ordinary user: only here, because that user may not be able to read the modules.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from pathlib import Path

import uvloop

from pastebin.embedded import binaries
from pastebin.embedded.claims import claim
from pastebin.embedded.server import primary
from pastebin.errors import StartError
from pastebin.sections import EmbeddedSection


async def serve(data_dir: Path) -> None:
    async with primary(EmbeddedSection(durable=False), data_dir) as server:
        print("ready", server.pid, server.dsn, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def become(name: str) -> None:
    # loads what is loaded late
    binaries.find()
    user = pwd.getpwnam(name)
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        become(sys.argv[2])
    try:
        with claim(Path(sys.argv[1])), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(Path(sys.argv[1])))
    except StartError as error:
        sys.exit(error.detail)
