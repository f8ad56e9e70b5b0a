"""The one gate for outside data: plain dictionaries become Structs, or a list of every problem they have.

`msgspec.convert` stops at the first error; here each member is converted on its own, so that a person who
made three mistakes is told of three. Who made a million is told of the first MOST_PROBLEMS: neither the answer nor
the work on it grows with what was sent.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from pastebin.errors import Problem

Decoded = TypeVar("Decoded", bound=msgspec.Struct)
Hook = Callable[[type, Any], Any]

MOST_PROBLEMS = 100
# What reading bytes from outside raises: also for what is no UTF-8, or nested too deeply.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_QUOTED = re.compile("`([^`]*)`")
# msgspec has Python's names for these, people who write JSON (or TOML, or forms) those of RFC 8259.
_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "date and time"}
_PLACE_LENGTH = 100


class Findings:
    """The problems of one document: the first MOST_PROBLEMS, then how many more there are."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._more = 0

    def __len__(self) -> int:
        return len(self._problems) + self._more

    def add(self, place: str, message: str) -> None:
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(Problem(shortened(place), message))
        else:
            self._more += 1

    def told(self) -> list[Problem]:
        """What its author is told."""
        return [*self._problems, Problem("", f"and {self._more} more problems")] if self._more else [*self._problems]


def shortened(place: str) -> str:
    """The place of a problem, made of names that whoever sent them chose."""
    return place if len(place) <= _PLACE_LENGTH else f"{place[:_PLACE_LENGTH]}…"


def decode(
    struct: type[Decoded],
    data: Mapping[str, Any],
    *,
    strict: bool = True,
    hook: Hook | None = None,
    path: str = "",
) -> tuple[Decoded | None, list[Problem]]:
    """Convert `data` to `struct`; the Struct is None exactly if there are problems.

    `strict=False` lets form text stand for numbers and booleans. `hook` is msgspec's `dec_hook`.
    """
    found = Findings()
    decoded = _decode(struct, data, strict, hook, path, found)
    return (None, found.told()) if found else (decoded, [])


def _decode(
    struct: type[Decoded], data: Mapping[str, Any], strict: bool, hook: Hook | None, path: str, found: Findings
) -> Decoded | None:
    before = len(found)
    fields = _fields(struct)
    for name in data:
        if name not in fields:
            # the list once for all of them: it is longer than what it answers
            allowed = f"; allowed: {', '.join(sorted(fields))}" if len(found) == before else ""
            found.add(f"{path}{shortened(name)}", f"is not known here{allowed}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[field.name] = _convert(field.type, data[name], strict, hook, f"{path}{name}", found)
        elif field.required:
            found.add(f"{path}{name}", "is required")
    if len(found) > before:
        return None
    try:
        return struct(**values)
    except ValueError as error:  # a Struct's own __post_init__ speaks about several members at once
        found.add(path.rstrip("."), str(error))
        return None


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """By the name that outside data uses; found out once, since msgspec evaluates annotations to tell."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def _convert(kind: Any, value: Any, strict: bool, hook: Hook | None, path: str, found: Findings) -> Any:
    nested = _struct_among([member for member in _members(kind) if member is not type(None)])
    if nested is not None and isinstance(value, dict):
        return _decode(nested, value, strict, hook, f"{path}.", found)
    nested = _struct_among(_items(kind))
    if nested is not None and isinstance(value, list):
        items: list[Any] = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                items.append(_decode(nested, item, strict, hook, f"{path}[{index}].", found))
            else:
                found.add(f"{path}[{index}]", "must be an object")
        if wrong := _wrong_length(kind, len(value)):
            found.add(path, wrong)
        return items
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=hook)
    except msgspec.ValidationError as error:
        found.add(path, _explain(kind, str(error)))
    except ValueError as error:
        found.add(path, str(error))
    return None


def _wrong_length(kind: Any, length: int) -> str | None:
    for meta in _metas(kind):
        if meta.min_length is not None and length < meta.min_length:
            return f"expected array of length >= {meta.min_length}"
        if meta.max_length is not None and length > meta.max_length:
            return f"expected array of length <= {meta.max_length}"
    return None


def _members(kind: Any) -> list[Any]:
    """The alternatives of a type, with Annotated, Optional and Union taken apart."""
    if hasattr(kind, "__metadata__"):
        return _members(kind.__origin__)
    if get_origin(kind) in (Union, types.UnionType):
        return [member for argument in get_args(kind) for member in _members(argument)]
    return [kind]


def _metas(kind: Any) -> list[Any]:
    """The constraints of a type, in whichever of its alternatives they stand."""
    if hasattr(kind, "__metadata__"):
        return [*kind.__metadata__, *_metas(kind.__origin__)]
    if get_origin(kind) in (Union, types.UnionType):
        return [meta for argument in get_args(kind) for meta in _metas(argument)]
    return []


def _items(kind: Any) -> list[Any]:
    """What a list may hold, where the type allows lists."""
    return [
        item
        for member in _members(kind)
        if get_origin(member) in (list, tuple) and get_args(member)
        for item in _members(get_args(member)[0])
    ]


def _struct_among(kinds: list[Any]) -> type[msgspec.Struct] | None:
    """The Struct, if there is no alternative; between several only msgspec can choose."""
    only = kinds[0] if len(kinds) == 1 else None
    return only if isinstance(only, type) and issubclass(only, msgspec.Struct) else None


def _choices(kind: Any) -> list[str]:
    return [
        str(choice)
        for member in _members(kind) + _items(kind)
        if get_origin(member) is Literal
        for choice in get_args(member)
    ]


def _explain(kind: Any, message: str) -> str:
    """msgspec's message in lower case and words of JSON, without its path, with the allowed words if there are such."""
    text = _QUOTED.sub(_in_words, message.split(" - at `")[0])
    if "RFC3339" in text:
        return "must be a date and time (RFC 3339), such as 2030-01-31T12:00:00Z"
    choices = _choices(kind)
    if choices and "nvalid enum value" in text:
        return f"must be one of {', '.join(choices)}"
    if "matching regex" in text:
        for meta in _metas(kind):
            if meta.description is not None:
                return str(meta.description)
    return text[:1].lower() + text[1:]


def _in_words(quoted: re.Match[str]) -> str:
    """`str | null` as "string or null"; what is quoted and names no type stays."""
    return " or ".join(dict.fromkeys(_WORDS.get(name, name) for name in quoted[1].split(" | ")))
