"""The units for systemd: what systemd itself says of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pastebin.inherited import DOORS
from tests.programs import require

UNITS = Path(__file__).resolve().parent.parent / "scripts" / "systemd"


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_a_unit_leaves_little_exposed(unit: Path) -> None:
    analyze = require("systemd-analyze")
    said = subprocess.run(
        [analyze, "security", "--offline=true", str(unit)], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert level is not None, said
    assert float(level[1]) <= 1.5


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """With instances for templates, and a program that exists."""
    analyze = require("systemd-analyze")
    asked = []
    for unit in UNITS.iterdir():
        text = re.sub("^ExecStart=.*", "ExecStart=/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
        asked.append(unit.name.replace("@", "@one"))
    said = subprocess.run(
        [analyze, "verify", "--man=no", *(f"./{name}" for name in asked)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert len(asked) == 4


def test_sockets_have_the_names_of_doors() -> None:
    for unit in UNITS.glob("*.socket"):
        text = unit.read_text(encoding="utf-8")
        name = re.search("^FileDescriptorName=(.*)$", text, re.MULTILINE)
        assert name is not None
        assert name[1] in DOORS
        assert unit.name == f"pastebin-{name[1]}@.socket"


def test_both_units_say_the_same_but_for_their_names() -> None:
    single, template = (
        [line for line in (UNITS / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        for name in ("pastebin.service", "pastebin@.service")
    )
    different = {line.partition("=")[0] for line in set(single) ^ set(template)}
    assert different == {"Description", "ExecStart", "StateDirectory"}
