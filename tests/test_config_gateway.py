"""What is refused of [gateway], before anything is opened."""

from __future__ import annotations

from typing import Any

import pytest

from pastebin.config import load
from pastebin.errors import ConfigError

READER = {"name": "one", "url": "http://10.0.0.1:8080", "roles": ["read"]}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "regions"),
        ({"regions.us": {"addresses": ["192.0.2.1"]}}, "regions"),
        ({"regions.us": {"addresses": ["192.0.2.1"], "nodes": [READER]}, "gateway.primary": "eu"}, "gateway.primary"),
        (
            {"regions.us": {"addresses": ["192.0.2.1"], "nodes": [READER]}, "gateway.primary": "us"},
            "regions.us.nodes",
        ),
        ({"regions.us": {"addresses": ["192.0.2.1"], "nodes": [{**READER, "roles": []}]}}, "regions.us.nodes[0].roles"),
        (
            {"regions.us": {"addresses": ["192.0.2.1"], "nodes": [{**READER, "url": "http://10.0.0.1/x"}]}},
            "regions.us.nodes[0].url",
        ),
        ({"doors.gateway": "nowhere"}, "doors.gateway"),
        ({"gateway.retry_share": 2}, "gateway.retry_share"),
    ],
)
def test_a_gateway_that_could_not_work_is_refused(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"node.roles": ["gateway"], **settings})
    assert field in [problem.field for problem in caught.value.problems]
