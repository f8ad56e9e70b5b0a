"""What is wrong with the files and options of a paste, as problems to be told; and whose name a file bears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from pastebin.errors import CredentialsFound, Problem
from pastebin.models import File, Options, Paste
from pastebin.phrases import N_, Phrase
from pastebin.services import syntaxes
from pastebin.services.credentials import Scanner

ENCRYPTION_BYTES = 4096
# What a reveal can hand out in one answer when the paste has several files (see `protected_problems`).
REVEAL_BYTES = 1024 * 1024
NAME_TAKEN = N_("is the name of %(other)s too")


def encryption_problems(parameters: dict[str, Any]) -> list[Problem]:
    """They come back as they were given, so they must be what JSON, orjson and jsonb can all hold."""
    try:
        text = orjson.dumps(parameters)
        is_kept = orjson.loads(text) == parameters  # 1e400 would not be
    except TypeError:
        is_kept = False
    if not is_kept:
        return [Problem("encryption", "must hold numbers of 64 bits and few levels only")]
    if len(text) > ENCRYPTION_BYTES:
        return [Problem("encryption", f"must be at most {ENCRYPTION_BYTES} bytes of JSON")]
    if b"\\u0000" in text.replace(rb"\\", b""):
        return [Problem("encryption", "must not contain NUL")]
    return []


def named(files: list[File], options: Options) -> tuple[File, ...]:
    """Apply `name` and `syntax` to a single file; give unnamed files among several a name to be addressed by.

    Of several files those get the `syntax` for which nothing else speaks.
    """
    chosen = syntaxes.find(options.syntax) if options.syntax else None
    if len(files) == 1:
        file = files[0]
        name = options.name if options.name is not None else file.name
        syntax = chosen.name if chosen else file.syntax
        if not chosen and options.name is not None and file.is_text and file.body is not None and file.syntax is None:
            guessed = syntaxes.guess(name, file.body[:4096])
            syntax = guessed.name if guessed else None
        is_changed = (name, syntax) != (file.name, file.syntax)
        return (replace(file, name=name, syntax=syntax) if is_changed else file,)
    default = chosen.name if chosen else None
    return tuple(
        replace(
            file,
            name=file.name or f"file-{file.position + 1}",
            syntax=file.syntax or (default if file.is_text else None),
        )
        for file in files
    )


def unless_named(problems: list[Problem], options: Options, files: Sequence[File]) -> list[Problem]:
    """The option `name` stands for the name of a single file, or of the text among several, so it is told once."""
    if options.name is None:
        return problems
    if len(files) <= 1:
        return []
    told = {f"files[{file.position}].name" for file in files if file.name == options.name}
    return [problem for problem in problems if problem.field not in told]


def content_problems(files: tuple[File, ...]) -> list[Problem]:
    if len(files) == 1 and files[0].size and files[0].syntax is None:
        return []
    if not files or not any(file.size for file in files):
        return [Problem("content", "must not be empty")]
    found = []
    seen: dict[str | None, int] = {}
    for file in files:
        if len(files) > 1 and file.name in seen:
            found.append(
                Problem(
                    f"files[{file.position}].name",
                    Phrase(NAME_TAKEN, other=f"files[{seen[file.name]}]"),
                )
            )
        seen.setdefault(file.name, file.position)
        if file.syntax is not None and syntaxes.find(file.syntax) is None:
            found.append(Problem(f"files[{file.position}].syntax", "is not known; /api/v1/syntaxes lists what is"))
    return found


def live_problems(paste: Paste, options: Options, files: tuple[File, ...]) -> list[Problem]:
    """What cannot be changed of a paste while it is being written: its readers are there already."""
    if not paste.is_growing:
        return []
    found = [Problem("files", "cannot be changed while the paste is being written")] if files else []
    asked = sorted(options.asked & {"burn", "max_reads", "password"})
    asked += ["visibility"] if options.visibility == "private" != paste.visibility else []
    return found + [Problem(member, "cannot be asked of a paste that is being written") for member in asked]


def unfit_for_live(options: Options) -> list[Problem]:
    """What cannot be asked of a paste that is read while it is written."""
    members = {
        "max_reads": options.max_reads is not None,
        "password": options.password is not None,
        "encryption": options.encryption is not None,
        "reject_secrets": options.rejects_credentials,
    }
    return [
        Problem(member, "cannot be asked of a paste that is read while it is written")
        for member, is_asked in members.items()
        if is_asked
    ]


def refuse_credentials(options: Options, scanners: Sequence[Scanner] | None) -> None:
    """Raise CredentialsFound, which says where they are and never what they are, if the options ask for that."""
    if not options.rejects_credentials:
        return
    found = [
        Problem(
            f"files[{position}]",
            Phrase("line %(line)s looks like it holds a %(kind)s", line=finding.line, kind=finding.kind),
        )
        for position, scanner in enumerate(scanners or ())
        for finding in scanner.found
    ]
    if found:
        raise CredentialsFound(found)


def protected_problems(options: Options, files: tuple[File, ...]) -> list[Problem]:
    """A reveal is one answer, and it may be the last: several files have to fit into it, a single one is streamed."""
    protected = options.max_reads is not None or options.password
    if protected and len(files) > 1 and sum(file.size for file in files) > REVEAL_BYTES:
        return [
            Problem(
                "files",
                Phrase(
                    "with a read limit or a password a paste holds one file of any size, "
                    "or several of up to %(num)s bytes together",
                    num=REVEAL_BYTES,
                ),
            )
        ]
    return []
