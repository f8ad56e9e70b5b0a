"""`pastebin serve`: run a node."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable

import uvloop

from pastebin import inherited, log, node
from pastebin.cli import settings
from pastebin.config import Config, load_environment, notices
from pastebin.errors import StartError
from pastebin.node import Running

SUMMARY = "run a node: its roles, its doors and, unless a database is named, its own PostgreSQL"


def configure(parser: argparse.ArgumentParser) -> None:
    settings.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 after a stop that was asked for; see README, Exit codes, for what else there is."""
    config = settings.load(arguments)
    log.configure(level=config.node.log_level, style=config.node.log_style, node=config.node.name)
    for notice in notices(config):
        logging.getLogger(__name__).warning("configuration: %s", notice)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(config, lambda: settings.load(arguments)))
    except BaseExceptionGroup as group:
        started, others = group.split(StartError)
        if others is not None or started is None:
            logging.getLogger(__name__).critical("the node stopped because of an error", exc_info=group)
            print("pastebin: stopped because of an error; the log says which", file=sys.stderr)
            return 1
        raise _first(started) from None
    return 0


async def _run(config: Config, reread: Callable[[], Config]) -> None:
    async with node.signalled() as stopping:
        sockets = inherited.take(*map(load_environment, ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")))
        address = load_environment("NOTIFY_SOCKET")
        await node.run(
            config, stopping=stopping, on_ready=_settle, notify_address=address, sockets=sockets, reread=reread
        )


def _settle(running: Running) -> None:
    """What has been made until now stays: the collector need not look through it again and again, nor after every 700
    objects of requests whose objects hardly ever form circles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    _greet(running)


def _greet(running: Running) -> None:
    """What somebody who has just started it wants to know next."""
    config = running.config
    # an edge before another origin has a door of its own, and a worker has none but the internal one
    door = next(name for name in ("origin", "edge", "gateway", "internal") if name in running.doors)
    lines = [f"pastebin is ready at {running.url(door)} (roles: {', '.join(config.node.roles)})"]
    if config.uses_embedded:
        lines.append(f"data directory: {config.data_dir}")
    if "write" in config.node.roles:
        lines.append(f"try: echo hello | curl --data-binary @- {config.site.url or running.url()}/")
    print("\n".join(lines), flush=True)


def _first(group: BaseExceptionGroup[StartError]) -> StartError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, StartError)  # noqa: S101  (split() keeps nothing else)
    return found
