"""The domain's errors, as words.

The first line of a docstring is the message that a user sees when the raise gives none. HTTP status codes are
not known here: `pastebin.http.problems` maps each word once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with outside data: where (`files[0].name`, `database.primary`) and what is allowed."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class PastebinError(Exception):
    """Something went wrong."""

    def __init__(self, detail: str | None = None, **extensions: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        self.extensions = extensions
        super().__init__(self.detail)


class PasteNotFound(PastebinError):
    """There is no such paste: it never existed, has expired, or was deleted."""


class PasteTakenDown(PasteNotFound):
    """This paste was taken down by those who run this service."""


class TokenRequired(PastebinError):
    """This needs the owner token, sent as 'Authorization: Bearer <token>'."""


class EditForbidden(PastebinError):
    """This is not the owner token of this paste."""


class AdminRequired(PastebinError):
    """This needs the admin token, sent as 'Authorization: Bearer <token>', or the cookie that /admin gives."""


class AdminRefused(PastebinError):
    """This is not the admin token of this instance."""


class RevealRequired(PastebinError):
    """This paste is protected: reading it takes a POST to its reveal address."""


class WrongPassword(PastebinError):
    """The password is wrong; no read was used up."""


class CrossSiteRequest(PastebinError):
    """This form was sent from another site and was refused."""


class StrangerRefused(PastebinError):
    """This address is for the nodes of this installation only."""


class SlugTaken(PastebinError):
    """Another paste has this slug already."""


class RevisionConflict(PastebinError):
    """The paste has changed since the revision named in If-Match."""


class PreconditionFailed(PastebinError):
    """The paste does not match the condition of this request."""


class RangeUnsatisfiable(PastebinError):
    """The range lies outside the content."""


class UnreadableRequest(PastebinError):
    """The request could not be read."""


class Misdirected(PastebinError):
    """This server does not answer for the host that was asked."""


class InvalidPaste(PastebinError):
    """The paste is not acceptable."""

    def __init__(self, problems: list[Problem], detail: str | None = None) -> None:
        super().__init__(detail or "; ".join(str(problem) for problem in problems[:5]))
        self.problems = problems


class CredentialsFound(InvalidPaste):
    """Something in the content looks like a credential, and reject_secrets asks for such content to be refused."""


class InvalidQuestion(InvalidPaste):
    """The question cannot be answered as it is put."""


class IdempotencyMismatch(PastebinError):
    """This Idempotency-Key was used within 24 hours for a different paste; use a new key."""


class PasteTooLarge(PastebinError):
    """The paste is larger than this instance allows."""


class UnsupportedMedia(PastebinError):
    """This kind of body is not accepted here."""


class UploadTooSlow(PastebinError):
    """The body stopped arriving before it was complete."""


class RateLimited(PastebinError):
    """Too many requests of this kind come from your address; try again later."""

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 60) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class StorageFull(PastebinError):
    """The server has no room for this paste at the moment; nothing was stored."""


class Unavailable(PastebinError):
    """The service cannot answer at the moment; try again shortly."""

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 2) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached at the moment; try again shortly."""


class ReplicaBehind(DatabaseUnavailable):
    """No database server within reach has what this client has seen already; try again shortly."""


class BlobMissing(Unavailable):
    """The content cannot be read at the moment; try again shortly."""


class StoredDamaged(Unavailable):
    """A cached copy of the answer cannot be read; try again shortly."""


class Overloaded(Unavailable):
    """The server has too much to do at the moment; try again shortly."""


class BadUpstream(PastebinError):
    """What the origin answered cannot be understood."""


class UpstreamUnavailable(Unavailable):
    """The origin cannot be reached at the moment; try again shortly."""


class UpstreamTimeout(Unavailable):
    """The origin does not answer in time; try again shortly."""


class NotStored(PastebinError):
    """Nothing is stored that may answer this request, which asked not to look further (only-if-cached)."""


class StartError(PastebinError):
    """The node cannot start."""

    exit_code = 70  # the numbers are those of sysexits.h; README lists them


class ConfigError(StartError):
    """The configuration has problems."""

    exit_code = 78

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class SchemaMismatch(StartError):
    """The database schema does not fit this version of pastebin."""

    exit_code = 65


class ResourceUnavailable(StartError):
    """Something the node needs to start cannot be had."""

    exit_code = 69


class DataDirectoryUnusable(StartError):
    """The data directory cannot be used."""

    exit_code = 73
