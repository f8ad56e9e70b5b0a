"""The OpenAPI 3.1 document, made of the Structs that handlers decode with and the views that they answer with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from pastebin import __version__, reports
from pastebin.http import problems, views
from pastebin.http.payloads import (
    CreatePaste,
    DiffQuery,
    PasteChanges,
    PasteOptions,
    ReadQuery,
    ReportPaste,
    RevealPaste,
    RevisePaste,
    RevisionsQuery,
    SearchQuery,
)
from pastebin.services.judging import REVEAL_BYTES
from pastebin.services.watching import Topology

_COMPONENT = "#/components/schemas/{name}"
_PROBLEM = "ProblemView"
_OWNER = "owner-token"
_ADMIN = "admin-token"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path under /api/v1: what goes in, what comes out, what can go wrong."""

    method: str
    path: str
    summary: str
    status: int = 200
    answers: tuple[Any, ...] = ()
    body: type | None = None
    query: type | None = None
    takes_content: bool = False
    gives_bytes: bool = False
    gives_patch: bool = False
    owner: bool = False
    admin: bool = False
    gives_table: bool = False
    gives_events: bool = False
    headers_in: tuple[str, ...] = ()
    headers_out: tuple[str, ...] = ()
    refusals: tuple[str, ...] = field(default=())


_WRITE_REFUSALS = (
    "upload-too-slow",
    "paste-too-large",
    "unsupported-media",
    "invalid-paste",
    "secret-found",
    "storage-full",
)
_OWNER_REFUSALS = ("token-required", "edit-forbidden", "paste-not-found", "paste-taken-down")

_PAST_REFUSALS = ("paste-not-found", "paste-taken-down", "reveal-required", "invalid-paste", "precondition-failed")
_ADMIN_REFUSALS = ("admin-required", "admin-refused", "rate-limited")
_REPORTS: tuple[tuple[str, str, type, type], ...] = (
    ("overview", "Sums over all visits, and those of the time before", reports.ReportQuery, reports.OverviewReport),
    ("timeseries", "Visits by time", reports.SeriesQuery, reports.SeriesReport),
    ("top", "Pastes, files, ways of reading or statuses with the most visits", reports.TopQuery, reports.ListReport),
    ("countries", "Countries with the most visits", reports.ListQuery, reports.ListReport),
    ("referrers", "Sites that visits come from", reports.ListQuery, reports.ListReport),
    ("clients", "Programs with the most visits", reports.ClientsQuery, reports.ListReport),
    ("cache", "Visits by what the cache did", reports.ListQuery, reports.ListReport),
    ("regions", "Regions or points of presence with the most visits", reports.RegionsQuery, reports.ListReport),
    ("storage", "What happened to pastes, by time", reports.ReportQuery, reports.StorageReport),
)


def _report(name: str, summary: str, query: type, answer: type) -> Operation:
    return Operation(
        "GET",
        f"/api/v1/analytics/{name}",
        summary,
        answers=(answer,),
        query=query,
        gives_table=True,
        admin=True,
        headers_out=("Link",) if answer is reports.ListReport else (),
        refusals=(*_ADMIN_REFUSALS, "invalid-question"),
    )


OPERATIONS = (
    Operation(
        "POST",
        "/api/v1/pastes",
        "Create a paste",
        status=201,
        answers=(views.CreatedView,),
        body=CreatePaste,
        query=PasteOptions,
        takes_content=True,
        headers_in=("Idempotency-Key",),
        headers_out=("Location", "Pastebin-Token", "Pastebin-Expires", "Pastebin-Purge"),
        refusals=(*_WRITE_REFUSALS, "slug-taken", "idempotency-mismatch", "paste-not-found"),
    ),
    Operation(
        "GET",
        "/api/v1/pastes/{slug}",
        "Show a paste; with content=true also its content, as far as it fits",
        answers=(views.PasteView, views.PasteContentView),
        query=ReadQuery,
        headers_in=("If-None-Match",),
        headers_out=("ETag",),
        refusals=(
            *("paste-not-found", "paste-taken-down", "reveal-required", "invalid-paste", "precondition-failed"),
            "content-unavailable",
        ),
    ),
    Operation(
        "GET",
        "/api/v1/pastes/{slug}/search",
        "Find the lines that match, within the time that the instance gives a search",
        answers=(views.SearchView,),
        query=SearchQuery,
        refusals=(
            *("paste-not-found", "paste-taken-down", "reveal-required", "invalid-paste", "invalid-question"),
            "content-unavailable",
        ),
    ),
    Operation(
        "PATCH",
        "/api/v1/pastes/{slug}",
        "Change a paste; new content makes a new revision",
        answers=(views.PasteView,),
        body=RevisePaste,
        query=PasteChanges,
        takes_content=True,
        owner=True,
        headers_in=("If-Match",),
        headers_out=("ETag", "Pastebin-Purge"),
        refusals=(*_WRITE_REFUSALS, *_OWNER_REFUSALS, "revision-conflict"),
    ),
    Operation(
        "DELETE",
        "/api/v1/pastes/{slug}",
        "Delete a paste for everybody",
        status=204,
        owner=True,
        headers_out=("Pastebin-Purge",),
        refusals=_OWNER_REFUSALS,
    ),
    Operation(
        "POST",
        "/api/v1/pastes/{slug}/reveal",
        "Read a protected paste, which uses up one of its reads; a single file comes as bytes unless JSON is preferred "
        f"and its content has at most {REVEAL_BYTES} bytes",
        answers=(views.PasteContentView,),
        body=RevealPaste,
        gives_bytes=True,
        refusals=(
            "invalid-paste",
            "paste-too-large",
            "upload-too-slow",
            "wrong-password",
            "rate-limited",
            "paste-not-found",
            "paste-taken-down",
            "revision-conflict",
        ),
    ),
    Operation(
        "POST",
        "/api/v1/pastes/{slug}/burn",
        "End a paste with a read limit, as its last reading would",
        status=204,
        body=RevealPaste,
        headers_out=("Pastebin-Purge",),
        refusals=(
            *("invalid-paste", "paste-too-large", "upload-too-slow", "wrong-password", "paste-not-found"),
            *("paste-taken-down", "rate-limited"),
        ),
    ),
    Operation(
        "GET",
        "/api/v1/pastes/{slug}/revisions",
        "The revisions of a paste, the latest first; those of a protected one are for its owner",
        answers=(views.RevisionsView,),
        query=RevisionsQuery,
        headers_in=("If-None-Match",),
        headers_out=("ETag", "Link"),
        refusals=_PAST_REFUSALS,
    ),
    Operation(
        "GET",
        "/api/v1/pastes/{slug}/revisions/{number}",
        "Show a revision of a paste",
        answers=(views.PasteView, views.PasteContentView),
        query=ReadQuery,
        headers_in=("If-None-Match",),
        headers_out=("ETag",),
        refusals=(*_PAST_REFUSALS, "content-unavailable"),
    ),
    Operation(
        "GET",
        "/api/v1/pastes/{slug}/diff",
        "What changed from one revision to another; with Accept: text/x-diff a patch",
        answers=(views.DiffView,),
        query=DiffQuery,
        gives_patch=True,
        headers_in=("If-None-Match",),
        headers_out=("ETag",),
        refusals=(*_PAST_REFUSALS, "content-unavailable"),
    ),
    Operation(
        "POST",
        "/api/v1/pastes/{slug}/restore/{number}",
        "Make an earlier revision the current one, as a new revision",
        answers=(views.PasteView,),
        owner=True,
        headers_in=("If-Match",),
        headers_out=("ETag", "Pastebin-Purge"),
        refusals=(*_OWNER_REFUSALS, "invalid-paste", "revision-conflict", "storage-full"),
    ),
    Operation(
        "POST",
        "/api/v1/pastes/{slug}/report",
        "Complain about a paste, to those who run this instance",
        status=204,
        body=ReportPaste,
        refusals=(
            *("invalid-paste", "paste-too-large", "upload-too-slow", "paste-not-found"),
            *("paste-taken-down", "rate-limited"),
        ),
    ),
    Operation(
        "GET",
        "/api/v1/pastes/{slug}/stats",
        "How often a paste is read; for everybody if its option analytics is public",
        answers=(reports.StatsReport,),
        query=reports.StatsQuery,
        gives_table=True,
        owner=True,
        refusals=(*_OWNER_REFUSALS, "invalid-question"),
    ),
    *(_report(name, summary, query, answer) for name, summary, query, answer in _REPORTS),
    Operation(
        "GET",
        "/api/v1/analytics/live",
        "What happens now: server-sent events, one a second",
        admin=True,
        gives_events=True,
        refusals=_ADMIN_REFUSALS,
    ),
    Operation(
        "GET",
        "/api/v1/topology",
        "All nodes of this installation, as this one finds them",
        answers=(Topology,),
        admin=True,
        refusals=_ADMIN_REFUSALS,
    ),
    Operation("GET", "/api/v1/limits", "What this instance allows", answers=(views.LimitsView,)),
    Operation(
        "GET",
        "/api/v1/syntaxes",
        "The syntaxes that pastes can be highlighted in",
        answers=(list[views.SyntaxView],),
    ),
    Operation("GET", "/api/v1/openapi.json", "This document", answers=(dict[str, Any],)),
)

# Nobody reads a head of more than some kilobytes, whatever it asks for.
_EVERYWHERE = ("unreadable-request", "internal-error", "unavailable", "overloaded", "database-unavailable")


def document(base: str) -> bytes:
    """The whole document as JSON, with this instance as its server."""
    types: list[Any] = [views.ProblemView, PasteOptions, PasteChanges, ReadQuery]
    for operation in OPERATIONS:
        types += [*operation.answers, *(kind for kind in (operation.body, operation.query) if kind is not None)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_COMPONENT)
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, by_type, components)
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "pastebin",
                "version": __version__,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": base}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    _OWNER: {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The owner token of the paste",
                    },
                    _ADMIN: {"type": "http", "scheme": "bearer", "description": "The admin token of the instance"},
                },
            },
        }
    )


def _operation(operation: Operation, by_type: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.method.lower()
        + re.sub(r"[^a-z]+", "-", operation.path.removeprefix("/api/v1")).rstrip("-"),
        "parameters": [*_parameters(operation, components)],
        "responses": _responses(operation, by_type),
    }
    if operation.body is not None:
        described["requestBody"] = _request_body(operation, by_type)
    if operation.owner:
        described["security"] = [{_OWNER: []}]
    if operation.admin:
        described["security"] = [{_ADMIN: []}]
    return described


def _parameters(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, kind in (("slug", "string"), ("number", "integer")):
        if f"{{{name}}}" in operation.path:
            found.append({"name": name, "in": "path", "required": True, "schema": {"type": kind}})
    for name in operation.headers_in:
        found.append({"name": name, "in": "header", "required": False, "schema": {"type": "string"}})
    if operation.query is not None:
        for name, schema in components[operation.query.__name__]["properties"].items():
            # an object in a query is given as JSON text
            as_text = {"type": "string", "description": "JSON"} if name == "encryption" else schema
            found.append({"name": name, "in": "query", "required": False, "schema": as_text})
    return found


def _request_body(operation: Operation, by_type: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": by_type[repr(operation.body)]}}
    if operation.takes_content:
        binary = {"type": "string", "format": "binary"}
        form = {
            "type": "object",
            "properties": {"file": {"type": "array", "items": binary}, "content": binary},
        }
        content["multipart/form-data"] = {"schema": {"allOf": [form, by_type[repr(operation.query)]]}}
        content["application/octet-stream"] = {"schema": binary}
    return {"required": operation.takes_content, "content": content}


def _responses(operation: Operation, by_type: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": operation.summary}
    if operation.answers:
        alternatives = [by_type[repr(kind)] for kind in operation.answers]
        schema = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
        answer["content"] = {"application/json": {"schema": schema}}
    if operation.gives_bytes:
        answer["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        answer["content"]["text/plain"] = {"schema": {"type": "string"}}
    if operation.gives_patch:
        answer["content"]["text/x-diff"] = {"schema": {"type": "string", "format": "binary"}}
    if operation.gives_table:
        answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    if operation.gives_events:
        answer["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    if operation.headers_out:
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in operation.headers_out}
    responses: dict[str, Any] = {str(operation.status): answer}
    if "If-None-Match" in operation.headers_in:
        responses["304"] = {"description": "Not modified"}
    for row in problems.TABLE.values():
        if row.slug in operation.refusals or row.slug in _EVERYWHERE:
            key = str(row.status)
            if key in responses:
                responses[key]["description"] += f"; {row.title}"
                continue
            schema = {"$ref": _COMPONENT.format(name=_PROBLEM)}
            responses[key] = {"description": row.title, "content": {problems.MEDIA_TYPE: {"schema": schema}}}
    return responses
