"""`pastebin blobs`: move the blobs of a node to another store; compare a store with the database."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, get_args

import uvloop

from pastebin import log, resources
from pastebin.cli import settings
from pastebin.cli.messages import tell
from pastebin.cli.progress import show_progress
from pastebin.config import Config
from pastebin.errors import ConfigError, PastebinError, Problem
from pastebin.loops import Loops
from pastebin.metrics import Metrics
from pastebin.resources import Needs, Resources
from pastebin.sections import BlobStore
from pastebin.services.copying import Copying

SUMMARY = "copy all blobs to another store, or sweep: compare the store with the database"

_EPILOG = """\
copy   copies every live blob from one store to the other, verifies size and SHA-256, removes nothing and may be
       run again: it goes on where it stopped. The options of both stores stand in [blobs]; a node with an embedded
       database has to be stopped meanwhile.
sweep  removes what nothing refers to any more and lists what is missing, once, as a node does by itself.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("action", choices=("copy", "sweep"))
    parser.add_argument("--from", dest="source", choices=get_args(BlobStore), help="copy: the store that has the blobs")
    parser.add_argument("--to", dest="target", choices=get_args(BlobStore), help="copy: the store that shall have them")
    parser.add_argument("--dry-run", action="store_true", help="sweep: remove nothing, tell what would be removed")
    settings.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 if everything is as it should be; 1 if a blob is missing or was not copied."""
    config = settings.load(arguments)
    log.configure(level="warning", style=config.node.log_style, node=config.node.name)
    if arguments.action == "sweep":
        return _ran(_sweep(config, dry_run=arguments.dry_run))
    if arguments.source is None or arguments.target is None or arguments.source == arguments.target:
        raise ConfigError([Problem("blobs copy", "needs --from and --to, two different stores")])
    return _ran(_copy(config, arguments.source, arguments.target))


def _ran(work: Coroutine[Any, Any, int]) -> int:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except BaseExceptionGroup as group:
        known = group.subgroup(PastebinError)
        if known is None:
            raise
        found: BaseException = known
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        raise found from None


@asynccontextmanager
async def _opened(config: Config, needs: Needs) -> AsyncIterator[Resources]:
    metrics = Metrics()
    async with asyncio.TaskGroup() as tasks, resources.opened(config, needs, metrics, Loops(tasks)) as held:
        yield held


async def _copy(config: Config, source: BlobStore, target: BlobStore) -> int:
    async with AsyncExitStack() as stack:
        held = await stack.enter_async_context(_opened(config, Needs.DATABASE))
        reading = await stack.enter_async_context(resources.open_blobs(config, source))
        writing = await stack.enter_async_context(resources.open_blobs(config, target))
        _, size = await held.leftovers.contents_size()
        with show_progress(size) as progress:
            done = await Copying(held.leftovers, reading, writing, progress.add).copy()
    print(f"{done.copied} blobs copied, {done.present} there already, {done.failed} failed")
    if done.failed:
        tell("not everything was copied; see the log above, and run the same command again")
    return 1 if done.failed else 0


async def _sweep(config: Config, *, dry_run: bool) -> int:
    async with _opened(config, Needs.DATABASE | Needs.BLOBS) as held:
        due = await held.sweeping.due() if dry_run else []
        if not dry_run:
            await held.sweeping.sweep()
        found = await held.sweeping.reconcile(dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    for entry in found.unknown:
        print(f"{verb} {entry.key}: {entry.size} bytes of {entry.modified_at:%Y-%m-%d %H:%M}, no row knows it")
    for key in due:
        print(f"would remove {key}: nothing refers to it any more")
    for key in found.missing:
        print(f"missing {key}: a paste points to it")
    print(
        f"{found.compared} blobs compared: {verb} {len(found.unknown)}, {len(found.missing)} missing,"
        f" {found.abandoned} unfinished uploads given up"
    )
    return 1 if found.missing else 0
