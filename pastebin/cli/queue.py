"""`pastebin queue`: how far the caches are, what they refuse, and what is to become of that."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from pastebin import embedded, log, roles
from pastebin.cli import settings
from pastebin.cli.messages import printable, tell
from pastebin.config import Config
from pastebin.errors import ConfigError, PastebinError, Problem, ResourceUnavailable
from pastebin.resources import Needs
from pastebin.store.cursors import Cursors, TargetReport
from pastebin.store.database import Database
from pastebin.store.dead_letters import DeadLetters, Letter

SUMMARY = "look after the queue of purges: status, list, requeue or discard what caches refuse, forget a cache"

ACTIONS = {
    "status": "every target: how many changes it has not been told of, the age of the oldest, what is wrong with it",
    "list": "what a target has refused too often",
    "requeue": "try that again, as if for the first time",
    "discard": "give it up; the cache may keep what it has until that expires",
    "forget": "have nobody wait for a target that was taken out of the configuration",
}
_KEYS_SHOWN = 5
_LARGEST_ID = 2**63 - 1


def configure(parser: argparse.ArgumentParser, action: str) -> None:
    takes_ids = action in ("requeue", "discard")
    if takes_ids:
        parser.add_argument("ids", metavar="ID", nargs="*", type=_id, default=[], help="as list shows it")
        parser.add_argument("--all", action="store_true", help="all of them, or of --target")
    else:
        parser.set_defaults(ids=[])
    parser.add_argument(
        "--target",
        metavar="NAME",
        type=_target,
        required=action == "forget",
        help="as status shows it" if action == "forget" else "of this target only",
    )
    if action == "list":
        parser.add_argument("--waiting", action="store_true", help="also what is still tried")
    settings.configure_database(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 if it was done; 1 if an ID or a target is not known; status: 1 if a target fails, has no worker, or refuses
    something.
    """
    config = settings.load(arguments)
    if arguments.action in ("requeue", "discard") and bool(arguments.ids) == arguments.all:
        raise ConfigError([Problem(f"queue {arguments.action}", "needs IDs as list shows them, or --all")])
    log.configure(level="warning", style=config.node.log_style, node=config.node.name)
    return ran(_run(config, arguments))


def ran(work: Coroutine[Any, Any, int]) -> int:
    """The exit code of the work; what goes wrong in it is raised as the one error that it is."""
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


async def _run(config: Config, arguments: argparse.Namespace) -> int:
    target, ids = arguments.target, arguments.ids or None
    async with opened_database(config) as database:
        letters, cursors = DeadLetters(database), Cursors(database)
        reports, dead = await cursors.report(), await letters.count()
        known = {report.name for report in reports} | dead.keys()
        if target is not None and target not in known:
            tell(f"{target} is not a target; there are: {', '.join(sorted(known)) or 'none yet'}")
            return 1
        match arguments.action:
            case "status":
                return _show_status([report for report in reports if target in (None, report.name)], dead)
            case "list":
                for letter in await letters.list(target, waiting=arguments.waiting):
                    print(printable(_line(letter)))
            case "requeue":
                return _counted(await letters.requeue(ids, target), "will be tried again", arguments.ids)
            case "discard":
                return _counted(await letters.discard(ids, target), "discarded", arguments.ids)
            case "forget":
                gone_seconds = config.edge.lease_seconds + config.cdn.lease_seconds
                return _told(target, is_done=await cursors.forget(target, gone_seconds))
    return 0


@asynccontextmanager
async def opened_database(config: Config) -> AsyncIterator[Database]:
    """The database of the configuration; an embedded one must be running, for it is not started here."""
    dsn = config.database.primary.reveal()
    if config.uses_embedded:
        if Needs.DATABASE not in roles.needs_of(config.node.roles):
            what = f"a node with the roles {', '.join(config.node.roles)}"
            raise ResourceUnavailable(f"{what} has no database: use the --config or --data-dir of a cdn-worker")
        running = await asyncio.to_thread(embedded.running_dsn, config.embedded, config.data_dir)
        if running is None:
            hint = "start it, or name the node that has the database with --config or --data-dir"
            raise ResourceUnavailable(f"no node runs on {config.data_dir}: {hint}")
        dsn = running
    async with Database.opened(config.database, dsn) as database:
        yield database


def _show_status(reports: list[TargetReport], dead: dict[str, int]) -> int:
    if not reports:
        print("no targets: no worker has run with a configuration that names any")
        return 0
    is_well = True
    for report in reports:
        said = []
        if report.failure is not None:
            said.append(f"failing for {report.failing_seconds or 0:.0f} s: {report.failure}")
        if not report.is_held:
            said.append("no worker has it")
        if count := dead.get(report.name, 0):
            said.append(f"{count} dead letter{'s' if count != 1 else ''}")
        is_well = is_well and not said
        age = f", the oldest for {report.oldest_seconds:.1f} s" if report.oldest_seconds is not None else ""
        place = "to be flushed" if not report.is_current else f"{report.depth} changes behind{age}"
        print(printable(f"{report.name}: {place}" + "".join(f"; {one}" for one in said)))
    return 0 if is_well else 1


def _line(letter: Letter) -> str:
    things = (*letter.keys, *letter.urls)
    shown = " ".join(things[:_KEYS_SHOWN]) + (f" and {len(things) - _KEYS_SHOWN} more" if things[_KEYS_SHOWN:] else "")
    when = f"{letter.created_at:%Y-%m-%d %H:%M:%S}"
    return f"{letter.id}  {letter.target}  {letter.state}  {when}  {letter.attempts} attempts  {shown}: {letter.error}"


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= _LARGEST_ID):
        raise argparse.ArgumentTypeError(f"{printable(text)}: must be a number as list shows it")
    return int(text)


def _target(text: str) -> str:
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"{printable(text)}: no target has such a name")
    return text


def _counted(count: int, done: str, ids: list[int]) -> int:
    print(f"{count} {done}")
    unknown = len(set(ids)) - count
    if unknown > 0:
        tell(f"{unknown} of the IDs are not known, or not of that target: list shows those that are")
    return 1 if unknown > 0 else 0


def _told(name: str, *, is_done: bool) -> int:
    if not is_done:
        tell(f"{name} is still in use: take it out of the configuration of all workers first")
        return 1
    print(f"{name} is forgotten")
    return 0
