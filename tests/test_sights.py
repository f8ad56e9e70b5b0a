from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin import sights, slugs
from pastebin.sights import Answered, Sight, referring_host, seen, sight
from pastebin.visits import VisitKind

HTML, TEXT, JSON = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"


@pytest.mark.parametrize(
    ("target", "media_type", "expected"),
    [
        ("/abc123", HTML, ("", "page")),
        ("/abc123", TEXT, ("", "raw")),
        ("/abc123.py", HTML, ("", "page")),
        ("/abc123.zip", "application/zip", ("", "download")),
        ("/abc123.tar.gz", "application/gzip", ("", "download")),
        ("/abc123/files.tar.gz", "application/gzip", ("", "download")),
        ("/abc123/raw", TEXT, ("", "raw")),
        ("/raw/abc123?name=a%20b.py", TEXT, ("a b.py", "raw")),
        ("/abc123/raw/a%2Fb.py", TEXT, ("a/b.py", "raw")),
        ("/abc123/raw/b.py?download", TEXT, ("b.py", "download")),
        ("/abc123/raw?lines=1-2&download=1", TEXT, ("", "download")),
        ("/abc123/rev/2", HTML, ("", "page")),
        ("/abc123/rev/2", TEXT, ("", "raw")),
        ("/abc123/rev/2/raw/x", TEXT, ("x", "raw")),
        ("/abc123/history", HTML, ("", "page")),
        ("/abc123/diff/1..2", "text/x-diff", ("", "raw")),
        ("/diff/abc123/def456", HTML, ("", "page")),
        ("/embed/abc123", HTML, ("", "embed")),
        ("/embed/abc123/x.py", HTML, ("x.py", "embed")),
        ("/documents/abc123", JSON, ("", "api")),
        ("/api/v1/pastes/abc123?content=true", JSON, ("", "api")),
        ("/api/v1/pastes/abc123/revisions/3", JSON, ("", "api")),
        ("/api/v1/pastes/abc123/search?q=x", JSON, ("", "api")),
        ("/api/v1/pastes/abc123/reveal", JSON, ("", "api")),
        ("/%61bc123", HTML, ("", "page")),
    ],
)
def test_addresses_at_which_a_paste_is_read(target: str, media_type: str, expected: tuple[str, VisitKind]) -> None:
    path, _, query = target.partition("?")
    assert sight(path, query, media_type) == Sight("abc123", *expected)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "*", "/static/style.css", "/favicon.ico", "/problems/x", "/api/v1/limits", "/api/v1/pastes"),
        *("/abc123/stats", "/abc123/manage", "/api/v1/pastes/abc123/stats", "/admin", "/admin/analytics", "/-x"),
        *("/abc123/", "/abc123//raw", "/raw/abc123/x/y", "/abc%ff123", "/ab/raw", "/" + "a" * 9000),
    ],
)
def test_addresses_at_which_nothing_is_read(path: str) -> None:
    assert sight(path, "", HTML) is None


_SEGMENTS = st.one_of(
    st.sampled_from(["raw", "embed", "diff", "documents", "api", "v1", "pastes", "rev", "history", "reveal", "abc123"]),
    st.text(st.characters(codec="utf-8") | st.sampled_from(string.printable + "%\udc80"), max_size=12),
)


@given(st.lists(_SEGMENTS, max_size=6), st.text(max_size=30), st.sampled_from([HTML, TEXT, ""]))
def test_whatever_is_asked_names_a_slug_or_nothing(segments: list[str], query: str, media_type: str) -> None:
    found = sight("/" + "/".join(segments), query, media_type)
    if found is not None:
        assert slugs.is_slug(found.slug)
        assert not slugs.is_reserved(found.slug)
        found.file.encode()  # for databases it is text
        assert "\0" not in found.file


def answered(method: str = "GET", target: str = "/abc123", status: int = 200, content_range: str = "") -> Answered:
    return Answered(method, target, "p.example", "", "", "", (), status, HTML, content_range, 0, 0, "none")


def test_what_counts_as_a_reading() -> None:
    assert seen(answered())
    assert seen(answered(status=304))
    assert seen(answered(status=206, content_range="bytes 0-99/1000"))
    assert seen(answered(status=503))
    assert seen(answered("POST", "/abc123/reveal"))
    assert not seen(answered(status=206, content_range="bytes 100-199/1000"))
    assert not seen(answered(status=404))
    assert not seen(answered(status=303))
    assert not seen(answered("POST", "/abc123/manage"))
    assert not seen(answered("HEAD"))


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://News.Example.com/item?id=1", "news.example.com"),
        ("http://example.com:8080/", "example.com"),
        ("https://user:secret@example.com./", "example.com"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://p.example/abc", ""),
        ("https://other.example/", ""),
        ("https://192.0.2.1/", ""),
        ("https://[2001:db8::1]/", ""),
        ("https://[", ""),
        ("android-app://com.example", ""),
        ("", ""),
        ("https://" + "a" * 300 + ".example/", ""),
        ("https://x\r\ny.example/", "xy.example"),
    ],
)
def test_of_a_referrer_the_name_of_another_site_is_kept(referrer: str, host: str) -> None:
    assert referring_host(referrer, frozenset({"other.example"}), "P.example:8080") == host


@given(st.text(max_size=300) | st.text(max_size=300).map("https://{}".format))
def test_nothing_that_is_sent_as_a_referrer_does_harm(referrer: str) -> None:
    host = referring_host(referrer, frozenset())
    assert len(host) <= 253
    assert not host.strip(string.ascii_lowercase + string.digits + ".-_")


def test_hosts_lose_their_ports() -> None:
    assert [sights.host_name(host) for host in ("A.example:80", "[::1]:80", "", "b.example.")] == [
        "a.example",
        "::1",
        "",
        "b.example",
    ]
