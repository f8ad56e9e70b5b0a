"""`put --encrypt` and `get` of what is encrypted, here and with an unmodified client of PrivateBin's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import orjson
import privatebin
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from privatebin import Attachment, PrivateBin

from pastebin import sealed
from pastebin.cli import base58, encrypted_cipher, encrypted_message
from pastebin.cli.encrypted_cipher import Damaged, DoesNotFit
from pastebin.cli.encrypted_message import Message, PlainFile
from pastebin.cli.failures import UsageError

LARGE = os.urandom(3 * 1024**2 + 17)
FILES = st.lists(st.builds(PlainFile, st.text(min_size=1, max_size=9), st.binary(min_size=1, max_size=99)), min_size=1)


def theirs(link: str) -> str:
    """A link in PrivateBin's form."""
    server, _, rest = link.rpartition("/")
    return f"{server}/?{rest}"


async def made_by_client(url: str, text: str = "grüße\n", **options: Any) -> str:
    def made() -> str:
        with PrivateBin(f"{url}/") as client:
            return client.create(text, **options).url.unmask()

    return await asyncio.to_thread(made)


@given(FILES, st.text(max_size=20))
def test_what_is_packed_is_unpacked(files: list[PlainFile], title: str) -> None:
    message = encrypted_message.unpack(encrypted_message.pack(Message(files, title)))
    assert (list(message.files), message.title) == (files, title)


ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
MEMBERS = st.dictionaries(st.sampled_from(["paste", "attachment", "attachment_name", "pastebin"]), ANYTHING)


@given(st.binary(max_size=200) | MEMBERS.map(lambda value: json.dumps(value).encode()))
def test_any_content_is_understood_or_refused(content: bytes) -> None:
    with contextlib.suppress(Damaged):
        encrypted_message.unpack(content)


@settings(max_examples=5)
@given(st.binary(max_size=2000), st.none() | st.text(max_size=9))
def test_what_is_closed_opens_with_key_and_password_only(content: bytes, password: str | None) -> None:
    closed = encrypted_cipher.close(content, password)
    secret = encrypted_cipher.key_of(f"-{closed.key}")
    keys = encrypted_cipher.derive(secret, password, closed.sealing)
    assert keys.verifier == closed.verifier
    assert encrypted_cipher.reopen(closed.ciphertext, keys.content, closed.sealing) == content
    for other, word in ((secret, f"{password}x"), (bytes(32), password)):
        wrong = encrypted_cipher.derive(other, word, closed.sealing)
        assert wrong.verifier != keys.verifier
        with pytest.raises(DoesNotFit):
            encrypted_cipher.reopen(closed.ciphertext, wrong.content, closed.sealing)
    for place in range(0, len(closed.ciphertext), 7):
        changed = bytearray(closed.ciphertext)
        changed[place] ^= 1
        with pytest.raises(DoesNotFit):
            encrypted_cipher.reopen(bytes(changed), keys.content, closed.sealing)


@pytest.mark.parametrize("fragment", ["", "-", "abc", "0" * 44, "1" * 31, "1" * 33, "z" * 44, "z" * 500, "<b>", "--"])
def test_a_key_is_whole_or_refused(fragment: str) -> None:
    with pytest.raises(UsageError, match="not whole"):
        encrypted_cipher.key_of(fragment)


def test_what_grows_without_end_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypted_cipher, "MOST_BYTES", 1000)
    closed = encrypted_cipher.close(bytes(2000), None)
    keys = encrypted_cipher.derive(encrypted_cipher.key_of(closed.key), None, closed.sealing)
    with pytest.raises(Damaged, match="larger"):
        encrypted_cipher.reopen(closed.ciphertext, keys.content, closed.sealing)


PARAMETERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["v", "adata", "verifier"]), inner),
)


@given(st.dictionaries(st.sampled_from(["v", "adata", "verifier", "x"]), PARAMETERS))
def test_any_parameters_are_understood_or_not(parameters: dict[str, Any]) -> None:
    found = sealed.find(parameters)
    assert found is None or sealed.read(found.parameters()) == found


@pytest.mark.parametrize("content", [b"hello\n", "grüße\n\0\ufeff".encode(), b"\0\xff\r\n", LARGE], ids=len)
async def test_what_is_put_comes_back_and_the_server_sees_nothing(
    client, node_url: str, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    put = await client.run("put", "--encrypt", "--title", "Top", tmp_path / "a.bin", PASTEBIN_SERVER=node_url)
    assert (put.code, put.err) == (0, "")
    link = put.line
    assert (await client.run("get", link)).out == content
    assert (await client.run("get", theirs(link))).out == content
    (tmp_path / "all").mkdir()
    assert (await client.run("get", link, "-o", tmp_path / "all")).code == 0
    assert (tmp_path / "all" / "a.bin").read_bytes() == content
    bare = await client.run("get", link.partition("#")[0])
    assert content not in bare.out
    assert "key behind #" in bare.err
    assert link.partition("#")[2] not in client.ledger.read_text()
    assert orjson.loads(client.ledger.read_text())["title"] == "Top"


async def test_several_files_and_their_names(client, node_url: str, tmp_path: Path) -> None:
    contents = {"a.py": b"print()\n", "ü.bin": b"\0\xff", "empty": b"", "c.txt": b"c"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    put = await client.run("put", "--encrypt", *(tmp_path / name for name in contents), PASTEBIN_SERVER=node_url)
    assert put.code == 0, put.err
    (tmp_path / "all").mkdir()
    assert (await client.run("get", put.line, "-o", tmp_path / "all")).code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == contents
    assert (await client.run("get", put.line, "--name", "c.txt")).out == b"c"
    several = await client.run("get", put.line)
    assert (several.code, several.out) == (2, b"")


async def test_a_wrong_key_or_password_uses_up_nothing(client, node_url: str, tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).write_text(f"{name}\n")
    right, wrong = (("--password-file", tmp_path / name) for name in ("right", "wrong"))
    put = await client.run("put", "--encrypt", "--burn", *right, stdin=b"once", PASTEBIN_SERVER=node_url)
    link = put.line
    address, _, key = link.partition("#-")
    assert len(key) > 40
    assert (await client.run("get", link, *right)).code == 1
    changed = f"{address}#-{key[:-1]}{'x' if key[-1] != 'x' else 'y'}"
    for arguments in ((link, "--reveal", *wrong), (link, "--reveal"), (changed, "--reveal", *right)):
        refused = await client.run("get", *arguments)
        assert (refused.code, refused.out) == (1, b"")
        assert "no reading was used up" in refused.err
    assert (await client.run("get", f"{address}#-{key[:-9]}", "--reveal", *right)).code == 2
    got = await client.run("get", link, "--reveal", *right)
    assert (got.code, got.out) == (0, b"once")
    assert (await client.run("get", link, "--reveal", *right)).code == 1


async def test_theirs_reads_ours_and_ours_theirs(client, node_url: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass wörd\n")
    password = ("--password-file", tmp_path / "password")
    put = await client.run("put", "--encrypt", *password, "--burn", stdin="grüße".encode(), PASTEBIN_SERVER=node_url)
    paste = await asyncio.to_thread(privatebin.get, theirs(put.line), password="pass wörd")
    assert (paste.text, paste.burn_after_reading) == ("grüße", True)
    attachment = Attachment(name="a.bin", content=LARGE)
    link = await made_by_client(node_url, attachment=attachment, password="pass wörd")
    (tmp_path / "all").mkdir()
    assert (await client.run("get", link, *password, "-o", tmp_path / "all")).code == 0
    assert (tmp_path / "all" / "a.bin").read_bytes() == LARGE
    refused = await client.run("get", link)
    assert (refused.code, refused.out) == (1, b"")
    assert "--password" in refused.err


async def test_what_somebody_elses_program_made_to_burn_is_not_lost(client, node_url: str, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong\n")
    link = await made_by_client(node_url, password="right", burn_after_reading=True)
    refused = await client.run("get", link, "--reveal", "--password-file", tmp_path / "wrong")
    assert refused.code == 1
    (kept,) = client.home.glob("*.encrypted-*.json")
    document = json.loads(kept.read_bytes())
    sealing = sealed.read({"v": document["v"], "adata": document["adata"]})
    keys = encrypted_cipher.derive(encrypted_cipher.key_of(link.partition("#")[2]), "right", sealing)
    content = encrypted_cipher.reopen(base64.b64decode(document["ct"]), keys.content, sealing)
    assert encrypted_message.unpack(content).files[0].content == "grüße\n".encode()


@pytest.mark.parametrize("tag_bits", [64, 96, 128])
@pytest.mark.parametrize("key_bits", [128, 192, 256])
async def test_a_server_of_privatebins_is_read(client, start_server, key_bits: int, tag_bits: int) -> None:
    """With every size that the format allows, which only PrivateBin's own page cannot choose."""
    iv, salt, secret = os.urandom(16), os.urandom(8), os.urandom(32)
    cipher = [base64.b64encode(iv).decode(), base64.b64encode(salt).decode(), 20_000, key_bits, tag_bits]
    adata = [[*cipher, "aes", "gcm", "none"], "plaintext", 0, 0]
    sealing = sealed.read({"v": 2, "adata": adata})
    key = encrypted_cipher.derive(secret, None, sealing).content
    encryptor = Cipher(algorithms.AES(key), modes.GCM(iv, min_tag_length=8)).encryptor()
    encryptor.authenticate_additional_data(json.dumps(adata, separators=(",", ":")).encode())
    ct = encryptor.update(b'{"paste":"from afar"}') + encryptor.finalize() + encryptor.tag[: tag_bits // 8]
    document = {"status": 0, "v": 2, "adata": adata, "ct": base64.b64encode(ct).decode(), "meta": [], "comments": []}

    async def answer(request: web.Request) -> web.Response:
        if request.path_qs == "/?f468483c313401e8" and request.headers.get("X-Requested-With") == "JSONHttpRequest":
            return web.json_response(document)
        return web.Response(text="<!doctype html>PrivateBin", content_type="text/html")

    url = await start_server(answer)
    link = f"{url}/?f468483c313401e8#{base58.encode(secret)}"
    got = await client.run("get", link)
    assert (got.code, got.out) == (0, b"from afar")
    document["status"] = 1
    assert (await client.run("get", link)).code == 1


@pytest.mark.parametrize(
    "arguments",
    [("--raw",), ("--idempotency-key", "a-key-of-sixteen-letters")],
)
async def test_what_makes_no_sense_is_refused(client, arguments: tuple[str, ...]) -> None:
    refused = await client.run("put", "--encrypt", *arguments, stdin=b"x")
    assert (refused.code, refused.out) == (2, b"")


async def test_without_the_library_it_is_said_what_brings_it(client, tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ModuleNotFoundError('No module named cryptography')\n")
    refused = await client.run("put", "--encrypt", stdin=b"x", PYTHONPATH=f"{tmp_path}:{Path.cwd()}")
    assert (refused.code, refused.out) == (2, b"")
    assert "pip install 'pastebin[encrypt]'" in refused.err
