"""What can be done with a paste on its page: another syntax, a code for telephones."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest
import segno

from pastebin.origin import qr
from tests.nodes import Node
from tests.origin.answers import HTML, ask
from tests.programs import require

CODE = "def f(x):\n    return x\n"


# Another syntax


async def test_a_form_leads_to_the_address_of_a_syntax(node: Node) -> None:
    slug = (await node.paste(CODE))["slug"]
    page = (await ask(node, f"/{slug}", headers=HTML)).body.decode()
    assert f'<form method="get" action="/{slug}">' in page
    assert '<option value="python">' in page
    for asked, location in (
        ("python", f"/{slug}.python"),
        ("PY", f"/{slug}.python"),
        ("C%23", f"/{slug}.csharp"),
        ("", f"/{slug}"),
        ("nothing-known", f"/{slug}"),
        ("%22%3E%3Cscript%3E", f"/{slug}"),
        ("%0d%0aX:+y", f"/{slug}"),
        ("more", f"/look?back=%2F{slug}#syntax"),
    ):
        answer = await ask(node, f"/{slug}?syntax={asked}", headers=HTML)
        assert (answer.status, answer.headers["Location"]) == (303, location)
        assert answer.is_secret
    chosen = (await ask(node, f"/{slug}.python", headers=HTML)).body.decode()
    assert '<option value="python" selected>' in chosen
    rare = (await ask(node, f"/{slug}.cobol", headers=HTML)).body.decode()
    assert '<option value="cobol" selected>' in rare


async def test_every_syntax_can_be_chosen(node: Node) -> None:
    slug = (await node.paste(CODE))["slug"]
    page = (await ask(node, f"/look?back=%2F{slug}.python", headers=HTML)).body.decode()
    offered = re.findall(r'<option value="([^"]*)"', page)
    async with node.http.get(f"{node.url}/api/v1/syntaxes") as response:
        names = {syntax["name"] for syntax in await response.json(content_type=None)}
    assert set(offered) == names | {""}
    assert '<option value="python" selected>' in page
    elsewhere = (await ask(node, "/look?back=%2Fproblems%2Fx", headers=HTML)).body.decode()
    assert "<option" not in elsewhere


async def test_a_private_paste_keeps_its_address(node: Node) -> None:
    created = await node.paste(CODE, visibility="private")
    slug, cookie = created["slug"], {"Cookie": f"owner={created['token']}"}
    answer = await ask(node, f"/{slug}?syntax=python", headers={**HTML, **cookie})
    assert answer.status == 200
    assert answer.is_secret
    assert '<option value="python" selected>' in answer.body.decode()
    assert f"/look?back=/{slug}%3Fsyntax%3Dpython" in answer.body.decode()
    assert (await ask(node, f"/{slug}?syntax=python", headers=HTML)).status == 404


async def test_programs_get_bytes_whatever_they_ask(node: Node) -> None:
    slug = (await node.paste(CODE))["slug"]
    answer = await ask(node, f"/{slug}?syntax=python")
    assert (answer.status, answer.body) == (200, CODE.encode())


@pytest.mark.parametrize("options", [{"burn": True}, {"password": "x"}])
async def test_a_syntax_reveals_nothing(node: Node, options: dict[str, Any]) -> None:
    slug = (await node.paste(CODE, **options))["slug"]
    answer = await ask(node, f"/{slug}?syntax=python", headers=HTML)
    assert answer.status == 200
    assert f'action="/{slug}/reveal"' in answer.body.decode()
    assert "return x" not in answer.body.decode()


async def test_a_revealed_page_leads_nowhere(node: Node) -> None:
    for options, has_code in (({"burn": True}, False), ({"max_reads": 2}, True)):
        slug = (await node.paste(CODE, **options))["slug"]
        answer = await ask(node, f"/{slug}/reveal", "POST", headers=HTML)
        page = answer.body.decode()
        assert "return" in page
        assert "<select" not in page
        assert "data-raw" not in page
        assert ("/qr.svg" in page) == has_code
        (content,) = re.findall(r'<a href="data:application/octet-stream;base64,([^"]*)" download="paste.txt">', page)
        assert base64.b64decode(content).decode() == CODE


async def test_a_revealed_picture_has_no_link_that_browsers_refuse(node: Node) -> None:
    form = aiohttp.FormData({"password": "open"}, default_to_multipart=True)
    form.add_field("file", b"\x89PNG\r\n\x1a\n" + bytes(64), filename="a.png")
    form.add_field("file", b"text", filename="b.txt")
    async with node.http.post(node.url, data=form) as response:
        slug = (await response.text()).strip().rpartition("/")[2]
    async with node.http.post(f"{node.url}/{slug}/reveal", data={"password": "open"}, headers=HTML) as response:
        page = await response.text()
    links = re.findall(r'<a href="data:[^"]*"([^>]*)>', page)
    assert {link.strip() for link in links} == {'download="a.png"', 'download="b.txt"'}


# The code


async def test_a_code_for_whom_may_know_of_the_paste(node: Node) -> None:
    open_one = await node.paste()
    answer = await ask(node, f"/{open_one['slug']}/qr.svg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.body == qr.drawn(f"{node.url}/{open_one['slug']}")
    assert answer.shared is not None
    assert answer.keys == {f"p-{open_one['slug']}", "all"}
    burn = await node.paste(burn=True)
    answer = await ask(node, f"/{burn['slug']}/qr.svg")
    assert answer.status == 200
    assert answer.is_secret
    private = await node.paste(visibility="private")
    path = f"/{private['slug']}/qr.svg"
    assert (await ask(node, path)).status == 404
    assert (await ask(node, path, headers={"Cookie": f"owner={private['token']}"})).is_secret
    assert (await ask(node, "/unknown0000/qr.svg")).status == 404


def test_the_code_is_that_of_the_address_and_nothing_else_is_in_the_picture() -> None:
    address = "https://p.example/h8Kq2ZtV0aB"
    root = ElementTree.fromstring(qr.drawn(address))  # noqa: S314  (it is ours)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "g", "path"}
    ground, code = root.iter("{http://www.w3.org/2000/svg}path")
    assert (ground.get("fill"), code.get("stroke")) == ("#fff", "#000")
    size = segno.make_qr(address, error="m").symbol_size(border=4)[0]
    assert ground.get("d") == f"M0 0h{size}v{size}h-{size}z"


def test_a_camera_reads_it(tmp_path: Path) -> None:
    address = "https://p.example/h8Kq2ZtV0aB"
    (tmp_path / "qr.svg").write_bytes(qr.drawn(address))
    subprocess.run([require("rsvg-convert"), "-o", "qr.png", "qr.svg"], cwd=tmp_path, check=True, timeout=30)
    found = subprocess.run([require("zbarimg"), "-q", "--raw", "qr.png"], cwd=tmp_path, capture_output=True, timeout=30)
    assert found.stdout.decode().strip() == address
