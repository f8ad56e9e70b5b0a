"""Programs that tests need and pip does not bring."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> str:
    """The path of `program`; without it the test fails under CI=true and is skipped elsewhere."""
    if path := shutil.which(program):
        return path
    reason = f"{program} is not installed; scripts/test installs it when it runs as root"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
