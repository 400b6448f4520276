"""The installed commands, as a user calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path

WORKER = str(Path(sys.executable).with_name("emotion-worker"))
TRAINING = str(Path(sys.executable).with_name("emotion-training"))
TORCHRUN = str(Path(sys.executable).with_name("torchrun"))


def emotion_worker(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; keyword arguments are its WORKER_ variables, no others are passed on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    return subprocess.run(
        [WORKER, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=cwd,
        env=environment | settings,
        timeout=500,
    )


def told_error(stderr: str) -> str:
    """Return the error that a command ended with, from the last line that it wrote."""
    line = json.loads(stderr.splitlines()[-1])
    assert line["level"] == "error"
    return str(line["event"])
