"""`pastebin check` reads the zone file, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from pastebin.cli import main
from tests.geodns.dns_client import ZONE


def test_what_is_wrong_in_the_zone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone, config = tmp_path / "zone", tmp_path / "node.toml"
    config.write_text(
        f'[node]\nroles = ["geodns"]\n[geodns]\nzone = "p.example"\nfile = "{zone}"\n'
        '[regions.us]\naddresses = ["192.0.2.1"]\n'
    )
    zone.write_text(ZONE)
    assert main(["check", "--config", str(config)]) == 0
    assert "[regions.us]" in capsys.readouterr().out
    zone.write_text(ZONE + "\nx 0 IN A 192.0.2.1\ny.q.example. 60 IN A 192.0.2.1\n")
    assert main(["check", "--config", str(config)]) == 78
    told = capsys.readouterr().err
    assert "x.p.example. A has a TTL of 0" in told
    assert "y.q.example. A lies outside the zone" in told
