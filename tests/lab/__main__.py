"""`scripts/lab COMMAND`: exit code 0, 1 for what went wrong, 2 for wrong usage."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.lab import control, doors, leavings, loading
from tests.lab.errors import LabError
from tests.lab.lab import ROOT, Client, Lab
from tests.lab.plan import Plan

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}
_DOWN_SECONDS = 60.0
_DIRECTORY = Path(tempfile.gettempdir()) / f"pastebin-lab-{os.geteuid()}"


def main(words: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    directory = Path(arguments.directory).absolute()
    try:
        return int(arguments.run(arguments, directory) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/lab", description="The whole diagram on this machine.")
    parser.add_argument("--directory", default=str(_DIRECTORY), help=f"of everything it writes ({_DIRECTORY})")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Any, told: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=told, description=told)
        command.set_defaults(run=run)
        return command

    up = add("up", _up, "start everything, and print where its doors are")
    up.add_argument("--regions", default="us,eu,il,jp", help="the primary of PostgreSQL is in the first")
    up.add_argument("--replicas", type=int, default=3)
    up.add_argument("--workers", type=int, default=3)
    up.add_argument("--loopback", action="store_true", help="no namespaces, even as root")
    supervise = commands.add_parser("supervise")  # what `up` starts: no help, so that it is not listed
    supervise.set_defaults(run=_supervise)
    supervise.add_argument("plan")
    status = add("status", _status, "how every box is")
    status.add_argument("--json", action="store_true")
    for name, told in _VERBS.items():
        command = add(name, _verb, told)
        command.set_defaults(do=name)
        command.add_argument("names", nargs="+", metavar="NAME", help="of a box, or of a region: all that is in it")
        if name == "kill":
            command.add_argument("--stays", action="store_true", help="it is not started again")
    lag = add("lag", _lag, "have a replica replay so much later; 0s: at once")
    lag.add_argument("name", metavar="REPLICA")
    lag.add_argument("seconds", type=_seconds, metavar="DURATION", help="such as 10s or 500ms")
    for name, told in (
        ("cut", "nothing gets from one region to the other, nor back"),
        ("heal", "undo cuts; all, or one"),
    ):
        command = add(name, _cut, told)
        command.set_defaults(do=name)
        command.add_argument("places", nargs="*" if name == "heal" else 2, metavar="REGION")
        command.add_argument("--one-way", action="store_true", help="only from the first to the second")
    run = add("run", _run, "run a command as a client of a region, with its name servers")
    run.add_argument("region")
    run.add_argument("command", nargs=argparse.REMAINDER)
    load = add("load", _load, "clients of all regions create and read; figures by region, live")
    load.add_argument("--seconds", type=_seconds, default=0.0, help="for so long; else until Ctrl-C")
    load.add_argument("--rate", type=float, default=20.0, help="requests per second and region")
    add("down", _down, "end everything and remove it, also what a crash has left")
    return parser


_VERBS = {
    "kill": "SIGKILL; comes again within a second",
    "stop": "end it in order; stays down",
    "start": "start what was stopped",
    "freeze": "SIGSTOP: there, and silent",
    "thaw": "SIGCONT",
}


def _up(arguments: argparse.Namespace, directory: Path) -> int:
    plan = Plan(tuple(arguments.regions.split(",")), arguments.replicas, arguments.workers)
    if problems := list(plan.problems()):
        raise LabError("; ".join(problems))
    with suppress(LabError):
        control.ask(directory, "status")
        print(f"lab: a lab is up in {directory} already; see it with status, end it with down", file=sys.stderr)
        return 1
    begun = time.monotonic()
    text = json.dumps(
        {"regions": plan.regions, "replicas": plan.replicas, "workers": plan.workers, "loopback": arguments.loopback}
    )
    command = [sys.executable, "-m", "tests.lab", f"--directory={directory}", "supervise", text]
    child = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        if not _follow(child):
            return child.wait() or 1
    except KeyboardInterrupt:
        child.send_signal(signal.SIGTERM)
        child.wait()
        raise
    status = control.ask(directory, "status")
    print(doors.table(status))
    print(f"up in {time.monotonic() - begun:.0f} s")
    is_usual = str(directory) == str(_DIRECTORY)
    print(doors.hints(status, "scripts/lab" if is_usual else f"scripts/lab --directory {shlex.quote(str(directory))}"))
    return 0


def _follow(child: subprocess.Popen[str]) -> bool:
    """Tell what the supervisor tells, until it is up (True) or has ended."""
    assert child.stdout is not None
    for line in child.stdout:
        if line == "up\n":
            return True
        print(f"lab: {line.rstrip()}", file=sys.stderr, flush=True)
    return False


def _supervise(arguments: argparse.Namespace, directory: Path) -> int:
    """The process that looks after the lab: its output goes to who has started it until it is up, then to a file."""
    given = json.loads(arguments.plan)
    plan = Plan(tuple(given["regions"]), given["replicas"], given["workers"])

    async def supervise() -> None:
        loop, task, ended = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        assert task is not None
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        is_real = False if given["loopback"] else None
        async with Lab.up(plan, directory, told=lambda text: print(text, flush=True), is_real=is_real) as lab:
            token = directory / "admin-token"
            token.touch(mode=0o600)
            token.write_text(lab.secrets.admin + "\n")
            async with control.answering(lab, ended):
                print("up", flush=True)
                with (directory / "supervisor.log").open("ab") as log:
                    os.dup2(log.fileno(), 1)
                    os.dup2(log.fileno(), 2)
                await ended.wait()

    try:
        with suppress(asyncio.CancelledError):
            asyncio.run(supervise())
    except LabError as error:
        print(error, flush=True)
        return 1
    return 0


def _status(arguments: argparse.Namespace, directory: Path) -> None:
    status = control.ask(directory, "status")
    print(json.dumps(status, indent=2) if arguments.json else doors.table(status))


def _verb(arguments: argparse.Namespace, directory: Path) -> None:
    more = {"stays": True} if getattr(arguments, "stays", False) else {}
    for name in arguments.names:
        control.ask(directory, arguments.do, name=name, **more)


def _lag(arguments: argparse.Namespace, directory: Path) -> None:
    control.ask(directory, "lag", name=arguments.name, seconds=arguments.seconds)


def _cut(arguments: argparse.Namespace, directory: Path) -> None:
    if len(arguments.places) not in (0, 2):
        raise LabError("name two regions, or none")
    names = dict(zip(("one", "other"), arguments.places, strict=False))
    control.ask(directory, arguments.do, **names, one_way=arguments.one_way)


def _run(arguments: argparse.Namespace, directory: Path) -> None:
    command = [word for index, word in enumerate(arguments.command) if index or word != "--"]
    if not command:
        raise LabError("name a command, such as: scripts/lab run eu curl http://paste.lab/")
    client = Client(**control.ask(directory, "client", region=arguments.region))
    argv = [*client.argv, *command]
    try:
        os.execvp(argv[0], argv)  # noqa: S606  (what the person at the terminal wants)
    except OSError as error:
        raise LabError(f"{command[0]}: {error.strerror}") from None


def _load(arguments: argparse.Namespace, directory: Path) -> int:
    regions = control.ask(directory, "status")["regions"]
    clients = {region: Client(**control.ask(directory, "client", region=region)) for region in regions}
    return loading.show(clients, arguments.seconds, arguments.rate)


def _down(_arguments: argparse.Namespace, directory: Path) -> None:
    owner = leavings.supervisor(directory)
    if owner is None and not directory.exists():
        print(f"lab: no lab is up in {directory}")
        return
    if owner is not None:
        try:
            control.ask(directory, "down")
        except LabError:
            if "supervise" not in owner.cmdline():  # a test that runs one by itself
                raise LabError(f"process {owner.pid} runs a lab in {directory}; end that one first") from None
        try:
            owner.wait(_DOWN_SECONDS)
        except psutil.TimeoutExpired:
            owner.kill()
            owner.wait(_DOWN_SECONDS)
    asyncio.run(leavings.clear(directory))


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration, such as 10s, 500ms or 2m")
    return float(match[1]) * _UNITS[match[2]]


if __name__ == "__main__":
    sys.exit(main())
