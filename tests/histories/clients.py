"""What clients do: every verb of the service, recorded with what it was told."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import orjson

from tests.histories.access import Access, Answer
from tests.histories.operations import (
    DAMAGED,
    GONE,
    SEALED,
    History,
    Kind,
    Operation,
    Outcome,
    Paste,
    body,
    version_in,
    version_on,
)

TOKEN = "Pastebin-Consistency"
PASSWORD = "open sesame"
LARGE_BYTES = 70_000  # more than fits into a row: it goes to the object store
Way = Literal["raw", "page", "api"]


@dataclass(eq=False)
class Subject:
    """A paste as those know it who have the link and the owner token; the lock keeps its writers apart."""

    paste: Paste
    slug: str
    token: str
    size: int
    version: int = 0
    is_over: bool = False  # nobody writes to it any more
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def key(self) -> str:
        return self.paste.key


@dataclass
class Ledger:
    """Where everybody writes down what happened."""

    history: History = field(default_factory=History)
    lease_seconds: float = 16.0  # for so long a cache that was not told may go on serving what it has
    patience: float = 25.0  # for so long a client tries
    asked: Counter[str] = field(default_factory=Counter)  # how often the body of a paste was asked for
    oddities: list[str] = field(default_factory=list)  # answers that no fault explains

    def note(self, operation: Operation) -> None:
        self.history.operations.append(operation)


@dataclass
class Client:
    """Does one thing after the other, in its region unless it roams; with a session it sends on the token it has."""

    name: str
    accesses: tuple[Access, ...]
    ledger: Ledger
    in_session: bool
    _turn: int = 0
    _token: str = ""

    @property
    def access(self) -> Access:
        return self.accesses[self._turn % len(self.accesses)]

    async def create(self, key: str, size: int, options: Mapping[str, Any], access: Access | None = None) -> Subject:
        """Make a paste; raises LookupError if nobody has acknowledged it."""
        access = access or self.access
        text = body(key, 0, size)
        headers = {"Idempotency-Key": f"history-{key:0>24}", "Accept": "application/json", **self._session()}
        what: dict[str, Any] = {"params": {"title": key, **options}, "data": text}
        if size < LARGE_BYTES:
            what = {"json": {"content": text.decode(), "title": key, **options}}
        invoked = time.monotonic()
        answer = await self._ask(access, "POST", "/api/v1/pastes", headers=headers, seconds=30.0, **what)
        is_made = answer.status in (200, 201)
        made = orjson.loads(answer.body) if is_made else {}
        paste = Paste(key, options.get("max_reads"), "password" in options, _moment(made.get("expires_at")))
        if is_made or key not in self.ledger.history.pastes:
            self.ledger.history.pastes[key] = paste
        slug = made.get("slug", "")
        self._note("create", key, invoked, answer, "ok" if is_made else "info", 0, slug=slug, access=access)
        if not is_made:
            if answer.status == 404:  # what this key has made is gone again
                self._note("read", key, invoked, answer, "ok", GONE, access=access)
            elif answer.status:
                self.ledger.oddities.append(f"create {key}: {answer.how} {answer.body[:300]!r}")
            raise LookupError(key)
        return Subject(paste, slug, made["token"], size)

    async def read(self, subject: Subject, way: Way) -> int | None:
        """Look at it; what was found, None if nothing was."""
        invoked, slug = time.monotonic(), subject.slug
        path = {"raw": f"/{slug}/raw", "page": f"/{slug}", "api": f"/api/v1/pastes/{slug}"}[way]
        headers = {"Accept": "text/html" if way == "page" else "*/*", **self._session()}
        params = {"content": "true"} if way == "api" else {}
        answer = await self._ask(self.access, "GET", path, headers=headers, params=params)
        self.ledger.asked[subject.key] += len(answer.tries)
        found = self._found(subject, way, answer)
        self._note("read", subject.key, invoked, answer, "fail" if found is None else "ok", found)
        return found

    def _found(self, subject: Subject, way: Way, answer: Answer) -> int | None:
        if answer.status == 404:
            return GONE
        if answer.status == 403:
            return SEALED
        if answer.status != 200:
            if answer.status:
                self.ledger.oddities.append(f"read {subject.key}: {answer.how}")
            return None
        if way == "raw":
            return version_in(subject.key, answer.body)
        if way == "page":
            version = version_on(subject.key, answer.body.decode())
            return SEALED if version == DAMAGED and subject.paste.is_sealed and b"</html>" in answer.body else version
        shown = orjson.loads(answer.body)
        version = version_in(subject.key, shown["files"][0].get("content", "").encode())
        return version if version == shown["revision"] - 1 else DAMAGED

    async def revise(self, subject: Subject) -> None:
        """The next version; only if nobody has been faster, so that what is late never comes after what is later."""
        version, invoked = subject.version + 1, time.monotonic()
        headers = {**self._owner(subject), "If-Match": f'"{subject.version + 1}"'}
        text = body(subject.key, version, subject.size).decode()
        path = f"/api/v1/pastes/{subject.slug}"
        answer = await self._ask(self.access, "PATCH", path, headers=headers, json={"content": text}, seconds=30.0)
        # who finds the next revision there, when nobody else writes, has made it with a try whose answer was lost
        is_done = answer.status == 200 or (answer.status == 412 and answer.may_have_happened)
        self._wrote("revise", subject, invoked, answer, version, is_done=is_done)
        if is_done:
            subject.version = version

    async def delete(self, subject: Subject) -> None:
        invoked = time.monotonic()
        answer = await self._ask(
            self.access, "DELETE", f"/api/v1/pastes/{subject.slug}", headers=self._owner(subject), seconds=30.0
        )
        is_done = answer.status == 204 or (answer.status == 404 and answer.may_have_happened)
        self._wrote("delete", subject, invoked, answer, None, is_done=is_done)
        subject.is_over = True

    def _wrote(
        self, kind: Kind, subject: Subject, invoked: float, answer: Answer, version: int | None, *, is_done: bool
    ) -> None:
        if not is_done:
            subject.is_over = True
        if answer.status == 404 and not is_done:
            self._note("read", subject.key, invoked, answer, "ok", GONE)  # it must have been gone before
            self._note(kind, subject.key, invoked, answer, "fail", version)
            return
        if answer.status and not is_done:
            self.ledger.oddities.append(f"{kind} {subject.key}: {answer.how} {answer.body[:300]!r}")
        is_told = answer.headers.get("Pastebin-Purge", "").startswith("confirmed")
        operation = self._note(kind, subject.key, invoked, answer, "ok" if is_done else "info", version)
        if is_done and not is_told:
            late = replace(operation, holds_at=operation.ended + self.ledger.lease_seconds)
            self.ledger.history.operations[-1] = late

    async def reveal(self, subject: Subject, password: str = PASSWORD, patience: float | None = None) -> int | None:
        """Use up a read, or open what has a password. It is not sent again: nobody knows whether it has happened."""
        invoked = time.monotonic()
        given = {"password": password} if subject.paste.has_password else {}
        path, headers = f"/api/v1/pastes/{subject.slug}/reveal", {"Accept": "*/*", **self._session()}
        answer = await self._ask(
            self.access, "POST", path, headers=headers, json=given, is_safe=False, seconds=patience or 10.0
        )
        self.ledger.asked[subject.key] += len(answer.tries)
        if answer.status == 200:
            return self._revealed(subject, invoked, answer, version_in(subject.key, answer.body))
        if answer.status == 404:
            return self._revealed(subject, invoked, answer, GONE)
        is_refused = answer.status == 403 and password != PASSWORD
        if answer.status and not is_refused:
            self.ledger.oddities.append(f"reveal {subject.key}: {answer.how} {answer.body[:300]!r}")
        self._note("reveal", subject.key, invoked, answer, "fail" if is_refused else "info", None)
        return None

    def _revealed(self, subject: Subject, invoked: float, answer: Answer, value: int) -> int:
        self._note("reveal", subject.key, invoked, answer, "ok", value)
        return value

    async def _ask(self, access: Access, method: str, path: str, **what: Any) -> Answer:
        answer = await access.ask(method, path, patience=self.ledger.patience, **what)
        if any(re.search(r"\d \b500\b", said) for said in answer.tries):
            self.ledger.oddities.append(f"{method} {path}: {answer.how} {answer.body[:300]!r}")
        if self.in_session:
            self._token = answer.headers.get(TOKEN, self._token)
        self._turn += 1
        return answer

    def _session(self) -> dict[str, str]:
        return {TOKEN: self._token} if self.in_session else {}

    def _owner(self, subject: Subject) -> dict[str, str]:
        return {"Authorization": f"Bearer {subject.token}", **self._session()}

    def _note(
        self,
        kind: Kind,
        key: str,
        invoked: float,
        answer: Answer,
        outcome: Outcome,
        value: int | None,
        *,
        slug: str = "",
        access: Access | None = None,
    ) -> Operation:
        operation = Operation(
            client=self.name,
            region=(access or self.accesses[(self._turn - 1) % len(self.accesses)]).region,
            kind=kind,
            key=key,
            invoked=invoked,
            ended=time.monotonic(),
            outcome=outcome,
            value=value,
            session=self.name if self.in_session else "",
            slug=slug,
            how=answer.how,
        )
        self.ledger.note(operation)
        return operation


def _moment(expires_at: str | None) -> float | None:
    """When that is on the monotonic clock."""
    if expires_at is None:
        return None
    return datetime.fromisoformat(expires_at).timestamp() - time.time() + time.monotonic()
