"""The networks of a lab: namespaces that a hub joins where this process is root, else addresses of the loopback.

With namespaces every place has an interface of its own, the hub routes between them, and a cut is a rule of the hub
that drops what goes from one place to another: packets vanish, nobody is told. Nothing routes beyond the lab; this
machine itself reaches every place by one link to the hub, which cuts do not touch.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tests.lab import objects
from tests.lab.errors import LabError
from tests.lab.plan import Place, Ports

_LABS = range(200, 240)
_HELD_PORT = 7007
_ROUTER = 254
_SECONDS = 60.0
_HUB = "hub"
_NETNS = Path("/etc/netns")


class Network(Protocol):
    """What boxes and clients stand on."""

    first: str
    ports: Ports
    is_real: bool

    def inside(self, place: Place) -> list[str]:
        """What comes before the command of a process there."""

    def client(self, place: Place) -> list[str]:
        """The same, with the name servers of the place."""

    async def cut(self, one: Place, other: Place) -> None:
        """Nothing gets from one to the other any more."""

    async def heal(self, one: Place, other: Place) -> None: ...

    async def close(self) -> None: ...


class Loopback:
    """Addresses 127.N.x.y, which need no rights; a held socket keeps N for this lab. Cuts need namespaces."""

    is_real = False

    def __init__(self, number: int, held: socket.socket) -> None:
        self.first = f"127.{number}"
        self.ports = replace(_ports(number), public=8000, dns=5353)
        self._held = held

    @classmethod
    def opened(cls) -> Loopback:
        for number in _LABS:
            held = socket.socket()
            try:
                held.bind((f"127.{number}.255.1", _HELD_PORT))
            except OSError:
                held.close()
                continue
            if objects.is_free(_ports(number).s3):
                return cls(number, held)
            held.close()
        raise LabError("there is no room for another lab on the loopback: lab down, where they run")

    def check(self, doors: Iterable[tuple[str, int]]) -> None:
        """See that boxes can listen there. Raises LabError, naming what is taken."""
        taken = [f"{host}:{port}" for host, port in doors if not _is_free(host, port)]
        if taken:
            raise LabError(f"taken already: {', '.join(taken)}; ss -ltnp says by whom, perhaps on all addresses")

    def inside(self, place: Place) -> list[str]:
        return []

    def client(self, place: Place) -> list[str]:
        return []

    async def cut(self, one: Place, other: Place) -> None:
        raise LabError("cuts need networks of their own, and these need root: sudo ./scripts/lab up")

    heal = cut

    async def close(self) -> None:
        self._held.close()


class Namespaces:
    """See above. Everything it makes bears the name of the lab, so that `remove` finds it without this object."""

    is_real = True

    def __init__(self, number: int, places: Sequence[Place]) -> None:
        self.first = f"10.{number}"
        self.name = f"pastelab{number}"
        self.ports = _ports(number)
        self._places = tuple(places)

    @classmethod
    async def opened(cls, places: Sequence[Place]) -> Namespaces:
        """Raises LabError."""
        for program in ("ip", "nsenter"):
            if shutil.which(program) is None:
                raise LabError(f"{program} is not installed; try: apt-get install iproute2 util-linux")
        number = await _claim()
        network = cls(number, places)
        try:
            await network._make()
        except BaseException:
            await remove(network.name)
            raise
        return network

    def inside(self, place: Place) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self._space(place.name)}"]

    def client(self, place: Place) -> list[str]:
        return ["ip", "netns", "exec", self._space(place.name)]

    def give_name_servers(self, place: Place, servers: Iterable[str]) -> None:
        """What the resolver of the C library asks there, for processes begun with `client`."""
        directory = _NETNS / self._space(place.name)
        directory.mkdir(parents=True, exist_ok=True)
        lines = [f"nameserver {server}\n" for server in servers]
        (directory / "resolv.conf").write_text("".join([*lines, "options timeout:1 attempts:2\n"]))

    async def cut(self, one: Place, other: Place) -> None:
        await self.heal(one, other)
        await _ip("-n", self._space(_HUB), "rule", "add", "blackhole", *self._between(one, other))

    async def heal(self, one: Place, other: Place) -> None:
        with suppress(LabError):  # there may be no such rule
            await _ip("-n", self._space(_HUB), "rule", "del", "blackhole", *self._between(one, other))

    async def close(self) -> None:
        await remove(self.name)

    def _between(self, one: Place, other: Place) -> list[str]:
        return ["from", self._net(one), "to", self._net(other)]

    def _space(self, name: str) -> str:
        return f"{self.name}-{name}"

    def _net(self, place: Place) -> str:
        return f"{self.first}.{place.number}.0/24"

    async def _make(self) -> None:
        hub, first = self._space(_HUB), self.first
        spaces = [hub, *(self._space(place.name) for place in self._places)]
        await _batch([f"netns add {space}" for space in spaces])
        await _batch(
            [
                f"link set {self.name} netns {hub} name outside",
                *(
                    f"link add eth0 netns {self._space(place.name)} type veth peer name p{place.number} netns {hub}"
                    for place in self._places
                ),
                f"addr add {first}.{_ROUTER}.1/30 dev {self.name}h",
                f"link set {self.name}h up",
            ]
        )
        lines = ["link set lo up", f"addr add {first}.{_ROUTER}.2/30 dev outside", "link set outside up"]
        for place in self._places:
            lines += [
                f"addr add {first}.{place.number}.{_ROUTER}/24 dev p{place.number}",
                f"link set p{place.number} up",
            ]
        await _batch(lines, hub)
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        await _run(["nsenter", f"--net=/run/netns/{hub}", "sh", "-c", forward])
        async with asyncio.TaskGroup() as tasks:
            for place in self._places:
                tasks.create_task(self._furnish(place), name=f"network of {place.name}")
        await _ip("route", "add", f"{first}.0.0/16", "via", f"{first}.{_ROUTER}.2")

    async def _furnish(self, place: Place) -> None:
        """Every address that a box or a client there may have is there from the beginning."""
        numbers = range(1, 41)
        await _batch(
            [
                "link set lo up",
                *(f"addr add {self.first}.{place.number}.{number}/24 dev eth0" for number in numbers),
                "link set eth0 up",
                f"route add {self.first}.0.0/16 via {self.first}.{place.number}.{_ROUTER}",
            ],
            self._space(place.name),
        )


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError:
            return False
        return True


def _ports(number: int) -> Ports:
    return Ports(s3=Ports.s3 + objects.PORTS * (number - _LABS.start))


def can_make_namespaces() -> bool:
    """Whether this process is root and the kernel lets it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, timeout=_SECONDS)
    return tried.returncode == 0


async def remove(name: str) -> None:
    """Remove the network of a lab, whatever of it is there."""
    listed = await _run(["ip", "netns", "list"])
    for line in listed.splitlines():
        space = line.split()[0] if line.split() else ""
        if space.startswith(f"{name}-"):
            with suppress(LabError):
                await _ip("netns", "del", space)
            shutil.rmtree(_NETNS / space, ignore_errors=True)
    with suppress(LabError, OSError):
        await _ip("link", "del", f"{name}h")
    with suppress(OSError):
        _NETNS.rmdir()


async def _claim() -> int:
    """A number that no other lab has: of its link only one can be made."""
    routes = await _run(["ip", "-4", "route", "show", "table", "all"])
    for number in _LABS:
        name = f"pastelab{number}"
        if f" 10.{number}." in f" {routes}" or f"\n10.{number}." in routes or not objects.is_free(_ports(number).s3):
            continue
        with suppress(LabError):
            await _ip("link", "add", f"{name}h", "type", "veth", "peer", "name", name)
            return number
    raise LabError("there is no room for another lab: lab down, where they run; or see ip link, ip route")


async def _ip(*arguments: str) -> str:
    return await _run(["ip", *arguments])


async def _batch(lines: Sequence[str], space: str = "") -> None:
    command = ["ip", *(["-n", space] if space else []), "-batch", "-"]
    await _run(command, "\n".join(lines) + "\n")


async def _run(command: Sequence[str], given: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_SECONDS):
        output, _ = await process.communicate(given.encode())
    text = output.decode(errors="replace")
    if process.returncode:
        raise LabError(f"{' '.join(command)}: {text.strip() or process.returncode}")
    return text
