"""What one client sends must not become another one's answer: fields that are no part of the key are not passed on."""

from __future__ import annotations

import pytest

from tests.cdn.clauses import Client
from tests.cdn.origins import Origin, answer

VARIED = {"Cache-Control": "max-age=600", "Vary": "Accept"}


@pytest.mark.parametrize("options", ["accept", "keep-alive, Accept", "close,ACCEPT"])
async def test_a_field_taken_off_the_way_does_not_choose_the_variant_either(
    client: Client, origin: Origin, options: str
) -> None:
    target = f"/nominated/{options.replace(' ', '')}"
    origin.script(target, answer(200, VARIED, b"for who says nothing"), answer(200, VARIED, b"page"))
    await client.ask(target, {"Accept": "text/html", "Connection": options})
    assert "Accept" not in origin.asked(target)[0].headers
    assert (await client.ask(target, {"Accept": "text/html"})).body == b"page"
    assert (await client.ask(target)).body == b"for who says nothing"
