"""The options of the object store: what cannot work is refused before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pastebin.config import describe, load
from pastebin.errors import ConfigError
from tests.nodes import SECRET

USABLE = {"blobs.store": "s3", "blobs.bucket": "pastes", "blobs.access_key": "me", "blobs.secret_key": "hidden-words"}


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"bucket": ""}, "blobs.bucket: is required"),
        ({"bucket": "ab"}, "blobs.bucket: must be 3 to 63"),
        ({"bucket": "Pastes"}, "blobs.bucket: must be 3 to 63"),
        ({"endpoint": "s3.example:8333"}, "blobs.endpoint: must be http(s)://"),
        ({"endpoint": "http://s3.example/?x"}, "blobs.endpoint: must be http(s)://"),
        ({"secret_key": ""}, "blobs.secret_key: is required"),
        ({"access_key": ""}, "blobs.access_key: is required"),
        ({"prefix": "/pastes"}, "blobs.prefix: must be"),
        ({"prefix": "pastes"}, "blobs.prefix: must be"),
        ({"store": "s4"}, "blobs.store: must be one of directory, s3"),
        ({"addressing": "host"}, "blobs.addressing: must be one of auto, path, virtual"),
        ({"upload_budget_bytes": 1}, "blobs.upload_budget_bytes: expected integer >= 16777216"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], start: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(None, {**USABLE, **{f"blobs.{name}": value for name, value in options.items()}})
    assert [line for line in str(raised.value).splitlines() if not line.startswith(start)] == []


def test_the_secret_is_not_shown() -> None:
    shown = "\n".join(describe(load(None, USABLE)))
    assert 'secret_key = "***"' in shown
    assert "hidden-words" not in shown


def test_without_the_library_one_line_says_what_to_install(tmp_path: Path, session_database_dsn: str) -> None:
    """The extra is optional: nothing but this store needs it."""
    program = "import sys; sys.modules['aiobotocore'] = None; from pastebin.cli import main; sys.exit(main())"
    settings = {"database.primary": session_database_dsn, "node.secret": SECRET, **USABLE}
    options = [f"--set={name}={value}" for name, value in settings.items()]
    doors = ["--port=0", "--internal-port=0", f"--data-dir={tmp_path}"]
    ended = subprocess.run(
        [sys.executable, "-c", program, "serve", *doors, *options], capture_output=True, text=True, timeout=60
    )
    lines = [line for line in ended.stderr.splitlines() if line.startswith("pastebin: ")]
    assert (ended.returncode, len(lines)) == (69, 1), ended.stderr
    assert "pip install 'pastebin[s3]'" in lines[0]
