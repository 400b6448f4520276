"""The alerts ring for what they are for; Prometheus' own promtool evaluates them on series that are made up."""

import shutil
import subprocess
from pathlib import Path

import pytest
from places import ROOT


def test_every_alert_rings_for_its_case_and_for_no_other(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus")
    shutil.copy(ROOT / "deploy" / "observability" / "alerts.yml", tmp_path)
    tests = [shutil.copy(file, tmp_path) for file in sorted((ROOT / "tests" / "compose").glob("alerts_*test.yml"))]
    ended = subprocess.run(
        [promtool, "test", "rules", *tests], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
