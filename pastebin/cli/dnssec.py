"""`pastebin dnssec`: the keys of the zone, and what the parent zone has to say of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from pastebin.cli import settings
from pastebin.cli.messages import tell
from pastebin.errors import ConfigError, Problem
from pastebin.geodns import reloading

SUMMARY = "make the keys that geodns.dnssec_keys names where they are missing; print the DS records for the parent zone"


def configure(parser: argparse.ArgumentParser) -> None:
    settings.configure_database(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 when all keys are there (now)."""
    section = settings.load(arguments).geodns
    if not section.dnssec_keys or not section.zone:
        raise ConfigError([Problem("geodns.dnssec_keys", "names no key, or geodns.zone no zone")])
    for text in section.dnssec_keys:
        path = Path(text).expanduser()
        if not path.exists():
            reloading.keys_module().make(path)
            tell(f"made {path}: every name server of the zone needs this file")
    origin = section.zone.lower().rstrip(".") + "."
    wire = b"".join(bytes([len(label)]) + label.encode("ascii") for label in origin.split("."))
    for key in reloading.read_keys(section):
        ds = key.ds(wire)
        print(f"{origin} 3600 IN DS {key.tag} {ds[2]} {ds[3]} {ds[4:].hex().upper()}")
    return 0
