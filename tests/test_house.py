"""The rules of the house, read from the sources: who imports whom, how long things get, what is said."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pastebin import errors, sections
from pastebin.http import problems

ROOT = Path(__file__).resolve().parent.parent

FOUNDATION = (
    "agents allowance backoff breaking config constraints damping deadlines decoding errors fingerprints geo hedging"
    " inherited keyring leaves log loops metrics models notify places portraits positions ranges regions reports"
    " retrying calendars catalogues languages phrases sealed"
    " sections sections_regions shedding sights slugs steering surrogates visitors visits"
)
# Rooms on one floor do not know each other; imports go down, or stay in the room.
FLOORS = [
    [FOUNDATION],
    ["store", "http", "embedded"],
    ["services"],
    ["resources"],
    ["origin", "cdn", "analytics", "gateway", "geodns"],
    ["roles"],
    ["node"],
    ["cli __main__"],
]
FLOOR_OF = {name: floor for floor, rooms in enumerate(FLOORS) for room in rooms for name in room.split()}
ROOM_OF = {name: room for rooms in FLOORS for room in rooms for name in room.split()}

# Commands that act on a node. Everything else in cli belongs to the client, which needs no server software.
NODE_COMMANDS = {"serve", "check", "dnssec", "migrate", "blobs", "queue", "backup", "restore", "admin"}
# Module -> why it may read the environment.
ENVIRONMENT_READERS = {
    "pastebin.config": "the node's configuration",
    "pastebin.cli.environment": "the client's configuration",
}
# Module -> why it may start a task that no TaskGroup owns.
TASK_STARTERS: dict[str, str] = {}
FORBIDDEN_NAMES = re.compile(r"(util|helper|common|base|manager|misc)s?")

FILE_LINES = 400
FUNCTION_LINES = 60


@dataclass(frozen=True)
class Module:
    """One source file of the package."""

    name: str  # pastebin.store.pastes; a package by its own name, without __init__
    path: Path
    tree: ast.Module

    @property
    def top(self) -> str:
        """The room, or the module of the foundation; empty for the package itself."""
        return self.name.partition(".")[2].partition(".")[0]

    @property
    def is_client(self) -> bool:
        parts = self.name.split(".")
        return parts[1:2] == ["cli"] and len(parts) > 2 and parts[2] not in NODE_COMMANDS

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and target of every import from this package, a module wherever the name is one."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    target = f"{node.module}.{alias.name}"
                    yield node.lineno, target if target in modules() else str(node.module)


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted((ROOT / "pastebin").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(read(path)))
    return found


@cache
def repository() -> list[Path]:
    """The files under version control or about to be; in an unpacked archive, all but hidden directories."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        timeout=30,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return [path for path in paths if path.is_file()]


SKIPPED = {".git", ".venv", "__pycache__", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def scripts() -> list[Path]:
    return [path for path in repository() if path.relative_to(ROOT).parts[0] in ("scripts", ".ci")]


def sources() -> list[Path]:
    """Python in the repository, scripts without a suffix too."""
    return [
        path
        for path in repository()
        if path.suffix == ".py" or (path in scripts() and re.match(r"#!.*python", first_line(path)))
    ]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def first_line(path: Path) -> str:
    return read(path).partition("\n")[0]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_module_stands_on_a_floor() -> None:
    """A new room is entered in FLOORS before it can import anything."""
    assert {module.top for module in modules().values()} - FLOOR_OF.keys() == {""}


def test_imports_go_down_or_stay_in_the_room() -> None:
    offences = []
    for module in modules().values():
        for line, target in module.imports():
            there = Module(target, module.path, module.tree).top
            if not target.startswith("pastebin") or not there or not module.top:
                continue
            same_room = ROOM_OF[there] == ROOM_OF[module.top]
            if not same_room and FLOOR_OF[there] >= FLOOR_OF[module.top]:
                offences.append(f"{module.name}:{line} imports {target}")
            if module.top == "services" and there == "http":
                offences.append(f"{module.name}:{line} imports {target}: services know nothing of HTTP")
    assert offences == []


def test_the_package_itself_imports_nothing() -> None:
    assert list(modules()["pastebin"].imports()) == []


def test_the_client_knows_no_server() -> None:
    """`pastebin put` starts fast and runs where neither PostgreSQL nor a web server could."""
    offences = [
        f"{module.name}:{line} imports {target}"
        for module in modules().values()
        if module.is_client
        for line, target in module.imports()
        if target.startswith("pastebin.") and ROOM_OF[target.split(".")[1]] not in (FOUNDATION, ROOM_OF["cli"])
    ]
    assert offences == []


def test_no_imports_run_in_circles() -> None:
    graph = {
        module.name: {target for _, target in module.imports() if target in modules() and target != module.name}
        for module in modules().values()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_imports_are_absolute() -> None:
    offences = [
        f"{module.name}:{node.lineno}"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert offences == []


def test_files_stay_short() -> None:
    kinds = {".py", ".js", ".css"}
    long = {
        shown(path): len(read(path).splitlines())
        for path in {*repository(), *sources()}
        if path.suffix in kinds or path in scripts()
    }
    assert {path: lines for path, lines in long.items() if lines > FILE_LINES} == {}


def test_functions_stay_short() -> None:
    offences = {}
    for path in sources():
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    offences[f"{shown(path)}:{node.lineno} {node.name}"] = lines
    assert offences == {}


def test_files_are_named_after_what_is_in_them() -> None:
    offences = {
        shown(path)
        for path in repository()
        if path.suffix in {".py", ".js", ".css", ".sh"}
        for name in (*path.relative_to(ROOT).parts[:-1], path.stem)
        if FORBIDDEN_NAMES.fullmatch(name)
    }
    assert offences == set()


def dotted(node: ast.expr) -> str:
    """`asyncio.create_task` of the expression that spells it; calls in between are written ()."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{dotted(node.value)}.{node.attr}"
        case ast.Call():
            return f"{dotted(node.func)}()"
    return "?"


def uses(pattern: str) -> dict[str, list[int]]:
    """Module -> lines that name something matching `pattern`, by attribute or by import."""
    wanted = re.compile(pattern)
    found: dict[str, list[int]] = {}
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute | ast.Call):
                names = [dotted(node)]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            if any(wanted.fullmatch(name) for name in names):
                found.setdefault(module.name, []).append(node.lineno)
    return found


def test_tasks_have_an_owner() -> None:
    """Tasks are started by a TaskGroup, which notices their death; the exceptions named are really there."""
    found = uses(r"asyncio\.(create_task|ensure_future)|(.*\.)?(_?loop|get_\w*loop\(\))\.create_task")
    assert found.keys() == TASK_STARTERS.keys(), found


def test_the_environment_is_read_in_one_place() -> None:
    found = uses(r"os\.(environb?|getenvb?|putenv|unsetenv)")
    assert found.keys() == ENVIRONMENT_READERS.keys(), found


def test_only_commands_print() -> None:
    found = uses(r"print\(\)")
    assert [f"{name}:{lines}" for name, lines in found.items() if not name.startswith("pastebin.cli")] == []


def words() -> list[type[errors.PastebinError]]:
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.PastebinError) and not issubclass(kind, errors.StartError)
    ]


def test_every_error_has_its_row() -> None:
    """Errors that only a start can meet never reach a client."""
    assert [kind.__name__ for kind in words() if kind not in problems.TABLE] == []
    assert [kind.__name__ for kind in problems.TABLE if kind not in words()] == []


def test_every_row_is_told_apart_and_explained() -> None:
    slugs = [row.slug for row in problems.TABLE.values()]
    readme = read(ROOT / "README.md")
    assert len(set(slugs)) == len(slugs)
    assert [slug for slug in slugs if f"`{slug}`" not in readme and f"/problems/{slug}" not in readme] == []
    assert [row for row in problems.TABLE.values() if not 400 <= row.status <= 599 or not row.title] == []


def test_every_error_has_words_for_its_user() -> None:
    everything = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert [kind.__name__ for kind in everything if not (kind.__doc__ or "").strip().endswith((".", "'"))] == []


def test_errors_are_defined_in_one_place() -> None:
    known = {name for name, _ in inspect.getmembers(errors, inspect.isclass)} - {"Problem"}
    offences = [
        f"{module.name}:{node.lineno} {node.name}"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if module.name != "pastebin.errors"
        and not module.is_client
        and isinstance(node, ast.ClassDef)
        and any(dotted(base).rpartition(".")[2] in known for base in node.bases)
    ]
    assert offences == []


def test_roles_have_one_name() -> None:
    """The same words in the configuration, in the table of roles and in README's."""
    readme = read(ROOT / "README.md")
    table = importlib.import_module("pastebin.roles").ROLES  # here: the other rules hold without it
    assert set(sections.ROLE_NAMES) == set(table)
    assert [name for name in table if not re.search(rf"^\| *`{name}` *\|", readme, re.MULTILINE)] == []


def test_scripts_say_what_they_are_for() -> None:
    """In a comment at the top; and what has a first line to run it by can be run."""
    offences = []
    for path in scripts():
        text = read(path)
        can_run = bool(path.stat().st_mode & stat.S_IXUSR)
        if not re.match(r"(#!.*\n)?(\"\"\"|# ?)\w.{20}", text):
            offences.append(f"{shown(path)}: no header")
        if can_run != text.startswith("#!"):
            offences.append(f"{shown(path)}: executable without #! or the other way round")
        if "bash" in first_line(path) and "\nset -euo pipefail\n" not in text:
            offences.append(f"{shown(path)}: no set -euo pipefail")
    assert offences == []


# Written so that the pattern does not find itself.
_FOREIGN = re.compile(
    r"pypi[.]org|pythonhosted[.]org|deb[.]debian[.]org|archive[.]ubuntu[.]com|registry[.]npmjs[.]org"
    r"|anth[r]opic|ope[n]ai|chat[g]pt|\bcl[a]ude\b|\bcop[i]lot\b|lang[u]age model|co-autho[r]ed-by"
    r"|\bA[I][ -](assist|generat|agent)",
    re.IGNORECASE,
)


def test_the_repository_speaks_of_itself_only() -> None:
    """No package registry by host name, nobody's tools."""
    offences = []
    for path in repository():
        offences += [f"{shown(path)}: {match[0]}" for match in _FOREIGN.finditer(read(path))]
    assert offences == []
