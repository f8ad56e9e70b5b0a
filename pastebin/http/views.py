"""What clients get to see of a paste: the shapes that the OpenAPI document describes, and what makes them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import orjson

from pastebin.http.addresses import raw_path
from pastebin.models import Analytics, File, Paste, Protection, Published, Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """One file of a paste. What a protected paste holds, `name`, `sha256` and `syntax`, is told to its owner only."""

    name: str | None
    size: int
    sha256: str | None
    media_type: str
    syntax: str | None
    raw_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContentView(FileView):
    """One file with its content, which is null where it is larger than this instance gives inside JSON."""

    content: str | None
    encoding: Literal["utf-8", "base64"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteView:
    """A paste without its content."""

    slug: str
    url: str
    raw_url: str
    title: str | None
    visibility: Visibility
    protection: Protection
    created_at: datetime
    revised_at: datetime
    expires_at: datetime | None
    max_reads: int | None
    reads_left: int | None
    parent: str | None
    encryption: dict[str, Any] | None
    analytics: Analytics
    is_growing: bool
    revision: int
    size: int
    files: list[FileView]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteContentView(PasteView):
    """A paste with the content of its files."""

    files: list[FileContentView]  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedView(PasteView):
    """A paste just made, with its owner token: the only time it is shown."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsView:
    """What this instance allows; 0 lifetimes mean no limit."""

    max_paste_bytes: int
    max_json_bytes: int
    max_files: int
    max_revisions: int
    max_lifetime_seconds: int
    default_lifetime_seconds: int
    max_name_bytes: int
    max_title_characters: int
    content_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceView:
    """A line of a file of the paste, both counted from 1."""

    file: int
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchView(PlaceView):
    """A line that matches; `start` and `end` of the match in `text`, in characters. A long line is cut around it."""

    name: str | None
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchView:
    """Lines that match, in order. `next` is where the search goes on, null when everything was searched."""

    matches: list[MatchView]
    next: PlaceView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    """One revision of a paste."""

    revision: int
    url: str
    created_at: datetime
    files_count: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionsView:
    """The revisions of a paste, the latest first; `next` is the address of those before them."""

    revisions: list[RevisionView]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideView:
    """One side of a comparison."""

    slug: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChangeView:
    """What became of one file. `patch` is null where it is not shown: see `trouble`, or it is too long or not UTF-8."""

    change: Literal["added", "removed", "changed", "renamed"]
    old_name: str | None
    new_name: str | None
    added: int
    removed: int
    trouble: Literal["binary", "large"] | None
    patch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffView:
    """What leads from one revision to another, file by file; numbers are of lines."""

    old: SideView
    new: SideView
    added: int
    removed: int
    files: list[FileChangeView]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxView:
    """One syntax that pastes can be highlighted in."""

    name: str
    label: str
    aliases: list[str]
    patterns: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemView:
    """An RFC 9457 problem document. `request_id` is not in one that caches may keep: the header has it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    errors: list[FieldProblemView] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblemView:
    """One thing wrong with a request."""

    field: str
    message: str


def encode(view: Any) -> bytes:
    """JSON with UTC moments to the second."""
    return orjson.dumps(view, option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_APPEND_NEWLINE)


def paste_view(
    paste: Paste, base: str, contents: dict[int, bytes] | None = None, *, is_veiled: bool = False
) -> dict[str, Any]:
    """The members of a PasteView; with `contents` by position those of a PasteContentView.

    `is_veiled` leaves out what tells of the content: by a digest it could be guessed without the password. A dict: what
    is encoded and forgotten need not become a dataclass before.
    """
    if is_veiled:
        files = [_veiled_view(paste, file, base) for file in paste.files]
    elif contents is None:
        files = [_file_view(paste, file, base) for file in paste.files]
    else:
        files = [_content_view(paste, file, base, contents.get(file.position)) for file in paste.files]
    url = f"{base}/{paste.slug}" if paste.latest is None else f"{base}/{paste.slug}/rev/{paste.revision}"
    return {
        "slug": paste.slug,
        "url": url,
        "raw_url": f"{url}/raw",
        "title": None if is_veiled else paste.title,
        "visibility": paste.visibility,
        "protection": paste.protection,
        "created_at": paste.created_at,
        "revised_at": paste.revised_at,
        "expires_at": paste.expires_at,
        "max_reads": paste.max_reads,
        "reads_left": paste.reads_left,
        "parent": paste.parent,
        "encryption": paste.encryption,
        "analytics": paste.analytics,
        "is_growing": paste.is_growing,
        "revision": paste.revision,
        "size": paste.size,
        "files": files,
    }


def created_view(published: Published, base: str) -> dict[str, Any]:
    """The members of a CreatedView."""
    view = paste_view(published.paste, base)
    view["token"] = published.token
    return view


def _file_view(paste: Paste, file: File, base: str) -> dict[str, Any]:
    return {
        "name": file.name,
        "size": file.size,
        "sha256": file.sha256.hex(),
        "media_type": file.media_type,
        "syntax": file.syntax,
        "raw_url": base + raw_path(paste, file),
    }


def _veiled_view(paste: Paste, file: File, base: str) -> dict[str, Any]:
    hidden = dict.fromkeys(("name", "sha256", "syntax"))
    return {**_file_view(paste, file, base), **hidden, "raw_url": f"{base}/{paste.slug}/raw"}


def _content_view(paste: Paste, file: File, base: str, content: bytes | None) -> dict[str, Any]:
    view = _file_view(paste, file, base)
    view["content"] = view["encoding"] = None
    if content is not None:
        try:
            view["content"], view["encoding"] = content.decode(), "utf-8"
        except UnicodeDecodeError:
            view["content"], view["encoding"] = base64.b64encode(content).decode(), "base64"
    return view
