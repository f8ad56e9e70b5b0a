"""The command `pastebin`: one module for each subcommand, imported only when it is asked for.

A command module has `SUMMARY: str`, `configure(parser)`, which adds its arguments, and `run(arguments) -> int`,
which returns the exit code. A PastebinError is shown as lines on standard error; its `exit_code`, or 1, is the
exit code. One that has several things to do names them in `ACTIONS: dict[str, str]`, each with its summary, and has
`configure(parser, action)`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from pastebin import __version__
from pastebin.cli.messages import tell
from pastebin.errors import PastebinError

COMMANDS = {
    "serve": "pastebin.cli.serve",
    "check": "pastebin.cli.check",
    "migrate": "pastebin.cli.migrate",
    "dnssec": "pastebin.cli.dnssec",
    "blobs": "pastebin.cli.blobs",
    "queue": "pastebin.cli.queue",
    "admin": "pastebin.cli.admin",
    "put": "pastebin.cli.put",
    "tail": "pastebin.cli.tail",
    "get": "pastebin.cli.get",
    "rm": "pastebin.cli.rm",
    "ls": "pastebin.cli.ls",
}

INTERRUPTED = 130
BROKEN_PIPE = 141
BUG = 70


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code, and raises nothing but argparse's SystemExit."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except PastebinError as error:
        tell(error.detail)
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except OSError as error:
        tell(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
        _silence_stdout()
        return 4
    except Exception as error:  # whoever meets a bug gets one line; python -X dev shows where it is
        if sys.flags.dev_mode:
            raise
        tell(f"this is a bug: {type(error).__name__}: {error}")
        return BUG
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        _overview().parse_args(arguments)
        return 2
    module = import_module(COMMANDS[arguments[0]])
    parser = argparse.ArgumentParser(prog=f"pastebin {arguments[0]}", description=module.SUMMARY)
    rest = arguments[1:]
    if hasattr(module, "ACTIONS"):
        if not rest or rest[0] not in module.ACTIONS:
            _explain_actions(parser, module.ACTIONS).parse_args(rest)
            return 2
        action, *rest = rest
        parser = argparse.ArgumentParser(prog=f"{parser.prog} {action}", description=module.ACTIONS[action])
        parser.set_defaults(action=action)
        module.configure(parser, action)
    else:
        module.configure(parser)
    # options may stand between files; before Python 3.12 that way of parsing does not know `--`
    parse = parser.parse_args if "--" in arguments else parser.parse_intermixed_args
    return int(module.run(parse(rest)))


def _explain_actions(parser: argparse.ArgumentParser, actions: dict[str, str]) -> argparse.ArgumentParser:
    """What explains a command that is told what to do by the word behind it."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = "".join(f"  {name:10} {summary}\n" for name, summary in actions.items())
    parser.epilog = f"actions:\n{lines}\n'{parser.prog} ACTION --help' tells more."
    parser.add_argument("action", choices=actions, metavar="ACTION")
    return parser


def _overview() -> argparse.ArgumentParser:
    """What `pastebin --help` shows, and what explains an unknown command."""
    parser = _Overview(prog="pastebin", description="A paste service: its server and its client.")
    parser.add_argument("--version", action="version", version=f"pastebin {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    return parser


class _Overview(argparse.ArgumentParser):
    """The commands with their summaries, which are imported only to be shown."""

    def format_help(self) -> str:
        commands = "".join(f"  {name:10} {import_module(path).SUMMARY}\n" for name, path in COMMANDS.items())
        return f"{super().format_help()}\ncommands:\n{commands}\n'pastebin COMMAND --help' tells more.\n"


def _silence_stdout() -> None:
    """Let the interpreter's last flush of standard output meet nothing that could fail."""
    if sys.stdout is None:
        return
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
