"""What is wrong with the files of a form, said of its fields: who fills it in has never heard of `files[3].name`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pastebin import languages
from pastebin.errors import Problem
from pastebin.phrases import N_, Phrase
from pastebin.services.judging import NAME_TAKEN

_OF_FILE = re.compile(r"files\[([0-9]{1,6})\](?:\.([a-z_]+))?")


@dataclass(frozen=True, slots=True)
class Place:
    """From which field of a form a file came; one that was chosen (not `is_typed`) has the name that it had there."""

    field: str
    name: str | None = None
    is_typed: bool = False


def translated(problems: Sequence[Problem]) -> list[Problem]:
    """For a script of the page, which knows the files by their numbers: in the language of the answer."""
    return [replace(problem, message=_message(problem)) for problem in problems]


def of_fields(problems: Sequence[Problem], places: Sequence[Place] = (), *, files: str = "") -> list[Problem]:
    """For the page itself. `places` are those of the files, in order; what has none is told of the field `files`."""
    return [_of_field(problem, places, files) for problem in problems]


def _of_field(problem: Problem, places: Sequence[Place], files: str) -> Problem:
    found = _OF_FILE.fullmatch(problem.field)
    if found is None:
        return problem
    position, message = int(found[1]), _message(problem)
    place = places[position] if position < len(places) else Place(files)
    if place.is_typed:
        field = place.field.replace("content", "name") if found[2] == "name" else place.field
        return Problem(field, message)
    name = place.name or languages.say(Phrase("File %(number)s", number=position + 1))
    return Problem(files, f"{name}: {message}")


def _message(problem: Problem) -> str:
    is_name = isinstance(problem.message, Phrase) and problem.message.pattern == NAME_TAKEN
    return languages.gettext(N_("Another file has this name.")) if is_name else languages.say(problem.message)
