"""The options that commands of a node share: a configuration file and what is laid over it."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pastebin import config, sections
from pastebin.config import Config, load_environment
from pastebin.errors import ConfigError, Problem

Also = Callable[[Config], Iterable[Problem]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve`, `check` and `migrate`."""
    configure_database(parser)
    parser.add_argument(
        "--role",
        action="append",
        metavar="ROLE[,ROLE...]",
        help=f"any of {', '.join(sections.ROLE_NAMES)}; instead of [node] roles",
    )
    parser.add_argument(
        "--port", type=_port, metavar="N", help="port for everybody (default 8080; 8081 of an edge alone)"
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address for everybody (default 127.0.0.1)")
    parser.add_argument("--internal-port", type=_port, metavar="N", help="port of the internal door (default 9090)")


def configure_database(parser: argparse.ArgumentParser) -> None:
    """Add those that say which database a node has, for commands that open no door."""
    parser.set_defaults(role=None, port=None, host=None, internal_port=None)
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration; pastebin.toml lists every option (also $PASTEBIN_CONFIG)",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where the embedded database and the blobs live (default ./data)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="any other option; VALUE as in TOML, text may go without quotes",
    )


def load(arguments: argparse.Namespace, also: Also | None = None) -> Config:
    """The configuration of a command line. Raises ConfigError with every problem, see `config.load`."""
    chosen = arguments.config or load_environment("PASTEBIN_CONFIG")
    path = Path(chosen) if chosen else None
    overrides: dict[str, Any] = {}
    for text in arguments.set:
        key, separator, value = text.partition("=")
        if not separator or "." not in key:
            raise ConfigError([Problem("--set", f"{text!r} must be SECTION.KEY=VALUE, such as database.pool_size=4")])
        overrides[key.strip()] = _toml_value(value.strip())
    if arguments.role:
        overrides["node.roles"] = [
            name.strip() for names in arguments.role for name in names.split(",") if name.strip()
        ]
    if arguments.data_dir is not None:
        overrides["node.data_dir"] = arguments.data_dir
    if arguments.port is not None or arguments.host is not None:
        door = config.public_door(path, overrides)
        overrides[f"doors.{door}"] = config.with_address(path, overrides, door, arguments.host, arguments.port)
    if arguments.internal_port is not None:
        overrides["doors.internal"] = config.with_address(path, overrides, "internal", None, arguments.internal_port)
    return config.load(path, overrides, also) if also else config.load(path, overrides)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)
