"""Zone files: where BIND has a rule and we have one, both say the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pastebin.errors import ConfigError
from pastebin.geodns.zone import load
from pastebin.sections_regions import GeodnsSection
from tests.geodns.dns_client import ZONE
from tests.programs import require

_SOA = "@ IN SOA ns1 hostmaster 7 7200 900 1209600 60\n"
_NS = "@ IN NS ns1\nns1 IN A 192.0.2.53\n"
_HEAD = "$TTL 300\n" + _SOA + _NS
GOOD = {
    "the one of the tests": ZONE,
    "nothing special": _HEAD,
    "no $TTL": _SOA + _NS,
    "one SOA twice": _HEAD + _SOA,
    "another TTL in a set": _HEAD + "x 60 IN A 192.0.2.1\nx 90 IN A 192.0.2.2\n",
    "parentheses, comments, quotes": _HEAD + 'x IN TXT ( "a ; ( b" ; )\n "\\"c)" )\n\tIN MX 10 ns1\n',
    "$ORIGIN": _HEAD + "$ORIGIN sub\nx IN A 192.0.2.1\n",
    "$GENERATE": _HEAD + "$GENERATE 1-3 h$ A 192.0.2.$\n",
    "a type without a name": _HEAD + "x IN TYPE65280 \\# 2 abcd\n",
    "the largest TTL": _HEAD + "x 2147483647 IN A 192.0.2.1\n",
    "a name server elsewhere": _HEAD + "@ IN NS ns.q.example.\n",
    "a delegation": _HEAD + "s IN NS ns.s\nns.s IN A 192.0.2.9\n",
    "an alias that leads nowhere": _HEAD + "x IN CNAME y\n",
    "a mail server without address": _HEAD + "@ IN MX 10 m\n",
}
BAD = {
    "empty": "",
    "no SOA": "$TTL 300\n" + _NS,
    "no NS": "$TTL 300\n" + _SOA,
    "two SOA": _HEAD + _SOA.replace(" 7 ", " 8 "),
    "a SOA below": _HEAD + _SOA.replace("@", "x"),
    "CNAME and others": _HEAD + "x IN CNAME y\nx IN A 192.0.2.1\n",
    "others and CNAME": _HEAD + "x IN A 192.0.2.1\nx IN CNAME y\n",
    "two CNAME": _HEAD + "x IN CNAME y\nx IN CNAME z\n",
    "CNAME for all": _HEAD + "@ IN CNAME y\n",
    "a name server without address": _HEAD + "@ IN NS ns9\n",
    "a name server that is an alias": _HEAD + "@ IN NS ns9\nns9 IN CNAME ns1\n",
    "a name server that is an address": _HEAD + "@ IN NS 192.0.2.1\n",
    "a wildcard as delegation": _HEAD + "*.s IN NS ns1\n",
    "IPv4": _HEAD + "x IN A 192.0.2.300\n",
    "two addresses in a line": _HEAD + "x IN A 192.0.2.1 192.0.2.2\n",
    "IPv6": _HEAD + "x IN AAAA 2001:db8::g\n",
    "a type that does not exist": _HEAD + "x IN AX 1\n",
    "another class": _HEAD + "x CH TXT a\n",
    "TTL out of range": _HEAD + "x 99999999999 IN A 192.0.2.1\n",
    "serial out of range": _HEAD.replace(" 7 7200", " 4294967296 7200"),
    "a negative refresh": _HEAD.replace(" 7 7200", " 7 -1"),
    "preference out of range": _HEAD + "x IN MX 70000 ns1\n",
    "port out of range": _HEAD + "x IN SRV 0 0 70000 ns1\n",
    "flags out of range": _HEAD + 'x IN CAA 256 issue "a"\n',
    "a long label": _HEAD + "x" * 64 + " IN A 192.0.2.1\n",
    "a long name": _HEAD + ".".join(["x" * 60] * 5) + " IN A 192.0.2.1\n",
    "a long string": _HEAD + 'x IN TXT "' + "a" * 256 + '"\n',
    "no string": _HEAD + "x IN TXT\n",
    "an open parenthesis": _HEAD + "x IN TXT ( a\n",
    "a closed parenthesis": _HEAD + "x IN TXT a )\n",
    "an open quote": _HEAD + 'x IN TXT "a\n',
    "the wrong length": _HEAD + "x IN TYPE65280 \\# 3 abcd\n",
    "NUL": _HEAD + "x IN TXT \0\1\n",
}
# what BIND lets pass, and a resolver or a reader of the file would stumble over
STRICTER = {
    "TTL 0": _HEAD + "x 0 IN A 192.0.2.1\n",
    "outside": _HEAD + "x.q.example. IN A 192.0.2.1\n",
    "below a delegation": _HEAD + "s IN NS ns1\nx.s IN TXT a\n",
    "no glue": _HEAD + "s IN NS ns.s\n",
    "aliases of trees": _HEAD + "d IN DNAME q.example.\n",
}


async def verdicts(path: Path, text: str) -> tuple[bool, bool]:
    """Whether we take it, and whether BIND does."""
    program = require("named-checkzone")
    path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(program, "-q", "-i", "local", "p.example", str(path)), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        theirs = await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        load(GeodnsSection(zone="p.example", file=str(path), names=[]))
    except ConfigError:
        return False, theirs
    return True, theirs


@pytest.mark.parametrize("name", GOOD)
async def test_both_take_it(tmp_path: Path, name: str) -> None:
    assert await verdicts(tmp_path / "zone", GOOD[name]) == (True, True)


@pytest.mark.parametrize("name", BAD)
async def test_both_refuse_it(tmp_path: Path, name: str) -> None:
    assert await verdicts(tmp_path / "zone", BAD[name]) == (False, False)


@pytest.mark.parametrize("name", STRICTER)
async def test_only_we_refuse_it(tmp_path: Path, name: str) -> None:
    assert await verdicts(tmp_path / "zone", STRICTER[name]) == (False, True)
