"""`pastebin check`: is this configuration right, and what is it in effect?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import msgspec

from pastebin import constraints
from pastebin.cli import settings
from pastebin.cli.messages import tell
from pastebin.config import Config, describe, notices
from pastebin.errors import ConfigError, Problem, ResourceUnavailable
from pastebin.geo import Geo
from pastebin.geodns import reloading

SUMMARY = "validate the configuration, list every problem, print what is in effect (secrets as ***)"


def configure(parser: argparse.ArgumentParser) -> None:
    settings.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 if a node could be started with it, as far as its text, zone file, keys and geographic database tell."""
    of_files: list[Problem] = []
    config = settings.load(arguments, lambda config: _in_files(config, of_files))
    print("\n".join(describe(config)).rstrip(), flush=True)
    for notice in (*notices(config), *of_files):
        tell(f"notice: {notice}")
    return 0


def _in_files(config: Config, of_files: list[Problem]) -> Iterator[Problem]:
    """What is wrong in the files that the configuration names; notices of what can be started with are added."""
    geodns = config.geodns
    told = {problem.field for problem in constraints.check_geodns(geodns, config.regions, config.node)}
    is_made = not geodns.file and "geodns.nameservers" in told
    if geodns.zone and "geodns.zone" not in told and not is_made and (geodns.file or geodns.nameservers):
        try:
            of_files += reloading.load(geodns)[0].notices
        except ConfigError as error:
            yield from error.problems
    try:
        with Geo.opened(msgspec.structs.replace(config.geo, networks={})):  # of these the text tells everything
            pass
    except ResourceUnavailable as error:
        yield Problem("geo.database", str(error).removeprefix("geo.database: "))
