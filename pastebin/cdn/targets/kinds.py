"""The one table of kinds: what `kind` in a [[cdn.targets]] table stands for."""

from __future__ import annotations

from importlib import import_module

from pastebin.cdn.targets import Opening, bunny, cloudflare, edge, fastly, varnish
from pastebin.errors import ResourceUnavailable
from pastebin.sections import TargetKind

_KINDS: dict[TargetKind, Opening] = {
    "edge": edge.opened,
    "varnish": varnish.opened,
    "fastly": fastly.opened,
    "cloudflare": cloudflare.opened,
    "bunny": bunny.opened,
}


def opening(kind: TargetKind) -> Opening:
    """What opens a target of this kind. Raises ResourceUnavailable if a package that it needs is not installed."""
    if kind in _KINDS:
        return _KINDS[kind]
    try:
        module = import_module(f"pastebin.cdn.targets.{kind}")
    except ModuleNotFoundError as error:
        raise ResourceUnavailable(
            f"cdn.targets: kind {kind} needs {error.name}, which is not installed; try: pip install 'pastebin[s3]'"
        ) from error
    opened: Opening = module.opened
    return opened
