"""scripts/serve on machines that lack something: what it says, and that it never leaves half an installation behind.

Python and pip are stand-ins on a PATH that holds nothing else but coreutils; tests/test_packaging.py uses real ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs import require

ROOT = Path(__file__).resolve().parent.parent
TOOLS = "bash cat chmod cp dirname env flock grep id mkdir mktemp readlink rm sh sha256sum sleep tail touch"

# Stands for a system's Python: says its version, may lack venv, makes environments whose pip is FAKE_PIP.
PYTHON = r"""#!/bin/sh
case "$*" in
    "--version") echo "Python @version@.0" ;;
    *version_info*) echo "@version@" ;;
    *ensurepip*) exit @bare@ ;;
    "-m venv --clear "*)
        echo "venv" >>"$FAKE_LOG"
        rm -rf "$4"
        mkdir -p "$4/bin"
        cp "$FAKE_VENV_PYTHON" "$4/bin/python"
        ;;
esac
"""
# Stands for .venv/bin/python. An interrupted pip dies before it has installed the command.
VENV_PYTHON = r"""#!/bin/sh
venv=$(dirname "$(dirname "$0")")
case "$*" in
    *version_info*) echo "True ${FAKE_VERSION:-3.11.0}" ;;
    "-Im pip --version") ;;
    "-Im pip install "*)
        echo "pip $*" >>"$FAKE_LOG"
        ! test -e "$venv/busy" || echo "two at once" >>"$FAKE_LOG"
        touch "$venv/busy"
        sleep "${FAKE_PIP_SECONDS:-0}"
        rm "$venv/busy"
        printf '%b\n' "$FAKE_PIP_SAYS"
        test "$FAKE_PIP_KILLS" != both || kill -KILL "$PPID" $$
        test "$FAKE_PIP_KILLS" != pip || kill -KILL $$
        test -z "$FAKE_PIP_SAYS" || exit 1
        printf '#!/bin/sh\nprintf "%%s\\n" pastebin "$@"\n' >"$venv/bin/pastebin"
        chmod +x "$venv/bin/pastebin"
        ;;
    "-m pytest "*)
        echo "pytest" >>"$FAKE_LOG"
        printf '%s\n' "$PWD" "$@"
        exit 3
        ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A checkout and a PATH of its own."""

    checkout: Path
    tools: Path

    def add_python(self, name: str = "python3", version: str = "3.11", *, bare: bool = False) -> None:
        _write_program(self.tools / name, PYTHON.replace("@version@", version).replace("@bare@", str(int(bare))))

    def start(self, *arguments: str, script: str = "serve", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.checkout / "scripts" / script, *arguments],
            cwd="/",
            env={
                "PATH": str(self.tools),
                "FAKE_LOG": str(self.log),
                "FAKE_VENV_PYTHON": str(self.tools / "venv-python"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def serve(self, *arguments: str, script: str = "serve", **environment: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, script=script, **environment) as process:
            out, error = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    @property
    def log(self) -> Path:
        return self.checkout.parent / "log"

    @property
    def calls(self) -> list[str]:
        """The first words of what pip and venv were asked for; emptied by reading."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line if line == "two at once" else line.split()[0] for line in lines]


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A checkout in a directory with a space, and no Python anywhere."""
    checkout = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS.split():
        (tools / tool).symlink_to(require(tool))
    _write_program(tools / "venv-python", VENV_PYTHON)
    return Machine(checkout, tools)


def apt_install(*packages: str) -> str:
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"pastebin: try: {sudo}apt-get update && {sudo}apt-get install {' '.join(packages)}"


def test_no_python_at_all(machine: Machine) -> None:
    ended = machine.serve()
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "pastebin: Python 3.11 or later is needed",
        apt_install("python3", "python3-venv") + "    (Ubuntu 22.04: python3.11 python3.11-venv)",
    ]


@pytest.mark.parametrize("version", ["3.9", "2.7"])
def test_a_python_that_is_too_old(machine: Machine, version: str) -> None:
    machine.add_python(version=version)
    ended = machine.serve()
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"pastebin: Python 3.11 or later is needed (python3 is {version})\n")


def test_a_newer_python_is_found_beside_an_old_one(machine: Machine) -> None:
    machine.add_python(version="3.9")
    machine.add_python("python3.12", version="3.12")
    _write_program(machine.tools / "python3.13", "#!/bin/sh\necho 'python3.13: not installed here' >&2\nexit 127\n")
    ended = machine.serve()
    assert ended.returncode == 0
    assert "with Python 3.12.0" in ended.stderr


def test_a_python_without_venv(machine: Machine) -> None:
    machine.add_python(bare=True)
    ended = machine.serve()
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "pastebin: python3 cannot make a virtual environment: its venv and ensurepip are missing",
        apt_install("python3-venv"),
    ]
    assert machine.calls == []


@pytest.mark.parametrize(
    ("pip", "told", "tried"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n"
            "      ERROR: No matching distribution found for setuptools>=69\n"
            "error: subprocess-exited-with-error",
            "pip cannot reach its package index: ERROR: No matching distribution found for setuptools>=69",
            "again, once the network",
        ),
        (
            "  building\n  error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory\n",
            "a dependency has no wheel for this machine and cannot be compiled: error: command",
            "apt-get install build-essential python3-dev",
        ),
        (
            "x.c:3:10: fatal error: Python.h: No such file or directory\nerror: command '/usr/bin/gcc' failed with 1",
            "a dependency has no wheel for this machine and cannot be compiled: error: command",
            "apt-get install build-essential python3-dev",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "not enough disk for ",
            "df -h ",
        ),
        ("Oh.\nERROR: Something else", "pip failed: ERROR: Something else", "install.log"),
        ("nothing that looks like an error", "pip failed: nothing that looks", "install.log"),
    ],
)
def test_what_pip_stumbled_over(machine: Machine, pip: str, told: str, tried: str) -> None:
    machine.add_python()
    ended = machine.serve(FAKE_PIP_SAYS=pip)
    assert ended.returncode == 1
    *_, what, how = ended.stderr.splitlines()
    assert what.startswith(f"pastebin: {told}")
    assert how.startswith("pastebin: try: ")
    assert tried in how
    assert machine.serve().returncode == 0


def test_options_go_through_unchanged(machine: Machine) -> None:
    machine.add_python()
    options = ["--port", "0", "--data-dir", "/a b/*", "--help", "", "$HOME"]
    ended = machine.serve(*options)
    assert ended.stdout.splitlines() == ["pastebin", "serve", *options]


def test_the_second_start_installs_nothing_and_says_nothing(machine: Machine) -> None:
    machine.add_python()
    machine.serve()
    assert machine.calls == ["venv", "pip"]
    assert machine.serve().stderr == ""
    assert machine.calls == []


@pytest.mark.parametrize("file", ["setup.cfg", "pyproject.toml"])
def test_changed_requirements_are_installed(machine: Machine, file: str) -> None:
    machine.add_python()
    machine.serve()
    with (machine.checkout / file).open("a") as stream:
        stream.write("# one more line\n")
    machine.serve()
    machine.serve()
    assert machine.calls == ["venv", "pip", "pip"]


def test_another_python_is_installed_for(machine: Machine) -> None:
    machine.add_python()
    machine.serve()
    machine.serve(FAKE_VERSION="3.11.1")
    machine.serve(FAKE_VERSION="3.11.1")
    assert machine.calls == ["venv", "pip", "pip"]


def test_an_environment_without_its_python_is_made_anew(machine: Machine) -> None:
    """As after an upgrade of the distribution."""
    machine.add_python()
    machine.serve()
    (machine.checkout / ".venv/bin/python").unlink()
    assert machine.serve().returncode == 0
    assert machine.calls == ["venv", "pip", "venv", "pip"]


@pytest.mark.parametrize("killed", ["pip", "both"])
def test_an_interrupted_installation_is_redone(machine: Machine, killed: str) -> None:
    machine.add_python()
    assert machine.serve(FAKE_PIP_KILLS=killed).returncode != 0
    assert machine.serve().returncode == 0
    assert machine.calls == ["venv", "pip", "venv", "pip"]


def test_a_failed_installation_is_tried_again(machine: Machine) -> None:
    machine.add_python()
    assert machine.serve(FAKE_PIP_SAYS="ERROR: no").returncode == 1
    assert machine.serve(FAKE_PIP_SAYS="ERROR: no").returncode == 1
    assert machine.serve().returncode == 0
    assert machine.calls == ["venv", "pip", "pip", "pip"]


def test_starts_at_the_same_time_install_once(machine: Machine) -> None:
    machine.add_python()
    starts = [machine.start(str(number), FAKE_PIP_SECONDS="0.3") for number in range(4)]
    for number, process in enumerate(starts):
        with process:
            out, _ = process.communicate(timeout=120)
        assert (process.returncode, out.splitlines()) == (0, ["pastebin", "serve", str(number)])
    assert machine.calls == ["venv", "pip"]


def test_a_link_to_the_script_is_as_good(machine: Machine, tmp_path: Path) -> None:
    machine.add_python()
    link = tmp_path / "start"
    link.symlink_to(machine.checkout / "scripts/serve")
    ended = subprocess.run(
        [link, "--help"],
        env={
            "PATH": str(machine.tools),
            "FAKE_LOG": str(machine.log),
            "FAKE_VENV_PYTHON": str(machine.tools / "venv-python"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.stdout.splitlines() == ["pastebin", "serve", "--help"]


PACKAGE_TOOL = """#!/bin/sh
echo "@tool@ $*" >>"$FAKE_LOG"
case "@tool@ $*" in dpkg-query*curl) printf installed ;; esac
"""


def test_the_suite_brings_its_own_packages(machine: Machine) -> None:
    """As root; otherwise it says what will be missing. What is there already is not asked for again."""
    machine.add_python()
    for tool in ("apt-get", "dpkg-query", "useradd"):
        _write_program(machine.tools / tool, PACKAGE_TOOL.replace("@tool@", tool))
    (machine.tools / "id").unlink()
    _write_program(machine.tools / "id", "#!/bin/sh\nexit 1\n")
    ended = machine.serve("-k", "a b", script="test")
    assert ended.returncode == 3
    place, *command = ended.stdout.splitlines()
    assert place == str(machine.checkout)
    assert command[:2] == ["-m", "pytest"]
    assert command[-2:] == ["-k", "a b"]
    lines = machine.log.read_text()
    assert "chromium" in ended.stderr
    assert "curl" not in ended.stderr
    assert ("useradd --system" in lines) == (os.geteuid() == 0)
    commands = lines.splitlines()
    installed = any("install --yes --no-install-recommends" in line and "chromium" in line for line in commands)
    assert installed == (os.geteuid() == 0)


def test_a_package_that_is_not_to_be_had_keeps_no_other_away(machine: Machine) -> None:
    if os.geteuid() != 0:
        pytest.skip("installs as root only")
    machine.add_python()
    lacking = 'case "$*" in *install*chromium-headless-shell*) exit 100 ;; esac\n'
    for tool in ("apt-get", "dpkg-query", "useradd"):
        _write_program(machine.tools / tool, PACKAGE_TOOL.replace("@tool@", tool) + (lacking * (tool == "apt-get")))
    ended = machine.serve(script="test")
    assert ended.returncode == 3
    assert "what needs chromium-headless-shell is skipped or fails" in ended.stderr
    assert "--no-install-recommends w3m\n" in machine.log.read_text()


@pytest.fixture
def ci(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """.ci/run between a scripts/test and a scripts/check that end as told."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "scripts").mkdir()

    def run(suite: str, suite_code: int, check_code: int) -> subprocess.CompletedProcess[str]:
        _write_program(tmp_path / "scripts/test", f"#!/bin/sh\necho '{suite}'\nexit {suite_code}\n")
        _write_program(tmp_path / "scripts/check", f"#!/bin/sh\necho '19 passed in 1.02s'\nexit {check_code}\n")
        return subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True, timeout=120, cwd="/")

    return run


@pytest.mark.parametrize(
    ("suite", "suite_code", "check_code", "last"),
    [
        ("==== 40 passed, 2 skipped in 3.21s ====", 0, 0, "40 passed, 0 failed"),
        ("= 2 failed, 40 passed, 1 error in 63.21s (0:01:03) =", 1, 0, "40 passed, 3 failed"),
        ("==== 40 passed in 3.21s ====", 0, 1, "40 passed, 1 failed"),
        ("= 1 failed, 3 passed in 3.21s =", 1, 1, "3 passed, 2 failed"),
        ("==== 40 passed in 3.21s ====", 1, 0, "40 passed, 1 failed"),
        ("pastebin: pip cannot reach its package index", 1, 0, "0 passed, 1 failed"),
        ("==== no tests ran in 0.01s ====", 5, 0, "0 passed, 1 failed"),
    ],
)
def test_the_last_line_counts_both_halves(
    ci: Callable[..., subprocess.CompletedProcess[str]], suite: str, suite_code: int, check_code: int, last: str
) -> None:
    ended = ci(suite, suite_code, check_code)
    assert ended.stdout.splitlines()[-1] == last
    assert (ended.returncode == 0) == last.endswith(" 0 failed")
    assert "19 passed in 1.02s" in ended.stdout
