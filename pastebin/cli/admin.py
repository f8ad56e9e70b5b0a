"""`pastebin admin`: complaints about pastes, and what becomes of them."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack

from pastebin import log
from pastebin.cli import settings
from pastebin.cli.messages import printable, tell
from pastebin.cli.queue import opened_database, ran
from pastebin.config import Config
from pastebin.errors import ConfigError, PasteNotFound, Problem
from pastebin.services.moderating import Moderating
from pastebin.services.purging import Purging
from pastebin.store.complaints import Complaint, Complaints
from pastebin.store.cursors import Cursors
from pastebin.store.pastes import Pastes

SUMMARY = "look after pastes that somebody complains about: reports, take-down, dismiss"

_EPILOG = """\
reports    complaints about pastes that are still there, oldest first.
take-down  take the paste SLUG away everywhere, for good, and wait until every cache knows.
dismiss    forget the complaints about the paste SLUG; it stays.
"""
_PURGE_SECONDS = 15.0
_REASON_CHARACTERS = 500


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("action", choices=("reports", "take-down", "dismiss"))
    parser.add_argument("slug", metavar="SLUG", nargs="?", help="take-down, dismiss: the last part of its address")
    parser.add_argument("--reason", default="", help="take-down: why, for the records")
    settings.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 if it was done; 1 if there is no such paste, no complaint about it, or some cache does not know in time."""
    config = settings.load(arguments)
    if bool(arguments.slug) != (arguments.action != "reports"):
        message = "takes no SLUG" if arguments.slug else "needs a SLUG"
        raise ConfigError([Problem(f"admin {arguments.action}", message)])
    if len(arguments.reason) > _REASON_CHARACTERS or not arguments.reason.isprintable():
        allowed = f"must be at most {_REASON_CHARACTERS} printable characters"
        raise ConfigError([Problem(f"admin {arguments.action} --reason", allowed)])
    log.configure(level="error", style=config.node.log_style, node=config.node.name)
    return ran(_run(config, arguments))


async def _run(config: Config, arguments: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(opened_database(config))
        pastes = await stack.enter_async_context(Pastes.opened(database, config.blobs.inline_max_bytes))
        gone_seconds = config.edge.lease_seconds + config.cdn.lease_seconds
        purging = Purging.opened(Cursors(database), seconds=_PURGE_SECONDS, gone_seconds=gone_seconds)
        moderating = Moderating(pastes, Complaints(database), await stack.enter_async_context(purging))
        match arguments.action:
            case "reports":
                for complaint in await moderating.complaints():
                    print(printable(_line(complaint)))
                return 0
            case "dismiss":
                count = await moderating.dismiss(arguments.slug)
                print(f"{count} dismissed")
                return 0 if count else 1
        try:
            purge = await moderating.take_down(arguments.slug, arguments.reason)
        except PasteNotFound:
            tell(f"{arguments.slug}: there is no such paste, or it is gone already")
            return 1
        print(f"{arguments.slug} is taken down; {purge.confirmed} of {purge.known} caches know it")
        return 0 if purge.is_confirmed else 1


def _line(complaint: Complaint) -> str:
    details = f": {complaint.details}" if complaint.details else ""
    when = f"{complaint.created_at:%Y-%m-%d %H:%M:%S}"
    return f"{when}  {complaint.slug}  {complaint.reason}  {complaint.of_paste} in all{details}"
