"""PostgreSQL from the wheel: the primary and replicas of a node without a database of its own."""

from pastebin.embedded.claims import claim
from pastebin.embedded.replica import create_replica
from pastebin.embedded.server import Server, primary, running_dsn

__all__ = ["Server", "claim", "create_replica", "primary", "running_dsn"]
