"""The one gate for outside data: plain dictionaries become Structs, or a list of every problem they have.

`msgspec.convert` stops at the first error; here each member is converted on its own, so that a person who
made three mistakes is told of three.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from pastebin.errors import Problem

Decoded = TypeVar("Decoded", bound=msgspec.Struct)
Hook = Callable[[type, Any], Any]


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
    fields = _fields(struct)
    problems = [
        Problem(f"{path}{name}", f"is not known here; allowed: {', '.join(sorted(fields))}")
        for name in data
        if name not in fields
    ]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in data:
            if field.required:
                problems.append(Problem(f"{path}{name}", "is required"))
            continue
        value, found = _convert(field.type, data[name], strict, hook, f"{path}{name}")
        problems += found
        values[field.name] = value
    if problems:
        return None, problems
    try:
        return struct(**values), []
    except ValueError as error:  # a Struct's own __post_init__ speaks about several members at once
        return None, [Problem(path.rstrip("."), str(error))]


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """By the name that outside data uses; found out once, since msgspec evaluates annotations to tell."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def _convert(kind: Any, value: Any, strict: bool, hook: Hook | None, path: str) -> tuple[Any, list[Problem]]:
    nested = _struct_among([member for member in _members(kind) if member is not type(None)])
    if nested is not None and isinstance(value, dict):
        return decode(nested, value, strict=strict, hook=hook, path=f"{path}.")
    nested = _struct_among(_items(kind))
    if nested is not None and isinstance(value, list):
        items: list[Any] = []
        problems: list[Problem] = []
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                problems.append(Problem(f"{path}[{index}]", "must be an object"))
                continue
            decoded, found = decode(nested, item, strict=strict, hook=hook, path=f"{path}[{index}].")
            items.append(decoded)
            problems += found
        return items, problems + _wrong_length(kind, len(value), path)
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=hook), []
    except msgspec.ValidationError as error:
        return None, [Problem(path, _explain(kind, str(error)))]
    except ValueError as error:
        return None, [Problem(path, str(error))]


def _wrong_length(kind: Any, length: int, path: str) -> list[Problem]:
    for meta in _metas(kind):
        if meta.min_length is not None and length < meta.min_length:
            return [Problem(path, f"expected array of length >= {meta.min_length}")]
        if meta.max_length is not None and length > meta.max_length:
            return [Problem(path, f"expected array of length <= {meta.max_length}")]
    return []


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
    """msgspec's message, in lower case, without its path, and with the allowed words where there are such."""
    text = message.split(" - at `")[0].replace("`", "")
    choices = _choices(kind)
    if choices and "nvalid enum value" in text:
        return f"must be one of {', '.join(choices)}"
    return text[:1].lower() + text[1:]
