"""What a person is shown of a lab. Pure: text from what `status` answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_MIB = 1024**2
_DOOR_NAMES = ("gateway", "edge", "origin", "dns", "postgres", "s3")


def table(status: dict[str, Any]) -> str:
    """Every box: how it is, and where its doors are."""
    rows = [("box", "region", "state", "MiB", "starts", "door", "internal door")]
    for box in status["boxes"]:
        door = next((box["doors"][name] for name in _DOOR_NAMES if name in box["doors"]), "")
        state = _state(box)
        mib = str(round(box["bytes"] / _MIB)) if box["pid"] else ""
        rows.append(
            (box["name"], box["region"] or "-", state, mib, str(box["starts"]), door, box["doors"].get("internal", ""))
        )
    total = sum(box["bytes"] for box in status["boxes"])
    ready = sum(_state(box) == "ready" for box in status["boxes"])
    lines = [*_columns(rows), "", f"{ready} of {len(status['boxes'])} boxes are ready; {total / _MIB:.0f} MiB in all"]
    lines += [f"cut: {source} -> {target}" for source, target in status["cuts"]]
    lines += [f"lag: {name} replays {seconds:g} s later" for name, seconds in status["lags"].items()]
    for box in status["boxes"]:
        notes = [box["why"]] if box["why"] and box["why"] != box["state"] else []
        lines += [f"{box['name']}: {note}" for note in (*notes, *box["warnings"])]
    return "\n".join(lines)


def hints(status: dict[str, Any], command: str = "scripts/lab") -> str:
    """What to try next."""
    regions, url = status["regions"], status["url"]
    first, last = regions[0], regions[-1]
    gateway = next(box for box in status["boxes"] if box["kind"] == "gateway")
    door = gateway["doors"]["gateway"]
    lines = [f"{command} load --seconds=20", f"{command} kill {first}-edge && {command} status"]
    if status["networks"]:
        lines.insert(0, f"{command} run {last} curl --data-binary hello {url}/")
        lines += [f"{command} cut {first} {last} && {command} heal"] if len(regions) > 1 else []
        lines += [f"in a browser: {door}/   (for its links: {gateway['address']} {status['zone']} in /etc/hosts)"]
    else:
        lines.insert(0, f"curl --data-binary hello {door}/")
        lines += [f"in a browser: {door}/", "not root, so all is on the loopback: nothing can be cut"]
    lines += [f"all nodes, live: {door}/admin/topology"]
    lines += [f"token of the administrator: {status['directory']}/admin-token", f"{command} down"]
    return "\n".join(["try:", *(f"  {line}" for line in lines)])


def _state(box: dict[str, Any]) -> str:
    if box["state"] == "up":
        lag = box["lag_seconds"]
        if box["why"]:
            return "not ready"
        return f"{lag:.0f} s late" if lag and lag >= 1 else "ready"
    return str(box["state"])


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
