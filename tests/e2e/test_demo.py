"""`make demo`: the whole flow, seen by somebody who has just come."""

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
from commands import WORKER, emotion_worker
from services import PATIENCE_S, wait_for


def _started_by(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if child.is_running()]


def test_the_demo_shows_rows_and_dead_letters_and_leaves_nothing_running(tmp_path: Path) -> None:
    before = {process.pid for process in _started_by(psutil.Process())}

    done = emotion_worker("demo", cwd=tmp_path, COLUMNS="120")

    assert done.returncode == 0, done.stderr
    assert "268 rows of 34 sessions, 5 dead letters" in done.stdout
    for shown in ("emotion_results", "fear", "msg/s", "Object missing required field `text`", "SELECT"):
        assert shown in done.stdout
    assert f"Look, in a browser: {tmp_path / 'calls.html'}" in done.stdout
    assert "<mark>" in (tmp_path / "calls.html").read_text(encoding="utf-8")
    assert "Traceback" not in done.stderr
    assert "leaked" not in done.stderr
    wait_for(
        lambda: not {process.pid for process in _started_by(psutil.Process())} - before,
        what="everything to end",
    )


def test_the_demo_can_be_kept_up_to_look_around(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("w") as stdout:
        demo = subprocess.Popen(
            [WORKER, "demo", "--keep"], cwd=tmp_path, env=os.environ | {"COLUMNS": "300"}, stdout=stdout
        )
    try:
        wait_for(lambda: "  psql '" in output.read_text() or demo.poll() is not None, what="the addresses")
        (url,) = re.findall(r"Postgres +(postgresql://\S+)", output.read_text())
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM session_emotions").fetchone() != (0,)
        assert re.search(r"Kafka +127\.0\.0\.1:\d+", output.read_text())
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE_S) == 0
    finally:
        demo.kill()
        demo.wait()
