"""Which paste is meant: a slug, or any of the addresses under which a paste is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from yarl import URL

from pastebin.cli.failures import UsageError
from pastebin.slugs import is_reserved, is_slug


@dataclass(frozen=True, slots=True)
class Target:
    """A paste, and one of its files where the address names one. `server` is None for a bare slug.

    `fragment` is where links have the key of an encrypted paste; `is_foreign` says that the address has the form that
    PrivateBin's have.
    """

    slug: str
    server: str | None = None
    name: str | None = None
    fragment: str = field(default="", compare=False, repr=False)
    is_foreign: bool = False


def parse_server(text: str) -> str:
    """`http(s)://host[:port]` in one spelling: lower case, no default port, no slash at the end.

    Raises UsageError.
    """
    url = _parse_url(text)
    if url.raw_path.strip("/") or url.query_string or url.fragment:
        raise UsageError(f"{text}: a server's address ends after host and port")
    return _server(url)


def parse_target(text: str) -> Target:
    """A slug or an address.

    `/{slug}[.{ext}]`, `/{slug}/tail`, `/{slug}/raw[/{name}]`, `/raw/{slug}`, `/api/v1/pastes/{slug}`, and PrivateBin's
    `/?{id}`. Raises UsageError.
    """
    if "://" not in text:
        if not is_slug(text):
            raise UsageError(f"{text}: is neither a slug nor an address that begins with http:// or https://")
        return Target(text)
    url = _parse_url(text)
    segments = [segment for segment in url.raw_parts[1:] if segment]
    slug, name = _split(segments)
    is_foreign = not segments and is_slug(url.raw_query_string.removesuffix("="))
    if is_foreign:
        slug = url.raw_query_string.removesuffix("=")
    if slug.endswith((".zip", ".tar.gz")):
        raise UsageError(f"{text}: is an archive; give the paste's own address, and -o DIRECTORY for all its files")
    slug = slug.partition(".")[0]
    if not is_slug(slug) or is_reserved(slug):
        raise UsageError(f"{text}: is not the address of a paste")
    return Target(slug, _server(url), None if name is None else unquote(name), url.raw_fragment, is_foreign)


def _parse_url(text: str) -> URL:
    try:
        url = URL(text)
        is_http = url.scheme in ("http", "https") and bool(url.host)
        has_user = url.raw_user is not None or url.raw_password is not None
        _ = url.port
    except ValueError:
        is_http = has_user = False
    if not is_http:
        raise UsageError(f"{text}: must be http://host[:port] or https://host[:port]")
    if has_user:
        raise UsageError("an address with a user name or password in it is not accepted")
    return url


def _server(url: URL) -> str:
    return str(url.origin()).rstrip("/")


def _split(segments: list[str]) -> tuple[str, str | None]:
    """The slug as written and the file's name, still percent-encoded; no slug where the path has another shape."""
    match segments:
        case [slug] | ["raw", slug] | [slug, "raw"] | [slug, "tail"] | ["api", "v1", "pastes", slug]:
            return slug, None
        case [slug, "raw", name]:
            return slug, name
    return "", None
