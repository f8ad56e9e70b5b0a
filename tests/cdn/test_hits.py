"""What is noted of a hit that was answered before aiohttp."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn.hits import read
from pastebin.http.clients import Clients

HEAD = (
    b"GET /aslug/raw HTTP/1.1\r\nHost: p.example\r\nUser-Agent: curl/8\r\nX-Forwarded-For: 198.51.100.7\r\n"
    b"x-forwarded-for: 203.0.113.9, 127.0.0.3\r\n\r\n"
)


@pytest.mark.parametrize(("trusted", "address"), [([], "127.0.0.1"), (["127.0.0.0/8"], "203.0.113.9")])
def test_the_reader_is_whom_a_trusted_proxy_asks_for(trusted: list[str], address: str) -> None:
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "text/plain"}))
    answered = read(Clients(trusted), HEAD, ("127.0.0.1", 4711), 200, headers, 5, 0.001)
    assert answered is not None
    assert (answered.address, answered.agent, answered.target) == (address, "curl/8", "/aslug/raw")
    headers = CIMultiDictProxy(CIMultiDict({"Pastebin-Analytics": "off"}))
    assert read(Clients(trusted), HEAD, ("127.0.0.1", 4711), 200, headers, 5, 0.001) is None
