"""PostgreSQL from the wheel: the primary and replicas of a node without a database of its own."""
