"""`emotion-training schedule` retrains for real, stops in the middle of a fit, and goes on with it."""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import psutil
import pytest
from bundles import WORDS, make_bundle
from prometheus_client.parser import text_string_to_metric_families
from services import PATIENCE_S, as_role, engine_fixture, wait_for
from sqlalchemy import Engine, insert, select, text

from schemas.access import TRAINER
from schemas.emotions import EMOTIONS
from schemas.tables import training_runs
from training.database import connect
from training.label_files.label import Label
from training.labels.table import store

TRAINING = str(Path(sys.executable).with_name("emotion-training"))
SETTINGS = [
    "learning.learning_rate=2e-3", "learning.batch_size=8", "learning.epochs.other=40", "gate.growth=100",
    "min_labels=100",
]  # fmt: skip


engine = engine_fixture(connect)


@pytest.fixture
def command(postgres_url: str, tmp_path: Path) -> Iterator["Command"]:
    command = Command(postgres_url, tmp_path)
    yield command
    command.kill()


class Command:
    """The installed command, with a date that is far away, a tiny champion, and what it says."""

    def __init__(self, url: str, folder: Path) -> None:
        make_bundle(folder / "made", version="first", created_at="2026-01-01T00:00:00Z")
        self.work = folder / "work"
        self._log = folder / "log"
        self._environment = {**os.environ, "TRAINING_DATABASE_URL": as_role(url, TRAINER)}
        folders = {"--work": self.work, "--store": folder / "store", "--champion": folder / "made"}
        self._words = ["--cron", "0 3 1 1 *", *(str(word) for pair in folders.items() for word in pair)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        words = [TRAINING, "schedule", *self._words, "--http-port", "0", "--set", *SETTINGS]
        with self._log.open("ab") as log:
            self._processes.append(subprocess.Popen(words, env=self._environment, stdout=log, stderr=log))

    def end(self) -> None:
        self._processes[-1].terminate()
        assert self._processes[-1].wait(PATIENCE_S) == 0, self.said()

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def last_runs(self) -> dict[str, float]:
        """When runs of each state were last there, as Prometheus reads it of the latest process."""
        port = re.findall(r'"port": (\d+)', self.said())[-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        name = "emotion_training_last_run_timestamp_seconds"
        return {each.labels["state"]: each.value for one in families for each in one.samples if each.name == name}

    def kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()


def runs(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(training_runs).order_by(training_runs.c.id)))


def test_a_missed_retraining_survives_a_stop_and_promotes_its_candidate(engine: Engine, command: Command) -> None:
    said = dict(zip(EMOTIONS, WORDS[-7:], strict=True))
    texts = islice(combinations(WORDS[1:13], 3), 210)
    store(
        engine,
        [
            Label(text=" ".join([*around, said[EMOTIONS[at % 7]]]), emotions=(EMOTIONS[at % 7],), origin="calls")
            for at, around in enumerate(texts)
        ],
    )
    with engine.begin() as connection:
        years_ago = text("now() - interval '2 years'")
        connection.execute(insert(training_runs).values(state="skipped", started_at=years_ago))

    command.start()
    wait_for(lambda: next(command.work.glob("run-*/**/student/checkpoint-*/trainer_state.json"), None), "a fit")
    command.end()
    assert [run.state for run in runs(engine)] == ["skipped", "interrupted"], command.said()

    command.start()
    wait_for(lambda: command.said().count("the next run") == 3, "the date after the run")
    wait_for(lambda: "holds 0 rows, 100 are needed" in command.said(), "the comparison of results")
    last_runs = command.last_runs()
    command.end()
    _, run = runs(engine)
    assert run.state == "promoted", command.said()
    assert f"run {run.id}: promoted {run.model_version}" in command.said()
    assert {path.name for path in command.work.iterdir()} == {"reports", "snapshot"}
    assert last_runs["promoted"] == pytest.approx(run.finished_at.timestamp())
