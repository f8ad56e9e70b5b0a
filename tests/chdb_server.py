"""Today's ClickHouse in a process of its own: chdb behind as much of the HTTP interface as the engine uses.

python chdb_server.py PORT DIRECTORY USER KEY
"""

from __future__ import annotations

import asyncio
import hmac
import sys
from typing import Any

from aiohttp import BodyPartReader, web

_OWN = {"query", "database", "wait_end_of_query"}


class Bridge:
    """One session of chdb, asked by one at a time."""

    def __init__(self, session: Any, user: str, key: str) -> None:
        self._session = session
        self._account = f"{user}\n{key}".encode()
        self._turn = asyncio.Lock()

    async def answer(self, request: web.Request) -> web.Response:
        """Settings, external tables and statement, as ClickHouse's own HTTP interface takes them."""
        given = f"{request.headers.get('X-ClickHouse-User')}\n{request.headers.get('X-ClickHouse-Key')}".encode()
        if not hmac.compare_digest(given, self._account):
            return web.Response(status=403, text="Code: 516. DB::Exception: Authentication failed")
        params = dict(request.query)
        tables: dict[str, bytes] = {}
        body = b""
        if request.content_type == "multipart/form-data":
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                tables[str(part.name)] = bytes(await part.read())
        else:
            body = await request.read()
        async with self._turn:
            try:
                return web.Response(body=await asyncio.to_thread(self._run, params, tables, body))
            except Exception as error:  # whatever chdb raises is what a server would tell
                return web.Response(status=500, text=str(error))

    def _run(self, params: dict[str, str], tables: dict[str, bytes], body: bytes) -> bytes:
        ask = self._session.query
        ask(f"use {params.get('database', 'default')}")
        known = _OWN | {f"{name}_{what}" for name in tables for what in ("structure", "format")}
        for name, value in params.items():
            if name not in known:
                ask(f"set {name} = {value}")
        for name, rows in tables.items():
            ask(f"create temporary table {name} ({params[f'{name}_structure']})")
            ask(f"insert into {name} format {params[f'{name}_format']}\n{rows.decode()}")
        try:
            sql = params.get("query", "")
            return bytes(ask(f"{sql}\n{body.decode()}" if sql else body.decode(), "TabSeparated").bytes())
        finally:
            for name in tables:
                ask(f"drop temporary table {name}")


def main() -> None:
    from chdb.session import Session  # only this process can do without the rest of the suite

    port, directory, user, key = sys.argv[1:]
    session: Any = Session
    bridge = Bridge(session(directory), user, key)
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/", bridge.answer)
    web.run_app(app, host="127.0.0.1", port=int(port), print=None)


if __name__ == "__main__":
    main()
