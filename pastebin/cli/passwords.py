"""Passwords and owner tokens from a file or the terminal, never the command line, which others can see."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path

from pastebin.cli.failures import LocalFileError, UsageError, as_local_error

_TERMINAL = "/dev/tty"


def configure(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add --password and --password-file."""
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--password", action="store_true", help=purpose)
    ways.add_argument("--password-file", metavar="FILE", help="take the password from the first line of FILE")


def choose(arguments: argparse.Namespace, *, confirm: bool = False) -> str | None:
    """The password that the options of `configure` ask for, or None. Raises UsageError, LocalFileError."""
    if arguments.password_file is not None:
        return read_secret(arguments.password_file)
    if not arguments.password:
        return None
    password = ask("Password: ")
    if confirm and ask("Password again: ") != password:
        raise UsageError("the two passwords differ")
    return password


def read_secret(path: str) -> str:
    """The first line of a file, which must not be empty."""
    with as_local_error(path), Path(path).open("rb") as file:
        line = file.readline(4096).rstrip(b"\r\n")
    try:
        secret = line.decode("utf-8")
    except UnicodeDecodeError:
        raise LocalFileError(f"{path}: is not UTF-8 text") from None
    if not secret:
        raise LocalFileError(f"{path}: its first line is empty")
    return secret


def ask(prompt: str) -> str:
    """Ask on the terminal, without echo, wherever standard input comes from. Raises UsageError."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise UsageError(
            f"there is no terminal to ask for it ({prompt.rstrip(': ')}); use the option for a file"
        ) from None
    try:
        secret = getpass.getpass(prompt)
    except EOFError:
        secret = ""
    if not secret:
        raise UsageError("nothing was entered")
    return secret
