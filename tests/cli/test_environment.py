from __future__ import annotations

from pathlib import Path

import pytest

from pastebin.cli import environment
from pastebin.cli.failures import LocalFileError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PASTEBIN_SERVER", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_config(home: Path, text: str) -> None:
    path = home / ".config" / "pastebin" / "client.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


def test_the_server_is_chosen_from_near_to_far(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.choose_server(None) == environment.DEFAULT_SERVER
    write_config(home, 'server = "https://file.example/"')
    assert environment.choose_server(None) == "https://file.example"
    monkeypatch.setenv("PASTEBIN_SERVER", "https://variable.example")
    assert environment.choose_server(None) == "https://variable.example"
    assert environment.choose_server("https://OPTION.example:443") == "https://option.example"


@pytest.mark.parametrize("text", ["server =", "server = 1", 'sever = "https://p.example"', "\xff"])
def test_a_wrong_configuration_is_named(home: Path, text: str) -> None:
    write_config(home, text)
    with pytest.raises(LocalFileError, match=r"client\.toml: "):
        environment.choose_server(None)


@pytest.mark.parametrize(
    "text", ["p.example", "ftp://p.example", "https://p.example/?a=b", "https://p.example/prefix", "http://"]
)
def test_a_wrong_server_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        environment.choose_server(text)


def test_tokens_live_in_the_state_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.state_directory() == home / ".local" / "state" / "pastebin"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/paths/are/ignored")
    assert environment.state_directory() == home / ".local" / "state" / "pastebin"
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
    assert environment.state_directory() == Path("/srv/state/pastebin")


def test_proxies_come_from_the_environment_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("https_proxy", "proxy.example:3129")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert environment.proxy_for("http://p.example") == "http://proxy.example:3128"
    assert environment.proxy_for("https://p.example") == "http://proxy.example:3129"
    assert environment.proxy_for("https://direct.example:8443") is None
    for server in ("http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080"):
        assert environment.proxy_for(server) is None
    monkeypatch.setenv("http_proxy", "socks5://proxy.example")
    with pytest.raises(UsageError):
        environment.proxy_for("http://p.example")
