"""What clients may send, as Structs: the handlers decode with them and the OpenAPI document is made of them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import unquote_to_bytes

import msgspec
import orjson
from msgspec import Meta

from pastebin.decoding import MOST_PROBLEMS, Decoded, Findings, decode, shortened
from pastebin.errors import InvalidPaste, Problem, UnreadableRequest
from pastebin.http import durations
from pastebin.models import NO_OPTIONS, Analytics, Options, ReportReason, Visibility

# what a lone surrogate has to be written with; half of an emoji's escapes looks the same
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = "holds half of a surrogate pair, which is not text"
_Place = tuple["_Place", str | int] | None


class Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object from outside; members nobody knows are refused."""


class PasteChanges(Payload, frozen=True):
    """What can be asked of a paste at any time, the same in JSON, in a form and in a query."""

    title: Annotated[str | None, Meta(description="Shown on the page, at most 200 characters")] = None
    name: Annotated[str | None, Meta(description="File name of a paste with a single file")] = None
    syntax: Annotated[str | None, Meta(description="A name from /api/v1/syntaxes; guessed when left out")] = None
    visibility: Annotated[Visibility | None, Meta(description="unlisted unless said otherwise")] = None
    expires_in: Annotated[int | str | None, Meta(description=durations.ALLOWED)] = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    max_reads: Annotated[int | None, Meta(description="The paste burns with its last read")] = None
    burn: Annotated[bool | None, Meta(description="The same as max_reads = 1")] = None
    password: Annotated[str | None, Meta(description="Asked for before every read")] = None
    analytics: Annotated[
        Analytics | None,
        Meta(description="Who may see how often it is read: the owner unless said otherwise; off: nothing is counted"),
    ] = None
    reject_secrets: Annotated[
        bool | None, Meta(description="Refuse content that looks like it holds private keys, tokens or passwords")
    ] = None


class PasteOptions(PasteChanges, frozen=True):
    """What can be asked of a new paste."""

    slug: Annotated[str | None, Meta(description="Your own choice of public name")] = None
    parent: Annotated[str | None, Meta(description="Slug of the paste this one was forked from")] = None
    encryption: Annotated[
        dict[str, Any] | None,
        Meta(description="Parameters of end-to-end encryption, opaque to the server; never a key"),
    ] = None


class FilePayload(Payload, frozen=True):
    """One file of a paste."""

    content: str
    name: str | None = None
    encoding: Literal["utf-8", "base64"] = "utf-8"
    syntax: str | None = None


class CreatePaste(PasteOptions, frozen=True):
    """A new paste: `content` for one file, or `files`."""

    content: str | None = None
    files: list[FilePayload] | None = None


class RevisePaste(PasteChanges, frozen=True):
    """Changes to a paste; `content` or `files` make a new revision, a null takes an option away."""

    content: str | None = None
    files: list[FilePayload] | None = None


class RevealPaste(Payload, frozen=True):
    """Consume one read of a protected paste."""

    password: str | None = None


class ReportPaste(Payload, frozen=True):
    """A complaint about a paste."""

    reason: Annotated[ReportReason, Meta(description="What is wrong with it")]
    details: Annotated[str, Meta(description="Whatever helps to judge, at most 2000 characters")] = ""


class ReadQuery(Payload, frozen=True):
    """Query of a metadata request."""

    content: bool = False


class WindowQuery(Payload, frozen=True):
    """Query of a page with some lines of a file."""

    file: Annotated[int, Meta(ge=1, le=10**6)] = 1
    line: str = "1"
    syntax: str = ""
    q: str = ""
    regex: bool = False
    ignore_case: bool = False


class SearchQuery(Payload, frozen=True):
    """Query of a search in the lines of a paste."""

    q: Annotated[str, Meta(description="What to look for in each line")]
    regex: Annotated[bool, Meta(description="q is a regular expression (RE2)")] = False
    ignore_case: bool = False
    file: Annotated[int, Meta(ge=1, le=10**6, description="Where to begin: a file of the paste, from 1 on")] = 1
    line: Annotated[int, Meta(ge=1, le=2**53, description="Where to begin: a line of that file")] = 1
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many lines are enough")] = 100


Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class RevisionsQuery(Payload, frozen=True):
    """Query of the list of revisions."""

    before: Annotated[Number | None, Meta(description="Only revisions with smaller numbers")] = None


class DiffQuery(Payload, frozen=True):
    """Which revisions are compared."""

    old: Annotated[Number | None, Meta(description="A revision; left out: the one before `to`")] = msgspec.field(
        default=None, name="from"
    )
    new: Annotated[Number | None, Meta(description="A revision; left out: the current one")] = msgspec.field(
        default=None, name="to"
    )


# What `?burn` stands for by itself.
FLAGS = frozenset({"burn", "reject_secrets"})
_ONLY_ONCE = frozenset(PasteOptions.__struct_fields__) - frozenset(PasteChanges.__struct_fields__)


@dataclass(frozen=True, slots=True)
class Part:
    """Content that came inside a JSON body."""

    content: bytes
    name: str | None
    syntax: str | None


def parse_json(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises UnreadableRequest if it is none, InvalidPaste for duplicate members or lone surrogates.

    The standard library's parser is used because it alone shows both (RFC 8259, sections 4 and 8.2, warns of them).
    """
    found = Findings()

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        if len(made) != len(members):
            for name, times in Counter(name for name, _ in members).items():
                if times > 1:
                    found.add(name, "is given twice")
        return made

    try:
        # RFC 8259, 8.1: UTF-8 it is, and a byte order mark may be passed over
        text = body.decode("utf-8-sig")
        data = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise UnreadableRequest("The body is not UTF-8, which JSON has to be.") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableRequest(f"The body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnreadableRequest("The body must be a JSON object.")
    if _HALF_PAIR.search(text):
        for place in _lone_surrogates(data):
            found.add(place, _HALF)
    if found:
        raise InvalidPaste(found.told())
    return data


def read(struct: type[Decoded], data: Mapping[str, Any], *, strict: bool = True) -> Decoded:
    """Decode or raise InvalidPaste with every problem; `strict=False` for text from forms and queries."""
    decoded, problems = decode(struct, data, strict=strict)
    if decoded is None:
        raise InvalidPaste(problems)
    return decoded


def read_all(
    struct: type[Decoded], data: Mapping[str, Any], *, strict: bool = True
) -> tuple[Decoded, tuple[Problem, ...]]:
    """Decode the members that can be decoded; with the problems of the others, so that those of the rest can join them.

    For Structs whose members all have defaults.
    """
    decoded, problems = decode(struct, data, strict=strict)
    if decoded is not None:
        return decoded, ()
    if len(problems) > MOST_PROBLEMS:
        raise InvalidPaste(problems)
    broken = {re.split(r"[.\[]", problem.field, maxsplit=1)[0] for problem in problems}
    whole = {name: data[name] for name in struct.__struct_encode_fields__ if name in data and name not in broken}
    return read(struct, whole, strict=strict), tuple(problems)


def known(struct: type[PasteChanges], data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `struct` has to decode of the data. A change does without what only a new paste can be asked for; that stays
    among what was asked, for the judging to refuse.
    """
    if issubclass(struct, PasteOptions) or _ONLY_ONCE.isdisjoint(data):
        return data
    return {name: value for name, value in data.items() if name not in _ONLY_ONCE}


def text_options(
    fields: Mapping[str, str], idempotency_key: str | None, struct: type[PasteChanges] = PasteOptions
) -> Options:
    """Options from form fields or a query; an empty field is one left out. Raises InvalidPaste for what is no text."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value != ""}
    if not given:
        return NO_OPTIONS if idempotency_key is None else Options(idempotency_key=idempotency_key)
    if broken := list(_lone_surrogates(given)):
        raise InvalidPaste([Problem(shortened(place), _HALF) for place in broken])
    if "encryption" in given:
        with suppress(ValueError):  # text that is no JSON is refused as no object
            given["encryption"] = orjson.loads(given["encryption"])
    payload, found = read_all(struct, known(struct, given), strict=False)
    return to_options(payload, frozenset(given), idempotency_key, found)


def to_options(
    payload: PasteChanges, asked: frozenset[str], idempotency_key: str | None, found: tuple[Problem, ...] = ()
) -> Options:
    """The domain's view of the options, with what was `found` wrong with them so far and what contradicts itself."""
    problems = list(found)
    lifetime: timedelta | None = None
    if payload.expires_in is not None:
        try:
            lifetime = durations.parse_lifetime(payload.expires_in)
        except ValueError as error:
            problems.append(Problem("expires_in", str(error)))
        if payload.expires_at is not None:
            problems.append(Problem("expires_at", "cannot be given together with expires_in"))
    if payload.expires_at is not None and not _is_moment(payload.expires_at):
        problems.append(Problem("expires_at", "must lie before the year 9999"))
    max_reads = payload.max_reads
    if payload.burn:
        if max_reads not in (None, 1):
            problems.append(
                Problem("burn", "means max_reads = 1, so it cannot be given together with another max_reads")
            )
        max_reads = 1
    if payload.password == "":
        problems.append(Problem("password", "must not be empty"))
    new = payload if isinstance(payload, PasteOptions) else PasteOptions()
    return Options(
        problems=tuple(problems),
        # "burn": false wishes for nothing, so it takes no read limit away either
        asked=asked if payload.burn else asked - {"burn"},
        title=payload.title,
        name=payload.name,
        syntax=payload.syntax,
        visibility=payload.visibility,
        lifetime=lifetime,
        expires_at=payload.expires_at,
        max_reads=max_reads,
        password=payload.password,
        slug=new.slug,
        parent=new.parent,
        encryption=new.encryption,
        analytics=payload.analytics,
        rejects_credentials=bool(payload.reject_secrets),
        idempotency_key=idempotency_key,
    )


def parts_of(payload: CreatePaste | RevisePaste) -> tuple[list[Part], list[Problem]]:
    """The content of a JSON body, and what is wrong with it: both kinds at once, bad base64."""
    parts: list[Part] = []
    found = Findings()
    if payload.content is not None and payload.files is not None:
        found.add("files", "cannot be given together with content")
    if payload.content is not None:
        return [Part(payload.content.encode(), None, None)], found.told()
    for index, file in enumerate(payload.files or []):
        try:
            binary = file.encoding == "base64"
            content = base64.b64decode(file.content, validate=True) if binary else file.content.encode()
            parts.append(Part(content, file.name, file.syntax))
        except (binascii.Error, ValueError):
            found.add(f"files[{index}].content", "is not base64")
    return parts, found.told()


def _is_moment(at: datetime) -> bool:
    """Whether it has a place in UTC, and is not the last of all, which asyncpg takes for infinity."""
    try:
        return at.astimezone(UTC).year < 9999
    except OverflowError:
        return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _lone_surrogates(data: dict[str, Any]) -> Iterator[str]:
    """The places of text that is none; only those are spelled out, since there can be millions of others."""
    waiting: list[tuple[dict[str, Any] | list[Any], _Place]] = [(data, None)]
    while waiting:
        holder, place = waiting.pop()
        for key, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(key, str) and not _is_text(key):
                yield "member name"
            if isinstance(item, str):
                if not _is_text(item):
                    yield _spelled((place, key))
            elif isinstance(item, dict | list):
                waiting.append((item, (place, key)))


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spelled(place: _Place) -> str:
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{shortened(step)}")
    return "".join(reversed(steps)).removeprefix(".")


def broken_query(raw: str) -> list[Problem]:
    """The fields of a query, as it came over the wire, that are not UTF-8 (`%ff`)."""
    broken: dict[str, None] = {}
    for pair in raw.encode("utf-8", "surrogateescape").split(b"&"):
        text = unquote_to_bytes(pair)
        try:
            text.decode()
        except UnicodeDecodeError:
            broken[text.partition(b"=")[0].decode("utf-8", "replace")] = None
    return [Problem(shortened(field), "must be UTF-8 text") for field in broken]
