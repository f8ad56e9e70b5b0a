from __future__ import annotations

import pytest

from pastebin.store.endpoints import beside, endpoints


@pytest.mark.parametrize(
    ("dsn", "found"),
    [
        ("postgresql://u:p@db/name", [("db:5432", "postgresql://u:p@db/name")]),
        ("postgresql://u:p@[::1]:6000/name?x=y", [("[::1]:6000", "postgresql://u:p@[::1]:6000/name?x=y")]),
        (
            "postgresql://u:p%40@a:1,b:2/name?target_session_attrs=primary&sslmode=require",
            [
                ("a:1", "postgresql://u:p%40@a:1/name?sslmode=require"),
                ("b:2", "postgresql://u:p%40@b:2/name?sslmode=require"),
            ],
        ),
        (
            "postgresql://u@/name?host=/run/a,/run/b&port=5433",
            [
                ("/run/a:5433", "postgresql://u@/name?host=%2Frun%2Fa&port=5433"),
                ("/run/b:5433", "postgresql://u@/name?host=%2Frun%2Fb&port=5433"),
            ],
        ),
        ("postgresql:///name", [("localhost:5432", "postgresql:///name")]),
    ],
)
def test_every_server_of_a_connection_string_is_a_member(dsn: str, found: list[tuple[str, str]]) -> None:
    assert [(endpoint.name, endpoint.dsn) for endpoint in endpoints(dsn)] == found


def test_names_hold_no_secrets() -> None:
    (endpoint,) = endpoints("postgresql://user:secret@db:5433/name")
    assert "secret" not in repr(endpoint)


def test_a_discovered_server_is_used_as_the_primary_is() -> None:
    one = beside("postgresql://u:p@primary:1,other:2/name?sslmode=require", "10.0.0.7", 5433)
    assert (one.name, one.dsn) == ("10.0.0.7:5433", "postgresql://u:p@10.0.0.7:5433/name?sslmode=require")
    two = beside("postgresql://u@/name?host=/run/x&port=1", "fd00::1", 5432)
    assert (two.name, two.dsn) == ("[fd00::1]:5432", "postgresql://u@[fd00::1]:5432/name")


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a port"):
        endpoints("postgresql://u@a:nine,b/name")
