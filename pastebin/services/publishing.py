"""Making pastes, changing them, ending them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson

from pastebin import slugs
from pastebin.errors import (
    EditForbidden,
    InvalidPaste,
    Overloaded,
    PasteNotFound,
    Problem,
    RevisionConflict,
    SlugTaken,
    TokenRequired,
)
from pastebin.metrics import Metrics
from pastebin.models import Changes, Draft, File, Options, Paste, Published, Purge
from pastebin.sections import LimitsSection
from pastebin.services import intake, syntaxes
from pastebin.services.intake import Intake
from pastebin.services.passwords import Passwords
from pastebin.services.purging import Purging
from pastebin.store.blobs import Blobs
from pastebin.store.leftovers import Leftovers
from pastebin.store.pastes import Pastes

TITLE_CHARACTERS = 200
PASSWORD_CHARACTERS = 1024
MAX_READS = 1_000_000
IDEMPOTENCY_CHARACTERS = (16, 255)
ENCRYPTION_BYTES = 4096
# What a reveal can hand out in one answer when the paste has several files (see `_protected_problems`).
REVEAL_BYTES = 1024 * 1024
_SLUG_TRIES = 8
_CHANGE_TRIES = 8
_FIXED = frozenset({"slug", "parent", "encryption"})


class Publishing:
    """The write side of a paste: validated, stored, then made visible by one durable commit."""

    def __init__(
        self,
        pastes: Pastes,
        blobs: Blobs,
        leftovers: Leftovers,
        passwords: Passwords,
        limits: LimitsSection,
        inline_max_bytes: int,
        secret: bytes,
        metrics: Metrics,
        purging: Purging | None = None,
    ) -> None:
        self._pastes = pastes
        self._blobs = blobs
        self._leftovers = leftovers
        self._passwords = passwords
        self._limits = limits
        self._inline_max_bytes = inline_max_bytes
        self._secret = secret
        self._metrics = metrics
        self._purging = purging
        self._created = metrics.published.labels("created")
        self._revised = metrics.published.labels("revised")

    def intake(self) -> Intake:
        """Where the content goes; commit it with `create` or `revise` inside its block, or nothing of it stays."""
        return Intake(self._blobs, self._leftovers, self._limits, self._inline_max_bytes, self._metrics)

    async def create(self, taken: Intake, options: Options) -> Published:
        """Make the paste durable and visible. Raises InvalidPaste with all problems, SlugTaken, IdempotencyMismatch,
        StorageFull.
        """
        files = _named(taken.files, options)
        problems = await self._problems(options) + _unless_named(taken.problems, options)
        if not problems or not any(problem.field.startswith(("content", "files")) for problem in problems):
            problems += [*_content_problems(files), *_protected_problems(options, files)]
        if problems:
            raise InvalidPaste(problems)
        await self._blobs.require_room()
        key = options.idempotency_key
        token = slugs.derive_token(self._secret, key) if key else slugs.generate_token()
        draft = Draft(
            slug=options.slug or slugs.generate(protected=_is_protected(options)),
            files=files,
            token_hash=slugs.hash_token(token),
            title=options.title or None,
            visibility=options.visibility or "unlisted",
            lifetime=self._lifetime(options),
            expires_at=options.expires_at,
            max_reads=options.max_reads,
            password_hash=await self._passwords.hash(options.password) if options.password else None,
            encryption=options.encryption,
            parent=options.parent,
            idempotency_hash=slugs.hash_token(key) if key else None,
            fingerprint=_fingerprint(files, options, self._secret) if key else None,
            is_named=options.slug is not None,
            analytics=options.analytics or "owner",
        )
        with taken.committing():
            paste = await self._insert(draft, own_slug=options.slug is not None)
        if taken.blob_keys and {file.blob_key for file in paste.files}.isdisjoint(taken.blob_keys):
            # a retry found the first request's paste: its bytes are these bytes, stored twice
            await taken.abandon(taken.blob_keys)
        self._created.inc()
        # somebody may have asked for a chosen name before, and been told that there is none
        purge = await self._purged(paste.change, paste.slug) if draft.is_named else None
        return Published(paste, token, purge)

    async def _insert(self, draft: Draft, *, own_slug: bool) -> Paste:
        for _ in range(_SLUG_TRIES):
            try:
                return await self._pastes.create(draft)
            except SlugTaken:
                if own_slug:
                    raise
                draft = replace(draft, slug=slugs.generate(protected=len(draft.slug) == slugs.PROTECTED_LENGTH))
        raise SlugTaken

    async def revise(
        self, slug: str, token: str | None, taken: Intake, options: Options, if_match: str | None
    ) -> tuple[Paste, Purge]:
        """Change a paste, and say how many caches know it; new content makes a new revision, the old ones are kept.

        `if_match` is the revision, or `revision.version`, that the caller believes to be current. What was judged on
        an earlier look is judged again when somebody else was faster; only who lost a race about the content, or
        insists on a revision, hears of it. Raises TokenRequired, EditForbidden, PasteNotFound, RevisionConflict,
        InvalidPaste, StorageFull.
        """
        paste = await self.authorise(slug, token)
        if if_match not in (None, str(paste.revision), f"{paste.revision}.{paste.version}"):
            raise RevisionConflict(revision=paste.revision)
        files = _named(taken.files, options)
        if files:
            await self._blobs.require_room()
        mistakes = await self._problems(options) + _unless_named(taken.problems, options)
        self._judge_change(paste, files, options, mistakes)
        changes = Changes(files or None, await self._members(options))
        for _ in range(_CHANGE_TRIES):
            try:
                with taken.committing():
                    revised = await self._pastes.revise(paste, changes)
            except RevisionConflict:
                seen, paste = paste, await self.authorise(slug, token)
                if if_match is not None or (files and paste.revision != seen.revision):
                    raise RevisionConflict(revision=paste.revision) from None
                self._judge_change(paste, files, options, mistakes)
            else:
                self._revised.inc()
                return revised, await self._purged(revised.change, slug)
        raise Overloaded("The paste is being changed too often; try again shortly.")

    def _judge_change(
        self, paste: Paste, files: tuple[File, ...], options: Options, mistakes: Sequence[Problem]
    ) -> None:
        """Raise InvalidPaste with the `mistakes` of the request itself, and what this paste does not allow."""
        problems = list(mistakes)
        if files:
            problems += _content_problems(files)
            if paste.revision >= self._limits.max_revisions:
                problems.append(Problem("files", f"a paste has at most {self._limits.max_revisions} revisions"))
        problems += [Problem(member, "cannot be changed") for member in sorted(_FIXED & options.asked)]
        if not files and ("name" in options.asked or "syntax" in options.asked):
            problems.append(Problem("name", "comes with new content only"))
        problems += _protected_problems(_merged(paste, options), files or paste.files)
        if problems:
            raise InvalidPaste(problems)

    async def _members(self, options: Options) -> dict[str, Any]:
        """What the options change, as `Changes` has it."""
        asked = options.asked
        members: dict[str, Any] = {}
        if "title" in asked:
            members["title"] = options.title or None
        if options.visibility:
            members["visibility"] = options.visibility
        if "analytics" in asked:
            members["analytics"] = options.analytics or "owner"
        if "expires_in" in asked or "expires_at" in asked:
            members["lifetime"] = options.lifetime
            members["expires_at"] = options.expires_at
        if "max_reads" in asked or "burn" in asked:
            members["max_reads"] = options.max_reads
        if "password" in asked:
            members["password_hash"] = await self._passwords.hash(options.password) if options.password else None
        return members

    async def delete(self, slug: str, token: str | None) -> Purge:
        """End a paste for everybody, and say how many caches know it.

        Raises TokenRequired, EditForbidden, PasteNotFound.
        """
        change = await self._pastes.delete(await self.authorise(slug, token))
        return await self._purged(change, slug)

    async def _purged(self, change: int | None, slug: str) -> Purge:
        """Wait until every cache knows of a change, for a while; the change is made, whatever comes of that."""
        return Purge(0, 0, 0.0) if self._purging is None else await self._purging.confirmed(change, slug)

    async def authorise(self, slug: str, token: str | None) -> Paste:
        """The paste, if `token` is its owner token; a private paste does not show strangers that it exists."""
        if not token:
            raise TokenRequired
        paste = await self._pastes.find(slug, from_primary=True)
        if not hmac.compare_digest(paste.token_hash, slugs.hash_token(token)):
            raise PasteNotFound if paste.visibility == "private" else EditForbidden
        return paste

    def _lifetime(self, options: Options) -> timedelta | None:
        if options.asked & {"expires_in", "expires_at"}:
            return options.lifetime
        seconds = self._limits.default_lifetime_seconds or self._limits.max_lifetime_seconds
        return timedelta(seconds=seconds) if seconds else None

    async def _problems(self, options: Options) -> list[Problem]:
        """Everything wrong with the options of a create or a change."""
        found = list(options.problems)
        if options.name is not None:
            found += intake.name_problems(options.name, "name")
        if options.title is not None and (len(options.title) > TITLE_CHARACTERS or "\0" in options.title):
            found.append(Problem("title", f"must be at most {TITLE_CHARACTERS} characters without NUL"))
        if options.syntax is not None and syntaxes.find(options.syntax) is None:
            found.append(Problem("syntax", "is not known; /api/v1/syntaxes lists what is"))
        if options.slug is not None and (not slugs.is_slug(options.slug) or slugs.is_reserved(options.slug)):
            found.append(Problem("slug", f"must be {slugs.ALLOWED}, and none of the service's own words"))
        if options.parent is not None and not slugs.is_slug(options.parent):
            found.append(Problem("parent", "must be the slug of a paste"))
        if options.max_reads is not None and not 1 <= options.max_reads <= MAX_READS:
            found.append(Problem("max_reads", f"must be 1 to {MAX_READS}"))
        if options.password is not None and len(options.password) > PASSWORD_CHARACTERS:
            found.append(Problem("password", f"must be at most {PASSWORD_CHARACTERS} characters"))
        if options.encryption is not None:
            found += _encryption_problems(options.encryption)
        shortest, longest = IDEMPOTENCY_CHARACTERS
        if (key := options.idempotency_key) is not None and not (
            shortest <= len(key) <= longest and key.isascii() and key.isprintable()
        ):
            found.append(
                Problem(
                    "Idempotency-Key",
                    f"must be {shortest} to {longest} printable ASCII characters, such as a UUID",
                )
            )
        return found + await self._expiry_problems(options)

    async def _expiry_problems(self, options: Options) -> list[Problem]:
        longest = self._limits.max_lifetime_seconds
        if not longest:
            return []
        asked = options.asked & {"expires_in", "expires_at"}
        if asked and options.lifetime is None and options.expires_at is None:
            return [Problem("expires_in", f"must be at most {longest} seconds here, so not 'never'")]
        if options.lifetime is not None and options.lifetime.total_seconds() > longest:
            return [Problem("expires_in", f"must be at most {longest} seconds here")]
        if options.expires_at is not None:
            latest = await self._pastes.now() + timedelta(seconds=longest)
            if options.expires_at > latest:
                return [Problem("expires_at", f"must be at most {longest} seconds from now")]
        return []


def _encryption_problems(parameters: dict[str, Any]) -> list[Problem]:
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


def _is_protected(options: Options) -> bool:
    return options.max_reads is not None or bool(options.password) or options.visibility == "private"


def _named(files: list[File], options: Options) -> tuple[File, ...]:
    """Apply `name` and `syntax` to a single file; give unnamed files among several a name to be addressed by."""
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
    return tuple(
        replace(file, name=file.name or f"file-{file.position + 1}", syntax=chosen.name if chosen else file.syntax)
        for file in files
    )


def _unless_named(problems: list[Problem], options: Options) -> list[Problem]:
    """The option `name` stands for the name of a single file, so it is told once."""
    return [] if options.name is not None else problems


def _content_problems(files: tuple[File, ...]) -> list[Problem]:
    if not files or not any(file.size for file in files):
        return [Problem("content", "must not be empty")]
    found = []
    seen: dict[str | None, int] = {}
    for file in files:
        if len(files) > 1 and file.name in seen:
            found.append(Problem(f"files[{file.position}].name", f"is the name of files[{seen[file.name]}] too"))
        seen.setdefault(file.name, file.position)
        if file.syntax is not None and syntaxes.find(file.syntax) is None:
            found.append(Problem(f"files[{file.position}].syntax", "is not known; /api/v1/syntaxes lists what is"))
    return found


def _protected_problems(options: Options, files: tuple[File, ...]) -> list[Problem]:
    """A reveal is one answer, and it may be the last: several files have to fit into it, a single one is streamed."""
    protected = options.max_reads is not None or options.password
    if protected and len(files) > 1 and sum(file.size for file in files) > REVEAL_BYTES:
        return [
            Problem(
                "files",
                "with a read limit or a password a paste holds one file of any size, "
                f"or several of up to {REVEAL_BYTES} bytes together",
            )
        ]
    return []


def _merged(paste: Paste, options: Options) -> Options:
    """The protection that a paste will have after a change."""
    max_reads = options.max_reads if options.asked & {"max_reads", "burn"} else paste.max_reads
    password = options.password if "password" in options.asked else paste.password_hash
    return Options(max_reads=max_reads, password=password)


def _fingerprint(files: tuple[File, ...], options: Options, secret: bytes) -> bytes:
    """What must be equal for two requests with one Idempotency-Key to be the same request.

    The password is in it only under the secret: the database must not give a fast way to guess it.
    """
    parts = [
        [[file.name, file.syntax, file.sha256.hex()] for file in files],
        [
            options.title,
            options.visibility,
            options.max_reads,
            options.slug,
            options.parent,
            options.encryption,
            *([options.analytics] if options.analytics else []),
        ],
        [options.lifetime.total_seconds() if options.lifetime else None, options.expires_at],
        _sealed(options.password, secret) if options.password else None,
    ]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()


def _sealed(password: str, secret: bytes) -> str:
    return hmac.new(
        secret, b"password of a paste\0" + password.encode("utf-8", "surrogatepass"), hashlib.sha256
    ).hexdigest()
