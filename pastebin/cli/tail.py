"""`pastebin tail`: send standard input as it comes, for others to read meanwhile; or read such a paste."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping

from aiohttp import ClientError
from aiohttp.abc import AbstractStreamWriter

from pastebin.cli import environment
from pastebin.cli.failures import AnswerLost, Refused, UsageError, as_local_error
from pastebin.cli.ledger import Ledger
from pastebin.cli.messages import show
from pastebin.cli.put import Answer, keep, parse_answer, prepare
from pastebin.cli.session import Request, Session, open_session
from pastebin.cli.sources import Body, Source, opened
from pastebin.cli.target import Target, parse_target

SUMMARY = "send standard input as it comes, for others to follow; or follow such a paste"

_OPTIONS = ("title", "name", "syntax", "visibility", "expires_in", "slug")
# Of what the server says at the end, and of its first line.
_REASON_BYTES = 4096
_LOST_AT_MOST = 5
_PAUSE_SECONDS = 1.0


class _Quiet:
    def add(self, count: int) -> None:
        pass

    def restart(self, done: int = 0) -> None:
        pass


class _Growing(Body):
    """A body of which nothing may be there for long: the head of its request does not wait for it."""

    async def write(self, writer: AbstractStreamWriter) -> None:
        writer.send_headers()
        await super().write(writer)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paste", metavar="SLUG_OR_URL", nargs="?", default="-", help="what to follow; - (default): send standard input")
    add("--server", metavar="URL", help="where the paste is; else PASTEBIN_SERVER, client.toml, or this machine")
    sending = parser.add_argument_group("when sending")
    add = sending.add_argument
    add("--title", help="title of the paste")
    add("--name", help="name of the file")
    add("--syntax", help="language to highlight it as when it is complete (default: guessed)")
    add("--visibility", choices=("unlisted", "public", "private"), help="who may find it (default: unlisted)")
    add("--expires-in", metavar="TIME", help="seconds, 10m, 2h, 7d, 2w, an ISO 8601 duration, never")
    add("--slug", help="the last part of its address, of your own choice")
    add("--forget", action="store_true", help="do not keep the owner token; it cannot be removed from here then")


def run(arguments: argparse.Namespace) -> int:
    """Raises CommandFailed."""
    options = {name: str(value) for name in _OPTIONS if (value := getattr(arguments, name)) is not None}
    if arguments.paste == "-":
        ledger = None if arguments.forget else Ledger(environment.state_directory())
        if ledger is not None:
            prepare(ledger)
        with opened(["-"]) as sources:
            asyncio.run(_send(environment.choose_server(arguments.server), sources[0], options, ledger))
        return 0
    target = parse_target(arguments.paste)
    if arguments.server is not None and target.server is not None:
        raise UsageError("--server is for a slug; a URL names its own server")
    if options:
        raise UsageError("--title and the like are for what is sent")
    asyncio.run(_follow(target.server or environment.choose_server(arguments.server), target))
    return 0


async def _send(server: str, source: Source, options: Mapping[str, str], ledger: Ledger | None) -> None:
    """Standard input to its end. The address is shown at once."""
    request = Request(
        method="POST",
        path="/live",
        params=options,
        headers={"Accept": "application/json"},
        body=lambda: _Growing(source, _Quiet()),
        is_replayable=lambda: False,  # what was read from a pipe is gone
        is_endless=True,
    )
    async with open_session(server) as session, session.exchange(request) as response:
        answer = parse_answer(await response.content.readline(), server)
        _keep(ledger, server, answer)
        reason = bytearray()
        try:
            async for chunk in response.content.iter_any():
                reason += chunk[:_REASON_BYTES]
        except ClientError as error:
            kept = f"what had arrived by then is kept: {answer.url}"
            if said := reason.decode(errors="replace").strip():
                raise Refused(f"{said}\n{kept}") from error
            raise AnswerLost(f"{server}: the connection broke; {kept}") from error


def _keep(ledger: Ledger | None, server: str, answer: Answer) -> None:
    try:
        if ledger is not None and answer.token is not None:
            keep(ledger, server, answer, answer.token)
    finally:
        show(answer.url)


async def _follow(server: str, target: Target) -> None:
    """The bytes of a paste as they come, to its end; from where it broke off if the connection does."""
    token: str | None = None
    at = lost = 0
    async with open_session(server) as session:
        while True:
            before = at
            try:
                async for chunk in _chunks(session, target.slug, at, token):
                    with as_local_error("standard output"):
                        sys.stdout.buffer.write(chunk)
                        sys.stdout.buffer.flush()
                    at += len(chunk)
            except AnswerLost:
                lost = 1 if at > before else lost + 1
                if lost > _LOST_AT_MOST:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            except Refused as error:
                entry = Ledger(environment.state_directory()).find(server, target.slug)
                if error.status != 404 or token is not None or entry is None or entry.server != server:
                    raise
                token = entry.token
            else:
                return


async def _chunks(session: Session, slug: str, at: int, token: str | None) -> AsyncIterator[bytes]:
    request = Request(method="GET", path=f"/{slug}/tail", params={"from": str(at)}, token=token, is_endless=True)
    async with session.exchange(request) as response:
        async for chunk in response.content.iter_any():
            yield chunk
