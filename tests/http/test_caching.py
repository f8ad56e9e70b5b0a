"""What caches may do: nothing with a secret, nothing beyond the end of a paste, everything else for a day."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pastebin.http import caching
from pastebin.models import Paste

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
PASTE = Paste(
    id=1,
    slug="h8Kq2ZtV0aB",
    title=None,
    visibility="unlisted",
    created_at=MOMENT,
    revised_at=MOMENT,
    expires_at=None,
    max_reads=None,
    reads=0,
    parent=None,
    encryption=None,
    token_hash=b"",
    password_hash=None,
    revision=1,
    files=(),
)
DAY = 86_400


def shared(headers: caching.Headers) -> dict[str, int]:
    return {name: int(seconds) for name, seconds in re.findall(r"([a-z-]+)=(\d+)", headers["CDN-Cache-Control"])}


def kept(paste: Paste, *, now: float = 0.0, is_personal: bool = False, is_stable: bool = True) -> caching.Headers:
    return caching.of_paste(paste, is_personal=is_personal, now=now, is_stable=is_stable)


@pytest.mark.parametrize("visibility", ["public", "unlisted"])
@pytest.mark.parametrize("encryption", [None, {"v": 2}])
def test_what_everybody_may_see_is_kept_for_a_day_and_browsers_ask_again(visibility: str, encryption: object) -> None:
    headers = kept(replace(PASTE, visibility=visibility, encryption=encryption))  # type: ignore[arg-type]
    assert headers["Cache-Control"] == "no-cache"
    assert shared(headers)["max-age"] == DAY
    assert caching.is_shared(headers)


@pytest.mark.parametrize(
    "paste",
    [
        replace(PASTE, visibility="private"),
        replace(PASTE, max_reads=1),
        replace(PASTE, max_reads=5, visibility="public"),
        replace(PASTE, password_hash="x"),
        replace(PASTE, password_hash="x", encryption={}),
    ],
)
def test_what_is_protected_is_never_kept(paste: Paste) -> None:
    for headers in (kept(paste), kept(paste, is_personal=True), kept(PASTE, is_personal=True)):
        assert headers == {"Cache-Control": "private, no-store", "CDN-Cache-Control": "no-store"}
        assert not caching.is_shared(headers)


@given(st.floats(0, 1e9), st.floats(-1e6, 1e9), st.booleans())
def test_nothing_is_kept_beyond_the_end(now: float, left: float, is_stable: bool) -> None:
    headers = shared(kept(replace(PASTE, expires_at=MOMENT, ends_at=now + left), now=now, is_stable=is_stable))
    fresh = headers.pop("max-age")
    assert 0 <= fresh <= DAY
    for stale in headers.values():
        assert stale > 0
        assert fresh + stale <= left + 1e-3
    assert fresh <= max(left, 0) + 1e-3
    if is_stable and left >= 2 * DAY:
        assert fresh == DAY
        assert headers.keys() == {"stale-while-revalidate", "stale-if-error"}


def test_an_end_that_is_not_known_is_now() -> None:
    assert shared(kept(replace(PASTE, expires_at=MOMENT))) == {"max-age": 0}


def test_an_unstable_page_is_kept_for_a_moment() -> None:
    assert shared(kept(PASTE, is_stable=False))["max-age"] == 10
    assert shared(kept(replace(PASTE, expires_at=MOMENT, ends_at=3.9), is_stable=False)) == {"max-age": 3}


def test_an_answer_that_says_nothing_is_not_shared() -> None:
    assert not caching.is_shared({})
    assert not caching.is_shared({"Cache-Control": "public, max-age=60"})
    assert caching.is_shared(caching.of_absence())
    assert caching.is_shared(caching.of_site(60))


def guarded(path: str, headers: dict[str, str], *, in_session: bool = False) -> dict[str, str]:
    """What becomes of an answer before its head is sent."""
    found = CIMultiDict(headers)
    caching.guard(path, found, in_session=in_session)
    return dict(found)


def test_what_nobody_opened_is_closed() -> None:
    for path in ("/h8Kq2ZtV0aB/raw", "/"):
        for headers in ({}, {"Cache-Control": "public, max-age=60"}, caching.secret()):
            found = guarded(path, headers)
            assert found["CDN-Cache-Control"] == "no-store"
            assert ("Surrogate-Key" in found) == (path != "/")


def test_a_session_s_answer_is_its_own_unless_it_is_the_site_s() -> None:
    assert guarded("/h8Kq2ZtV0aB", kept(PASTE), in_session=True)["Cache-Control"] == "private, no-cache"
    assert not caching.is_shared(guarded("/h8Kq2ZtV0aB", kept(PASTE), in_session=True))
    assert caching.is_shared(guarded("/", caching.of_site(60), in_session=True))
    assert guarded("/h8Kq2ZtV0aB", caching.secret(), in_session=True)["Cache-Control"] == "private, no-store"
