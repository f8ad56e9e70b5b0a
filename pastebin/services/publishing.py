"""Making pastes, changing them, ending them."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from prometheus_client import Counter

from pastebin import slugs
from pastebin.errors import (
    EditForbidden,
    IdempotencyMismatch,
    InvalidPaste,
    Overloaded,
    PastebinError,
    PasteNotFound,
    Problem,
    RevisionConflict,
    SlugTaken,
    TokenRequired,
)
from pastebin.metrics import Metrics
from pastebin.models import Changes, Draft, File, Options, Paste, Published, Purge
from pastebin.phrases import Phrase
from pastebin.positions import Position
from pastebin.sections import LimitsSection
from pastebin.services import judging, wishes
from pastebin.services.idempotence import fingerprint
from pastebin.services.intake import Intake
from pastebin.services.passwords import Passwords
from pastebin.services.purging import Purging
from pastebin.store.blobs import Blobs
from pastebin.store.creations import Landed
from pastebin.store.leftovers import Leftovers
from pastebin.store.line_indexes import LineIndexes
from pastebin.store.pastes import Pastes

_SLUG_TRIES = 8
_CHANGE_TRIES = 8
_FIXED = frozenset({"slug", "parent", "encryption"})
# Options that have more to be waited for than the commit: a slow hash, the database's clock, a purge.
_WAITED_FOR = frozenset({"password", "expires_at", "slug"})

# Hears what became of a create, and where in the history of the database.
Tell = Callable[[Published | Exception, Position | None], None]
# The files of a new revision of a paste as it is now.
Arrange = Callable[[Paste], Awaitable[tuple[File, ...]]]


class Publishing:
    """The write side of a paste: validated, stored, then made visible by one durable commit.

    `secrets` are those under which an Idempotency-Key may have been used, that of this node first.
    """

    def __init__(
        self,
        pastes: Pastes,
        blobs: Blobs,
        leftovers: Leftovers,
        passwords: Passwords,
        limits: LimitsSection,
        inline_max_bytes: int,
        secrets: Sequence[bytes],
        metrics: Metrics,
        line_indexes: LineIndexes,
        purging: Purging | None = None,
    ) -> None:
        self._pastes = pastes
        self._line_indexes = line_indexes
        self._blobs = blobs
        self._leftovers = leftovers
        self._passwords = passwords
        self._limits = limits
        self._inline_max_bytes = inline_max_bytes
        self._secrets = secrets
        self._metrics = metrics
        self._purging = purging
        self._created = metrics.published.labels("created")
        self._revised = metrics.published.labels("revised")

    def intake(self) -> Intake:
        """Where the content goes; commit it with `create` or `revise` inside its block, or nothing of it stays."""
        limits, inline = self._limits, self._inline_max_bytes
        return Intake(self._blobs, self._leftovers, limits, inline, self._metrics, self._line_indexes)

    async def create(self, taken: Intake, options: Options) -> Published:
        """Make the paste durable and visible. Raises InvalidPaste with all problems, SlugTaken, IdempotencyMismatch,
        StorageFull.
        """
        files = judging.named(taken.files, options)
        _refuse(await self.problems(options), taken, files, options)
        await self._blobs.require_room()
        hashed = await self._passwords.hash(options.password) if options.password else None
        with taken.committing():
            paste, token = await self._made(taken, files, options, hashed, self._secrets)
        if taken.blob_keys and {file.blob_key for file in paste.files}.isdisjoint(taken.blob_keys):
            # a retry found the first request's paste: its bytes are these bytes, stored twice
            await taken.abandon(taken.blob_keys)
        self._created.inc()
        # somebody may have asked for a chosen name before, and been told that there is none
        purge = await self._purged(paste.change, paste.slug) if options.slug is not None else None
        return Published(paste, token, purge)

    def begin(self, taken: Intake, options: Options, tell: Tell) -> Callable[[], None] | None:
        """`create` without waiting, where nothing but its commit is to be waited for; None: it takes `create`.

        `tell` is called once, in a later turn of the loop. Returns what takes back a paste that is not on its way to
        the database yet: nobody is told then. Raises InvalidPaste, Overloaded.
        """
        if options.asked & _WAITED_FOR or options.idempotency_key is not None:
            return None
        if taken.blob_keys or not self._blobs.knows_room:
            return None
        files = judging.named(taken.files, options)
        _refuse(wishes.problems(options, self._limits.max_lifetime_seconds), taken, files, options)
        draft, token = self.drafted(files, options, None)
        return _Beginning(self._pastes, self._created, draft, token, tell).begin()

    def drafted(
        self, files: tuple[File, ...], options: Options, password_hash: str | None, secret: bytes = b""
    ) -> tuple[Draft, str]:
        """What is to be committed, and the owner token. `secret` is another one than that of this node."""
        key, secret = options.idempotency_key, secret or self._secrets[0]
        token = slugs.derive_token(secret, key) if key else slugs.generate_token()
        draft = Draft(
            slug=options.slug or slugs.generate(protected=_is_protected(options)),
            files=files,
            token_hash=slugs.hash_token(token),
            title=options.title or None,
            visibility=options.visibility or "unlisted",
            lifetime=self._lifetime(options),
            expires_at=options.expires_at,
            max_reads=options.max_reads,
            password_hash=password_hash,
            encryption=options.encryption,
            parent=options.parent,
            idempotency_hash=slugs.hash_token(key) if key else None,
            fingerprint=fingerprint(files, options, secret) if key else None,
            is_named=options.slug is not None,
            analytics=options.analytics or "owner",
        )
        return draft, token

    async def _made(
        self, taken: Intake, files: tuple[File, ...], options: Options, hashed: str | None, secrets: Sequence[bytes]
    ) -> tuple[Paste, str]:
        """The paste and its owner token. A request that is sent again while the secret changes gets those of before:
        what it made has another token, or another fingerprint, than it would have now.
        """
        secret, *others = secrets
        draft, token = self.drafted(files, options, hashed, secret)
        draft = replace(draft, shares_blobs=taken.shares_blobs)
        try:
            paste = await self._insert(draft, own_slug=draft.is_named)
        except IdempotencyMismatch:
            if not others:
                raise
        else:
            if not others or hmac.compare_digest(paste.token_hash, draft.token_hash):
                return paste, token
        return await self._made(taken, files, options, hashed, others)

    async def _insert(self, draft: Draft, *, own_slug: bool) -> Paste:
        for _ in range(_SLUG_TRIES):
            try:
                return await self._pastes.create(draft)
            except SlugTaken:
                if own_slug:
                    raise
                draft = _renamed(draft)
        raise SlugTaken

    async def revise(
        self,
        slug: str,
        token: str | None,
        taken: Intake,
        options: Options,
        if_match: str | None,
        arrange: Arrange | None = None,
    ) -> tuple[Paste, Purge]:
        """Change a paste, and say how many caches know it; new content makes a new revision, the old ones are kept.

        `arrange` makes the files out of those of the paste, again if somebody else was faster; none: they stay.
        `if_match` is the revision, or `revision.version`, that the caller believes to be current. What was judged on
        an earlier look is judged again when somebody else was faster; only who lost a race about the content, or
        insists on a revision, hears of it. Raises TokenRequired, EditForbidden, PasteNotFound, RevisionConflict,
        InvalidPaste, StorageFull.
        """
        paste = await self.authorise(slug, token)
        if if_match not in (None, str(paste.revision), f"{paste.revision}.{paste.version}"):
            raise RevisionConflict(revision=paste.revision)
        files = judging.named(taken.files, options) if arrange is None else await arrange(paste)
        if files:
            await self._blobs.require_room()
        mistakes = await self.problems(options) + judging.unless_named(taken.problems, options, taken.files)
        self._judge_change(paste, files, options, mistakes)
        judging.refuse_credentials(options, taken.scanners)
        changes = Changes(files or None, await self._members(options))
        for _ in range(_CHANGE_TRIES):
            try:
                with taken.committing():
                    revised = await self._pastes.revise(paste, changes)
            except RevisionConflict:
                seen, paste = paste, await self.authorise(slug, token)
                if if_match is not None or (files and arrange is None and paste.revision != seen.revision):
                    raise RevisionConflict(revision=paste.revision) from None
                if arrange is not None:
                    files = await arrange(paste)
                    changes = replace(changes, files=files or None)
                self._judge_change(paste, files, options, mistakes)
            else:
                self._revised.inc()
                return revised, await self._purged(revised.change, slug)
        raise Overloaded("The paste is being changed too often; try again shortly.")

    def _judge_change(
        self, paste: Paste, files: tuple[File, ...], options: Options, mistakes: Sequence[Problem]
    ) -> None:
        """Raise InvalidPaste with the `mistakes` of the request itself, and what this paste does not allow."""
        problems = [*mistakes, *judging.live_problems(paste, options, files)]
        if files:
            problems += judging.content_problems(files)
            if paste.revision >= self._limits.max_revisions:
                problems.append(
                    Problem("files", Phrase("a paste has at most %(num)s revisions", num=self._limits.max_revisions))
                )
        problems += [Problem(member, "cannot be changed") for member in sorted(_FIXED & options.asked)]
        if "password" in options.asked and (paste.encryption or {}).get("verifier") is True:
            problems.append(Problem("password", "cannot be changed"))  # it is made of the key
        if not files and ("name" in options.asked or "syntax" in options.asked):
            problems.append(Problem("name", "comes with new content only"))
        problems += judging.protected_problems(_merged(paste, options), files or paste.files)
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

    async def problems(self, options: Options) -> list[Problem]:
        """Everything wrong with the options of a create or a change."""
        mistakes = wishes.problems(options, self._limits.max_lifetime_seconds)
        return mistakes + await self._moment_problems(options)

    async def _moment_problems(self, options: Options) -> list[Problem]:
        longest = self._limits.max_lifetime_seconds
        if longest and options.expires_at is not None:
            latest = await self._pastes.now() + timedelta(seconds=longest)
            if options.expires_at > latest:
                return [Problem("expires_at", Phrase("must be at most %(num)s seconds from now", num=longest))]
        return []


def _refuse(problems: list[Problem], taken: Intake, files: tuple[File, ...], options: Options) -> None:
    """Raise InvalidPaste with the `problems` of the options and those of the content, if there are any."""
    problems += judging.unless_named(taken.problems, options, taken.files)
    if not problems or not any(problem.field.startswith(("content", "files")) for problem in problems):
        problems += [*judging.content_problems(files), *judging.protected_problems(options, files)]
    if problems:
        raise InvalidPaste(problems)
    judging.refuse_credentials(options, taken.scanners)


class _Beginning:
    """A create that no task waits for; see `Publishing.begin`."""

    __slots__ = ("_created", "_draft", "_pastes", "_take_back", "_tell", "_token", "_tries_left")

    def __init__(self, pastes: Pastes, created: Counter, draft: Draft, token: str, tell: Tell) -> None:
        self._pastes = pastes
        self._created = created
        self._draft = draft
        self._token = token
        self._tell = tell
        self._tries_left = _SLUG_TRIES

    def begin(self) -> Callable[[], None]:
        self._try()
        return self._stop

    def _try(self) -> None:
        self._tries_left -= 1
        self._take_back = self._pastes.begin(self._draft, self._land)

    def _stop(self) -> None:
        self._take_back()

    def _land(self, landed: Landed | Exception) -> None:
        if isinstance(landed, SlugTaken) and self._tries_left:
            self._draft = _renamed(self._draft)
            try:
                self._try()
            except PastebinError as error:
                self._tell(error, None)
        elif isinstance(landed, Exception):
            self._tell(landed, None)
        else:
            assert landed.paste is not None  # noqa: S101  (only an Idempotency-Key finds an earlier one)
            self._created.inc()
            self._tell(Published(landed.paste, self._token), landed.position)


def _renamed(draft: Draft) -> Draft:
    return replace(draft, slug=slugs.generate(protected=len(draft.slug) == slugs.PROTECTED_LENGTH))


def _is_protected(options: Options) -> bool:
    return options.max_reads is not None or bool(options.password) or options.visibility == "private"


def _merged(paste: Paste, options: Options) -> Options:
    """The protection that a paste will have after a change."""
    max_reads = options.max_reads if options.asked & {"max_reads", "burn"} else paste.max_reads
    password = options.password if "password" in options.asked else paste.password_hash
    return Options(max_reads=max_reads, password=password)
