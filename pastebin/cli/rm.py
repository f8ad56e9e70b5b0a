"""`pastebin rm`: delete pastes with the owner tokens that were kept when they were made."""

from __future__ import annotations

import argparse
import asyncio

from pastebin.cli import environment, passwords
from pastebin.cli.failures import CommandFailed, Refused, UsageError
from pastebin.cli.ledger import Ledger
from pastebin.cli.messages import tell
from pastebin.cli.session import Request, open_session
from pastebin.cli.target import Target, parse_target

SUMMARY = "delete pastes with the owner tokens that were kept when they were made"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("pastes", metavar="SLUG_OR_URL", nargs="+", help="which pastes; a URL names its own server")
    add(
        "--server",
        metavar="URL",
        help="where slugs are looked up; else PASTEBIN_SERVER, client.toml, or this machine",
    )
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token-file", metavar="FILE", help="the owner token, for a paste that was not made from here")
    token.add_argument("--token", action="store_true", help="ask for the owner token on the terminal")


def run(arguments: argparse.Namespace) -> int:
    """Delete what can be deleted; returns the exit code of the first failure. Raises CommandFailed."""
    targets = [parse_target(text) for text in arguments.pastes]
    if any(target.name is not None for target in targets):
        raise UsageError("a single file cannot be deleted; give the paste's own address")
    given = _given_token(arguments, len(targets))
    ledger = Ledger(environment.state_directory())
    code = 0
    for target in targets:
        try:
            _remove(target, arguments.server, given, ledger)
        except CommandFailed as error:
            tell(f"{target.slug}: {error.detail}")
            code = code or error.exit_code
    return code


def _given_token(arguments: argparse.Namespace, count: int) -> str | None:
    token: str | None = None
    if arguments.token_file is not None:
        token = passwords.read_secret(arguments.token_file)
    elif arguments.token:
        token = passwords.ask("Owner token: ")
    if token is not None and count > 1:
        raise UsageError("an owner token belongs to one paste; give one paste with it")
    return token


def _remove(target: Target, server_option: str | None, given: str | None, ledger: Ledger) -> None:
    server = target.server or environment.choose_server(server_option)
    entry = ledger.find(server, target.slug)
    token = given or (entry.token if entry else None) or environment.owner_token()
    if entry is not None and given is None:
        server = entry.server  # a token goes only to the server it came from
    if token is None:
        raise UsageError(f"no owner token is kept for it at {server}; give it with --token or --token-file")
    try:
        asyncio.run(_delete(server, target.slug, token))
    except Refused as error:
        if entry is None or not _is_gone(error):
            raise
        tell(f"{target.slug}: was gone already")
    if entry is not None:
        ledger.remove(entry.server, entry.slug)


def _is_gone(error: Refused) -> bool:
    """Whether the service itself says so; the bare 404 of some proxy must not cost the owner token."""
    return error.status == 404 and bool(error.kind)


async def _delete(server: str, slug: str, token: str) -> None:
    request = Request(method="DELETE", path=f"/api/v1/pastes/{slug}", token=token)
    async with open_session(server) as session, session.exchange(request) as response:
        purge = response.headers.get("Pastebin-Purge", "")
    if purge.startswith("partial"):
        tell(f"{slug}: deleted; some caches have not confirmed it yet ({purge})")
