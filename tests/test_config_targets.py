"""[[cdn.targets]]: secrets inside a list of tables, and what each kind needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pastebin.cli import main
from pastebin.config import describe, load, notices
from tests.test_config import LONG_SECRET, WriteFile, complaints, write

__all__ = ["write"]


def targets(*tables: str) -> str:
    return "\n".join(f"[[cdn.targets]]\n{table}" for table in tables)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('name = "a"\nkind = "varnish"\nurl = "http://v"', "cdn.targets[0].token: is required with kind"),
        (
            'name = "a"\nkind = "varnish"\nurl = "v:80"\ntoken = "1234567890123456"',
            "cdn.targets[0].url: must be http(s)://",
        ),
        ('name = "a"\nkind = "fastly"\ntoken = "t"', "cdn.targets[0].id: is required with kind"),
        ('name = "a"\nkind = "cloudfront"\nid = "E"\ntoken = "t"', "cdn.targets[0].access_key: is required"),
        ('name = "a"\nkind = "bunny"\nid = "1"\ntoken = "t"\ntags = true', "cdn.targets[0].tags: is for kind"),
        ('name = "a"\nkind = "akamai"', "cdn.targets[0].kind: "),
        (
            'name = "a"\nkind = "bunny"\nid = "1"\ntoken = "env:PASTEBIN_TEST_UNSET"',
            "cdn.targets[0].token: environment",
        ),
        ('name = "A b"\nkind = "cloudfront"\nid = "1"', "cdn.targets[0].name: must be 1 to 32 lower-case letters"),
        ('name = "a"\nkind = "bunny"\nid = "1"\ntoken = "t"\nurl = "http://h:99999"', "cdn.targets[0].url: must be"),
        ('name = "a"\nkind = "bunny"\nid = "1"\ntoken = "a\\nb"', "cdn.targets[0].token: must be one line of"),
        ('name = "a"\nkind = "edge"\nurl = "http://e"', 'node.secret: is required with a target of kind "edge"'),
        ('name = "a"\nkind = "cloudflare"\nid = "z"\ntoken = "t"\nsoft = true', "cdn.targets[0].soft: is for kind"),
        (
            'name = "a"\nkind = "varnish"\nurl = "http://v"\ntoken = "123456789012345"',
            "cdn.targets[0].token: must have 16 characters or more",
        ),
    ],
)
def test_what_cannot_work_is_refused(write: WriteFile, text: str, start: str) -> None:
    found = complaints(write(targets(text)))
    assert len(found) == 1
    assert found[0].startswith(start)


def test_names_are_unique(write: WriteFile) -> None:
    one = 'name = "a"\nkind = "cloudfront"\nid = "E"'
    assert complaints(write(targets(one, one))) == ["cdn.targets[1].name: is the name of another target too: a"]


def test_tokens_come_from_files_and_the_environment_and_are_never_shown(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    monkeypatch.setenv("PASTEBIN_TEST_TOKEN", "hunter2")
    path = write(
        targets(
            f'name = "a"\nkind = "fastly"\nid = "s"\ntoken = "file:{tmp_path}/token"',
            'name = "b"\nkind = "bunny"\nid = "1"\ntoken = "env:PASTEBIN_TEST_TOKEN"',
            'name = "c"\nkind = "cloudflare"\nid = "z"\ntoken = "hunter2"',
        )
    )
    chosen = load(path)
    assert [target.token.reveal() for target in chosen.cdn.targets] == ["hunter2"] * 3
    assert "hunter2" not in "\n".join([*describe(chosen), repr(chosen)])
    path.chmod(0o604)
    assert [line.split(":")[0] for line in complaints(path)] == ["cdn.targets[2].token"]


def test_what_readme_shows_is_a_configuration(write: WriteFile) -> None:
    """Every kind but our own edge, with secrets that are only not here."""
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"## Other CDNs.*?```toml\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    chosen = load(write(re.sub(r'"file:[^"]*"', f'"{LONG_SECRET}"', shown[1])))
    assert {target.kind for target in chosen.cdn.targets} == {"varnish", "fastly", "cloudflare", "cloudfront", "bunny"}


def test_what_is_hardly_meant_is_noticed(write: WriteFile) -> None:
    target = 'name = "a"\nkind = "fastly"\nid = "s"\ntoken = "t"'
    said = {
        roles: [
            str(notice).partition(":")[0]
            for notice in notices(
                load(write(f'[node]\nroles = [{roles}]\n[cdn]\ndialects = ["fastly", "bunny"]\n{targets(target)}'))
            )
        ]
        for roles in ('"web"', '"web", "cdn-worker"')
    }
    assert said == {'"web"': ["cdn.targets"], '"web", "cdn-worker"': ["cdn.dialects"]}
    assert not list(notices(load(None)))


def test_check_tells_its_notices_beside_what_is_in_effect(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", '--set=cdn.dialects=["bunny"]']) == 0
    shown = capsys.readouterr()
    assert 'dialects = ["bunny"]' in shown.out
    assert shown.err == 'pastebin: notice: cdn.dialects: names bunny, which no target of kind = "bunny" purges\n'
