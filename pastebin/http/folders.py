"""Paths as folders within folders. Pure, and linear in the names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from markupsafe import escape

from pastebin.http.pages import visible

DEPTH = 24  # what is deeper stands there with the rest of its path
FOLDERS = 5000  # more are not made: their files stand there with their paths
_OPEN = 30


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: how it is called, where it is (if it can be had), and what is said of it."""

    path: str
    link: str | None
    about: str = ""


@dataclass(slots=True)
class Folder:
    """What is in a folder, by names."""

    folders: dict[str, Folder] = field(default_factory=dict)
    entries: list[tuple[str, Entry]] = field(default_factory=list)


def split(path: str) -> list[str]:
    """The names on the way; `..` stays visible, for nobody follows it."""
    return [name for name in path.split("/") if name not in ("", ".")]


def gather(entries: Iterable[Entry], folders: Iterable[str] = ()) -> Folder:
    """One folder with everything in it, and the folders that may be empty."""
    root = Folder()
    made = 0
    for names, entry in (*((split(path), None) for path in folders), *((split(one.path), one) for one in entries)):
        folder = root
        way = names[:DEPTH] if entry is None else names[:-1][:DEPTH]
        depth = 0
        for name in way:
            if name not in folder.folders:
                if made >= FOLDERS:
                    break
                folder.folders[name] = Folder()
                made += 1
            folder = folder.folders[name]
            depth += 1
        if entry is not None:
            folder.entries.append(("/".join(names[depth:]) or entry.path, entry))
    return root


def html(root: Folder) -> str:
    """Nested lists, folders first, each a `details` that is open while there is little in it; names are isolated."""
    lines: list[str] = []
    _write(root, lines, is_open=True)
    return "".join(lines)


def _write(folder: Folder, lines: list[str], *, is_open: bool) -> None:
    lines.append("<ul>")
    for name, inner in sorted(folder.folders.items()):
        shown = len(inner.folders) + len(inner.entries) <= _OPEN and is_open
        lines.append(f"<li><details{' open' if shown else ''}><summary>{_name(name)}/</summary>")
        _write(inner, lines, is_open=shown)
        lines.append("</details></li>")
    for name, entry in sorted(folder.entries, key=lambda one: one[0]):
        label = _name(name)
        link = f'<a href="{escape(entry.link)}">{label}</a>' if entry.link else label
        about = f" <span>{escape(entry.about)}</span>" if entry.about else ""
        lines.append(f"<li>{link}{about}</li>")
    lines.append("</ul>")


def _name(text: str) -> str:
    return f"<bdi>{escape(visible(text))}</bdi>"
