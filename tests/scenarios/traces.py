"""A reader who must not be found anywhere afterwards, and a search for her."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

# Her addresses, and her program.
ADDRESS = "198.51.100.213"
ADDRESS_6 = "2001:db8:5eed:cafe::d00d"
PROGRAM = "Zyxwvut/7.31415"
BROWSER = f"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 {PROGRAM} Firefox/140.0"
BOT = f"Mozilla/5.0 (compatible; Googlebot/2.1; {PROGRAM}; +http://www.google.com/bot.html)"
TRACES = (ADDRESS.encode(), b"2001:db8:5eed", bytes.fromhex("20010db85eedcafe"), PROGRAM.encode())
READER = {"X-Forwarded-For": ADDRESS, "User-Agent": BROWSER}


async def dumped(dsn: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every table of a database, row by row as text, columns of bytes as they are."""
    connection = await asyncpg.connect(dsn, timeout=60)
    try:
        tables = await connection.fetch(
            "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema') and not starts_with(schemaname, 'pg_temp')"
        )
        assert tables
        for (table,) in tables:
            parts: list[bytes] = []
            for row in await connection.fetch(f"select * from {table}"):
                parts += [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
            yield table, b"\n".join(parts)
    finally:
        await connection.close()


def assert_no_trace(where: str, content: bytes) -> None:
    for trace in TRACES:
        assert trace not in content, f"{trace!r} in {where}"
