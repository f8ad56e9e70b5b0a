"""Domain words as RFC 9457 problem documents: one table, looked up along the class hierarchy."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from pastebin import errors

MEDIA_TYPE = "application/problem+json"
# On answers that the region of the primary could give, whatever form they have.
BEHIND = "Pastebin-Behind"


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind of error looks from outside."""

    status: int
    slug: str
    title: str


TABLE: dict[type[errors.PastebinError], Row] = {
    errors.PastebinError: Row(500, "internal-error", "Internal error"),
    errors.UnreadableRequest: Row(400, "unreadable-request", "Unreadable request"),
    errors.TokenRequired: Row(401, "token-required", "Owner token required"),
    errors.AdminRequired: Row(401, "admin-required", "Admin token required"),
    errors.AdminRefused: Row(403, "admin-refused", "Not the admin token"),
    errors.EditForbidden: Row(403, "edit-forbidden", "Not the owner token"),
    errors.RevealRequired: Row(403, "reveal-required", "Protected paste"),
    errors.WrongPassword: Row(403, "wrong-password", "Wrong password"),
    errors.CrossSiteRequest: Row(403, "cross-site-request", "Cross-site request"),
    errors.StrangerRefused: Row(403, "stranger-refused", "For the nodes of this installation"),
    errors.PasteNotFound: Row(404, "paste-not-found", "Paste not found"),
    errors.PasteTakenDown: Row(451, "paste-taken-down", "Paste taken down"),
    errors.UploadTooSlow: Row(408, "upload-too-slow", "Upload too slow"),
    errors.SlugTaken: Row(409, "slug-taken", "Slug taken"),
    errors.RevisionConflict: Row(412, "revision-conflict", "Revision conflict"),
    errors.PreconditionFailed: Row(412, "precondition-failed", "Precondition failed"),
    errors.PasteTooLarge: Row(413, "paste-too-large", "Paste too large"),
    errors.UnsupportedMedia: Row(415, "unsupported-media", "Unsupported media type"),
    errors.RangeUnsatisfiable: Row(416, "range-unsatisfiable", "Range not satisfiable"),
    errors.Misdirected: Row(421, "misdirected", "Misdirected request"),
    errors.InvalidPaste: Row(422, "invalid-paste", "Paste not acceptable"),
    errors.CredentialsFound: Row(422, "secret-found", "Content looks like it holds a secret"),
    errors.IdempotencyMismatch: Row(422, "idempotency-mismatch", "Idempotency-Key used for another paste"),
    errors.InvalidQuestion: Row(422, "invalid-question", "Question not acceptable"),
    errors.RateLimited: Row(429, "rate-limited", "Too many requests"),
    errors.BadUpstream: Row(502, "bad-upstream", "Bad answer from the origin"),
    errors.UpstreamUnavailable: Row(502, "upstream-unavailable", "Origin unavailable"),
    errors.UpstreamTimeout: Row(504, "upstream-timeout", "Origin too slow"),
    errors.NotStored: Row(504, "not-stored", "Not stored"),
    errors.Unavailable: Row(503, "unavailable", "Unavailable"),
    errors.DatabaseUnavailable: Row(503, "database-unavailable", "Database unavailable"),
    errors.ReplicaBehind: Row(503, "replica-behind", "Replica behind"),
    errors.BlobMissing: Row(503, "content-unavailable", "Content unavailable"),
    errors.StoredDamaged: Row(503, "stored-damaged", "Cached copy damaged"),
    errors.Overloaded: Row(503, "overloaded", "Overloaded"),
    errors.StorageFull: Row(507, "storage-full", "Storage full"),
}


def row_of(error: errors.PastebinError) -> Row:
    """The row of the nearest class that has one."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


@dataclass(frozen=True, slots=True)
class Document:
    """One problem, ready to be shown as JSON or as a page. Without a `request_id` it is for more than one request."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: tuple[errors.Problem, ...] = ()
    extensions: dict[str, Any] | None = None
    headers: dict[str, str] | None = None

    def as_json(self) -> bytes:
        members: dict[str, Any] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": _text(self.detail),
            **({"request_id": self.request_id} if self.request_id else {}),
            **(self.extensions or {}),
        }
        if self.errors:
            members["errors"] = [{"field": _text(one.field), "message": _text(one.message)} for one in self.errors]
        return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def _text(text: str) -> str:
    """What a client sent can hold a lone surrogate, which JSON in UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def describe(error: errors.PastebinError, request_id: str) -> Document:
    """The document for a domain error."""
    row = row_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unavailable | errors.RateLimited):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.ReplicaBehind):
        headers[BEHIND] = "1"
    if isinstance(error, errors.TokenRequired):
        headers["WWW-Authenticate"] = 'Bearer realm="owner token"'
    if isinstance(error, errors.AdminRequired):
        headers["WWW-Authenticate"] = 'Bearer realm="admin token"'
    if isinstance(error, errors.RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{error.extensions.get('size', '*')}"
    return Document(
        type=f"/problems/{row.slug}",
        title=row.title,
        status=row.status,
        detail=error.detail,
        request_id=request_id,
        errors=tuple(error.problems) if isinstance(error, errors.InvalidPaste) else (),
        extensions=dict(error.extensions),
        headers=headers,
    )


def describe_http(error: web.HTTPException, request_id: str) -> Document:
    """The document for what aiohttp itself refuses, such as 405; its headers (Allow) are kept."""
    kept = {
        name: value for name, value in error.headers.items() if name.lower() not in ("content-type", "content-length")
    }
    return Document(
        type="about:blank",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=HTTPStatus(error.status).description or HTTPStatus(error.status).phrase,
        request_id=request_id,
        headers=kept,
    )


def describe_crash(request_id: str) -> Document:
    """The document for an error nobody foresaw; what happened is in the log under the request id."""
    row = TABLE[errors.PastebinError]
    detail = "Something went wrong here; it has been logged under this request id."
    return Document(f"/problems/{row.slug}", row.title, row.status, detail, request_id)
