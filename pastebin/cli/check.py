"""`pastebin check`: is this configuration right, and what is it in effect?"""

from __future__ import annotations

import argparse

from pastebin.cli import settings
from pastebin.cli.messages import tell
from pastebin.config import describe, notices
from pastebin.geodns import reloading

SUMMARY = "validate the configuration, list every problem, print what is in effect (secrets as ***)"


def configure(parser: argparse.ArgumentParser) -> None:
    settings.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 if a node could be started with it, as far as its text and that of its zone file and keys tell."""
    config = settings.load(arguments)
    if config.geodns.zone:
        reloading.load(config.geodns)
    print("\n".join(describe(config)).rstrip(), flush=True)
    for notice in notices(config):
        tell(f"notice: {notice}")
    return 0
