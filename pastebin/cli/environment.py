"""The client's only reader of the environment and of client.toml: server, directories, proxy, token."""

from __future__ import annotations

import os
import tomllib
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from pastebin.cli.failures import LocalFileError, UsageError, as_local_error
from pastebin.cli.target import parse_server

DEFAULT_SERVER = "http://127.0.0.1:8080"


def choose_server(option: str | None) -> str:
    """The server of `--server`, else of PASTEBIN_SERVER, else of client.toml, else the default.

    Raises UsageError, LocalFileError.
    """
    return parse_server(option or os.environ.get("PASTEBIN_SERVER") or _configured_server() or DEFAULT_SERVER)


def owner_token() -> str | None:
    return os.environ.get("PASTEBIN_TOKEN") or None


def state_directory() -> Path:
    """Where the owner tokens are kept (XDG Base Directory Specification 0.8)."""
    return _base_directory("XDG_STATE_HOME", ".local/state") / "pastebin"


def proxy_for(server: str) -> str | None:
    """The proxy that http_proxy, https_proxy and no_proxy name for `server`; none for a loopback address.

    Unlike aiohttp's `trust_env` this leaves ~/.netrc alone, whose passwords would displace owner tokens.
    """
    parts = urlsplit(server)
    host = parts.hostname or ""
    if host == "localhost" or host == "::1" or host.startswith("127."):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise UsageError(f"{parts.scheme}_proxy: only http and https proxies can be used")
    return proxy


def _configured_server() -> str | None:
    path = _base_directory("XDG_CONFIG_HOME", ".config") / "pastebin" / "client.toml"
    try:
        with as_local_error(path):
            values = tomllib.loads(path.read_text(encoding="utf-8"))
    except LocalFileError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LocalFileError(f"{path}: is not TOML: {error}") from error
    if unknown := sorted(values.keys() - {"server"}):
        raise LocalFileError(f"{path}: {unknown[0]} is not known here; allowed: server")
    server = values.get("server")
    if server is not None and not isinstance(server, str):
        raise LocalFileError(f'{path}: server must be text, such as server = "{DEFAULT_SERVER}"')
    return server


def _base_directory(variable: str, fallback: str) -> Path:
    chosen = Path(os.environ.get(variable, ""))
    if chosen.is_absolute():
        return chosen
    try:
        return Path.home() / fallback
    except RuntimeError:
        raise LocalFileError(f"no home directory is known; set HOME or {variable}") from None
