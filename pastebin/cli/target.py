"""Which paste is meant: a slug, or any of the addresses under which a paste is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from yarl import URL

from pastebin.cli.failures import UsageError
from pastebin.slugs import is_reserved, is_slug


@dataclass(frozen=True, slots=True)
class Target:
    """A paste, and one of its files where the address names one. `server` is None for a bare slug."""

    slug: str
    server: str | None = None
    name: str | None = None


def parse_server(text: str) -> str:
    """`http(s)://host[:port][/prefix]` in one spelling: lower case, no default port, no slash at the end.

    Raises UsageError.
    """
    url = _parse_url(text)
    if url.query_string or url.fragment:
        raise UsageError(f"{text}: a server's address has no query and no fragment")
    return _server(url, [segment for segment in url.raw_parts[1:] if segment])


def parse_target(text: str) -> Target:
    """A slug or an address: `/{slug}[.{ext}]`, `/{slug}/raw[/{name}]`, `/raw/{slug}`, `/api/v1/pastes/{slug}`.

    The fragment, where browsers keep the key of an encrypted paste, is dropped. Raises UsageError.
    """
    if "://" not in text:
        if not is_slug(text):
            raise UsageError(f"{text}: is neither a slug nor an address that begins with http:// or https://")
        return Target(text)
    url = _parse_url(text)
    segments = [segment for segment in url.raw_parts[1:] if segment]
    before, slug, name = _split(segments)
    if slug.endswith((".zip", ".tar.gz")):
        raise UsageError(f"{text}: is an archive; give the paste's own address, and -o DIRECTORY for all its files")
    slug = slug.partition(".")[0]
    if not is_slug(slug) or is_reserved(slug):
        raise UsageError(f"{text}: is not the address of a paste")
    return Target(slug, _server(url, before), None if name is None else URL.build(path=name, encoded=True).path)


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


def _server(url: URL, prefix: list[str]) -> str:
    return "/".join([str(url.origin()).rstrip("/"), *prefix])


def _split(segments: list[str]) -> tuple[list[str], str, str | None]:
    """The prefix before the paste, its slug as written, and the file's name, still percent-encoded."""
    if segments[-4:-1] == ["api", "v1", "pastes"]:
        return segments[:-4], segments[-1], None
    if "raw" in segments:
        index = segments.index("raw")
        if index and is_slug(segments[index - 1]):
            name = "/".join(segments[index + 1 :])
            return segments[: index - 1], segments[index - 1], name or None
        return segments[:index], "/".join(segments[index + 1 :]), None
    return segments[:-1], segments[-1] if segments else "", None
