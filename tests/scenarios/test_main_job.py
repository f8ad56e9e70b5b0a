"""The main job, as `scripts/try-real` does it."""

from __future__ import annotations

import pytest

from tests.nodes import directory
from tests.scenarios import main_job

pytestmark = pytest.mark.scenario


async def test_the_standard_library_a_gigabyte_and_a_kill() -> None:
    async with directory() as path:
        report = await main_job.run(path / "data", limit=None, mib=1024, quiet_seconds=0.3)
    assert report.lines[-1].endswith("exit code 0")
