"""The OpenAPI document: valid, complete, made of the Structs, and true of the running node."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pastebin.http import app, payloads, problems, views
from pastebin.origin import openapi
from pastebin.origin.openapi import OPERATIONS, Operation
from tests.analytics.traffic import TOKEN, visited
from tests.nodes import Node
from tests.postgres import Server

EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@dataclass(frozen=True)
class Known:
    """Pastes for a generated request to hit, each for one test, since requests delete and burn them."""

    slugs: list[str]
    tokens: list[str]


def label(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.fixture(scope="module")
async def node(postgres: Server, session_database_dsn: str) -> AsyncIterator[Node]:
    """With everything that the document speaks of."""
    async with visited(postgres, session_database_dsn, visits=0) as site:
        yield site.node


@pytest.fixture(scope="module")
async def raw_document(node: Node) -> dict[str, Any]:
    async with node.http.get(f"{node.url}/api/v1/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        document: dict[str, Any] = await response.json()
        return document


@pytest.fixture(scope="module")
async def schema(raw_document: dict[str, Any]) -> BaseSchema:
    return schemathesis.openapi.from_dict(raw_document)


@pytest.fixture
async def known(node: Node) -> Known:
    kinds: list[dict[str, Any]] = [
        {"title": "plain"},
        {"burn": True},
        {"password": "open sesame"},
        {"visibility": "private", "name": "a.py"},
        {"encryption": {"v": 1}, "expires_in": "1h"},
    ]
    made = [await node.paste("hello\n", **kind) for kind in kinds]
    made.append(await node.paste(b"\0\xff" * 50_000))
    return Known([one["slug"] for one in made], [one["token"] for one in made])


async def test_the_document_is_openapi_3_1(schema: BaseSchema, raw_document: dict[str, Any], node: Node) -> None:
    schema.validate()
    assert raw_document["openapi"].startswith("3.1")
    assert raw_document["servers"] == [{"url": node.url}]
    names = [one["operationId"] for path in raw_document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names)) == len(OPERATIONS)


async def test_every_route_of_the_api_has_its_operation_and_the_reverse(
    postgres: Server, session_database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: set[tuple[str, str]] = set()
    build = app.build

    def noting(door: str, routes: list[web.RouteDef], *rest: Any) -> web.Application:
        found.update((route.method, re.sub(r":[^}]*}", "}", route.path)) for route in routes)
        return build(door, routes, *rest)

    monkeypatch.setattr(app, "build", noting)
    async with visited(postgres, session_database_dsn, visits=0):
        pass
    assert len(found) > 20
    of_the_api = {(method, path) for method, path in found if path.startswith("/api/")}
    assert of_the_api == {(operation.method, operation.path) for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=label)
def test_refusals_are_rows_of_the_table_and_documented(operation: Operation) -> None:
    rows = {row.slug: row for row in problems.TABLE.values()}
    document = json.loads(openapi.document("https://p.example"))
    responses = document["paths"][operation.path][operation.method.lower()]["responses"]
    for slug in operation.refusals:
        answer = responses[str(rows[slug].status)]
        assert rows[slug].title in answer["description"]
        assert answer["content"][problems.MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/ProblemView"}
    assert str(operation.status) in responses


@pytest.mark.parametrize(
    "kind",
    [payloads.CreatePaste, payloads.RevisePaste, payloads.RevealPaste, views.PasteView, views.CreatedView],
    ids=lambda kind: kind.__name__,
)
def test_schemas_are_those_of_the_code(kind: type) -> None:
    document = json.loads(openapi.document("https://p.example"))
    _, components = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    published = document["components"]["schemas"]
    assert {name: published[name] for name in components} == json.loads(msgspec.json.encode(components))


def test_options_are_the_same_in_json_in_a_form_and_in_the_query() -> None:
    document = json.loads(openapi.document("https://p.example"))
    options, changes = (set(kind.__struct_fields__) for kind in (payloads.PasteOptions, payloads.PasteChanges))
    assert options - changes == {"slug", "parent", "encryption"}
    for method, path, asked in (
        ("post", "/api/v1/pastes", options),
        ("patch", "/api/v1/pastes/{slug}", changes),
    ):
        operation = document["paths"][path][method]
        assert {one["name"] for one in operation["parameters"] if one["in"] == "query"} == asked
        assert set(operation["requestBody"]["content"]) == {
            "application/json",
            "multipart/form-data",
            "application/octet-stream",
        }
    assert options < set(payloads.CreatePaste.__struct_fields__)
    assert changes < set(payloads.RevisePaste.__struct_fields__)
    assert set(document["components"]["schemas"]["RevisePaste"]["properties"]) == {*changes, "content", "files"}


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        pytest.param(operation, mode, id=f"{label(operation)} {mode.value}")
        for operation in OPERATIONS
        for mode in GenerationMode
        if not operation.gives_events  # they have no end
        if mode.is_positive or operation.query or operation.body or operation.headers_in  # what could be wrong?
    ],
)
# the loops of the node, in the thread beside, are no part of any strategy
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
async def test_the_node_keeps_what_the_document_promises(
    node: Node, schema: BaseSchema, known: Known, operation: Operation, mode: GenerationMode
) -> None:
    await asyncio.to_thread(exercise, schema, node.url, known, operation, mode)


def exercise(schema: BaseSchema, url: str, known: Known, operation: Operation, mode: GenerationMode) -> None:
    """Send generated requests, some to pastes that are there and by their owners, and look at every answer."""
    described = schema[operation.path][operation.method]

    with requests.Session() as session:

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=described.as_strategy(mode),
            slug=st.sampled_from([*known.slugs, None]),
            token=st.sampled_from([*([TOKEN] * 3 if operation.admin else known.tokens), "wrong", None]),
            plain=st.booleans(),
        )
        def check(case: schemathesis.Case, slug: str | None, token: str | None, plain: bool) -> None:
            if plain:
                _without_wishes(case)
            if slug and "slug" in (case.path_parameters or {}):
                case.path_parameters["slug"] = slug
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            response = case.call(base_url=url, session=session, headers=headers, timeout=60)
            case.validate_response(response, checks=CHECKS)

        check()


def test_a_change_lists_only_what_can_be_changed() -> None:
    schemas = json.loads(openapi.document("http://x"))["components"]["schemas"]
    fixed = {"slug", "parent", "encryption"}
    assert fixed <= schemas["CreatePaste"]["properties"].keys()
    assert not fixed & schemas["RevisePaste"]["properties"].keys()


def _without_wishes(case: schemathesis.Case) -> None:
    """Drop most options: hardly any invented slug or syntax would be accepted, and then nothing is ever made."""
    for members in (case.query, case.body):
        if isinstance(members, dict):
            for name in set(payloads.PasteOptions.__struct_fields__) - {"title", "visibility", "burn"}:
                members.pop(name, None)
