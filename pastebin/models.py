"""What a paste is, once it is inside: frozen dataclasses that every room above speaks of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, dataclass_transform

from pastebin.errors import Problem

Visibility = Literal["public", "unlisted", "private"]
Protection = Literal["none", "password", "end-to-end"]
# Who may see how often a paste is read; off: nothing is counted.
Analytics = Literal["owner", "public", "off"]

ReportReason = Literal["illegal", "malware", "phishing", "personal-data", "copyright", "spam", "other"]

Model = TypeVar("Model")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def model(kind: type[Model]) -> type[Model]:
    """A dataclass that nobody may change, which the type checker sees to.

    At run time a frozen one would take eight times as long to make, and every request makes several.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)


@model
class File:
    """One named part of a revision. Its bytes are in `body` (if it was asked for) or in blob `blob_key`."""

    position: int
    name: str | None
    media_type: str
    syntax: str | None
    size: int
    sha256: bytes = field(repr=False)
    blob_key: str | None = None
    body: bytes | None = field(default=None, repr=False)

    @property
    def is_text(self) -> bool:
        return self.media_type.startswith("text/")


@model
class Paste:
    """A paste at one of its revisions.

    `revision` counts contents; `version` counts changes of any kind, and guards what was decided on an earlier look.
    `ends_at` is the moment of expiry on this process's monotonic clock, never later than by the database's clock; a
    look-up knows it for a paste that expires.
    """

    id: int
    slug: str
    title: str | None
    visibility: Visibility
    created_at: datetime
    revised_at: datetime
    expires_at: datetime | None
    max_reads: int | None
    reads: int
    parent: str | None
    encryption: dict[str, Any] | None
    token_hash: bytes = field(repr=False)
    password_hash: str | None = field(repr=False)
    revision: int
    files: tuple[File, ...]
    version: int = 1
    analytics: Analytics = "owner"
    # It is being written: its one file is empty until that has ended.
    is_growing: bool = False
    ends_at: float | None = field(default=None, compare=False)
    # The transaction that has just made it what it is; None for what was merely read.
    change: int | None = field(default=None, compare=False)
    # The current revision, where this is an earlier one.
    latest: int | None = None

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def protection(self) -> Protection:
        if self.encryption is not None:
            return "end-to-end"
        return "password" if self.password_hash else "none"

    @property
    def needs_reveal(self) -> bool:
        """Whether reading takes a POST: GET and HEAD never consume a read and never see protected bytes."""
        return self.max_reads is not None or self.password_hash is not None

    @property
    def reads_left(self) -> int | None:
        return None if self.max_reads is None else max(self.max_reads - self.reads, 0)


@model
class RevisionNote:
    """One revision of a paste, without its content."""

    number: int
    created_at: datetime
    files_count: int
    size: int


@model
class Fork:
    """A public paste that names another one as its parent."""

    slug: str
    title: str | None
    created_at: datetime


@model
class Options:
    """What somebody asks of a paste beside its content, decoded but not yet judged.

    `asked` names the options that were given, so that a change can tell "no title" from "leave the title". `problems`
    are those of the decoding, kept until the judging so that all of them can be told at once.
    """

    asked: frozenset[str] = frozenset()
    title: str | None = None
    name: str | None = None
    syntax: str | None = None
    visibility: Visibility | None = None
    lifetime: timedelta | None = None
    expires_at: datetime | None = None
    max_reads: int | None = None
    password: str | None = field(default=None, repr=False)
    slug: str | None = None
    parent: str | None = None
    encryption: dict[str, Any] | None = None
    analytics: Analytics | None = None
    rejects_credentials: bool = False
    idempotency_key: str | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()


# Of somebody who asks for nothing.
NO_OPTIONS = Options()


@model
class Draft:
    """A validated paste that is not in the database yet; the bytes of its files are stored already.

    `lifetime` and `expires_at` exclude each other; the database's clock turns the former into a moment. `is_named`:
    somebody chose the slug, so it may have been asked for before.
    """

    slug: str
    files: tuple[File, ...]
    token_hash: bytes = field(repr=False)
    title: str | None = None
    visibility: Visibility = "unlisted"
    lifetime: timedelta | None = None
    expires_at: datetime | None = None
    max_reads: int | None = None
    password_hash: str | None = field(default=None, repr=False)
    encryption: dict[str, Any] | None = None
    parent: str | None = None
    idempotency_hash: bytes | None = field(default=None, repr=False)
    fingerprint: bytes | None = field(default=None, repr=False)
    is_named: bool = False
    analytics: Analytics = "owner"
    # Some of its blobs belong to another paste, which is live.
    shares_blobs: bool = False

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@model
class Changes:
    """What a PATCH changes; `files` is None where the content stays. Unset members keep their value."""

    files: tuple[File, ...] | None = None
    members: dict[str, Any] = field(default_factory=dict)


@model
class Purge:
    """What became of one change: how many of the caches have confirmed it, and how long that took."""

    confirmed: int
    known: int
    seconds: float

    @property
    def is_confirmed(self) -> bool:
        return self.confirmed >= self.known


@model
class Published:
    """A paste that has just become durable, with the only copy of its owner token.

    `purge` is there where caches may have had something else under its name.
    """

    paste: Paste
    token: str = field(repr=False)
    purge: Purge | None = None
