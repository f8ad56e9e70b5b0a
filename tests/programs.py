"""Programs that tests need and pip does not bring, and what happens where one is missing."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require(program: str) -> str:
    """The path of `program`; without it the test fails under CI=true and is skipped elsewhere."""
    path = shutil.which(program)
    return path or lack(f"{program} is not installed; scripts/test installs it when it runs as root")


def lack(reason: str) -> NoReturn:
    """End a test that misses something of the machine: a failure under CI=true, skipped with the reason elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
