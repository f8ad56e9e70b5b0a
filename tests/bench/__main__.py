"""`scripts/bench [CASE ...] [--json FILE]`: exits with 1 if a case gave a wrong answer, with 0 otherwise."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import uvloop

from tests.bench import harness
from tests.bench.harness import Case, Result


def cases() -> dict[str, Case]:
    """Every file in cases/ is one, under its own name."""
    found = {}
    for path in sorted((Path(__file__).parent / "cases").glob("*.py")):
        found[path.stem] = importlib.import_module(f"tests.bench.cases.{path.stem}").CASE
    return found


async def _run(chosen: list[Case], rounds: int, seconds: float) -> list[Result]:
    return [await harness.run(case, rounds, seconds) for case in chosen]


def main() -> int:
    known = cases()
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure this checkout against yardsticks.")
    parser.add_argument("case", nargs="*", metavar="CASE", help=f"{', '.join(known)}; all of them when none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement in one round")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    arguments = parser.parse_args()
    if arguments.list:
        for case in known.values():
            print(f"{case.name:<12} {case.ours}; against {case.reference}; goal {case.goal:g}")
        return 0
    if unknown := set(arguments.case) - known.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in arguments.case or known]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(_run(chosen, arguments.rounds, arguments.seconds))
    if arguments.json:
        report = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "machine": platform.platform(),
            "cases": [result.as_json() for result in results],
        }
        arguments.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return 1 if any(result.failure for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
