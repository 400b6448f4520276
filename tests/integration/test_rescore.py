"""Stored texts are scored anew by a newer model, each once, whoever else works on them."""

import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from bundles import SAID, make_bundle
from commands import WORKER
from fakes import POISON, StubClassifier, scores_of
from services import Postgres, engine_fixture, wait_for
from sqlalchemy import Engine, func, select

from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from schemas.tables import emotion_results, model_versions
from training.onnx_export import export_onnx
from worker.classifier import EmotionClassifier
from worker.database import connect
from worker.errors import ConfigurationError
from worker.rescore import Outcome, Rescoring, Wanted, rescore
from worker.score_store import RescoreStore
from worker.settings import Settings

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
MADE = datetime(2026, 3, 1, tzinfo=UTC)
QUICK = 1e6


engine = engine_fixture(connect, "test")


def put(engine: Engine, count: int, prefix: str = "id", **columns: Any) -> None:
    row = {
        "text": SAID,
        "spoken_at": datetime(2026, 1, 15, tzinfo=UTC),
        "emotions": ["joy"],
        **dict.fromkeys(EMOTIONS, 0.5),
        "model_version": "old",
        "normalizer": "0",
        "kafka_topic": "transcripts",
        "kafka_partition": 0,
        "kafka_offset": 0,
        "processed_at": datetime(2026, 1, 16, tzinfo=UTC),
    }
    rows = [row | {"transcript_id": f"{prefix}-{at:05}"} | columns for at in range(count)]
    with engine.begin() as connection:
        connection.execute(emotion_results.insert(), rows)


def register(engine: Engine, version: str, state: str, created_at: datetime, location: str = "nowhere") -> None:
    row = {"version": version, "state": state, "location": location, "created_at": created_at}
    with engine.begin() as connection:
        made = {"metrics": {}, "data_fingerprint": "none", "base_model": "none"}
        connection.execute(model_versions.insert().values(row | made))


def versions_of(engine: Engine) -> dict[str, int]:
    column = emotion_results.c.model_version
    with engine.connect() as connection:
        return dict(connection.execute(select(column, func.count()).group_by(column)).all())


def rows_of(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return {row.transcript_id: row for row in connection.execute(select(emotion_results))}


class New(StubClassifier):
    version = "new"


def rescoring(engine: Engine, *, batch: int = 10, rate: float = QUICK, stop: Event | None = None, **more: Any) -> Any:
    store = RescoreStore(engine, SINCE, "new", MADE)
    return Rescoring(store, more.get("classifier") or New(), batch=batch, rate=rate, stop=stop or Event())


def test_a_row_gets_the_new_models_scores_and_keeps_the_rest(engine: Engine) -> None:
    put(engine, 25)
    before = rows_of(engine)["id-00007"]
    assert rescoring(engine).run() == Outcome(25, 0)
    after = rows_of(engine)["id-00007"]
    scores = scores_of(SAID)
    assert [getattr(after, emotion) for emotion in EMOTIONS] == pytest.approx(scores)
    assert after.emotions == [emotion for emotion, score in zip(EMOTIONS, scores, strict=True) if score >= 0.5]
    assert (after.model_version, after.normalizer) == ("new", NORMALIZER)
    assert after.processed_at > before.processed_at
    same = ("text", "spoken_at", "source", "kafka_topic", "kafka_partition", "kafka_offset")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]


def test_an_empty_text_gets_the_version_and_no_scores(engine: Engine) -> None:
    put(engine, 1, text="  \t ")
    assert rescoring(engine).run() == Outcome(1, 0)
    (row,) = rows_of(engine).values()
    assert (row.model_version, row.emotions) == ("new", [])
    assert {getattr(row, emotion) for emotion in EMOTIONS} == {None}


def test_what_is_older_than_the_time_or_scored_by_a_newer_model_stays(engine: Engine) -> None:
    register(engine, "old", "retired", datetime(2026, 2, 1, tzinfo=UTC))
    register(engine, "new", "champion", MADE)
    register(engine, "newest", "candidate", datetime(2026, 4, 1, tzinfo=UTC))
    put(engine, 3)
    put(engine, 3, "unregistered", model_version="unheard-of")
    put(engine, 3, "newest", model_version="newest")
    put(engine, 3, "done", model_version="new")
    put(engine, 3, "long-ago", spoken_at=datetime(2025, 12, 31, tzinfo=UTC))
    assert rescoring(engine).run() == Outcome(6, 0)
    assert versions_of(engine) == {"new": 9, "newest": 3, "old": 3}


def test_rows_that_someone_holds_are_passed_over_and_looked_at_again(engine: Engine) -> None:
    """The holder is one like the flow, which is never waited for: it lets go only after the rest is done."""
    put(engine, 30)
    with engine.connect() as holder:
        held = select(emotion_results.c.transcript_id).order_by("transcript_id").limit(15).with_for_update()
        holder.execute(held)
        worker = rescoring(engine)
        outcomes: list[Outcome] = []
        thread = Thread(target=lambda: outcomes.append(worker.run()))
        thread.start()
        wait_for(lambda: versions_of(engine).get("new") == 15, what="the rows that nobody holds")
        holder.rollback()
    thread.join(30)
    assert versions_of(engine) == {"new": 30}
    assert outcomes == [Outcome(30, 0)]


def test_rows_that_stay_held_are_left_and_counted(engine: Engine) -> None:
    put(engine, 5)
    with engine.connect() as holder:
        holder.execute(select(emotion_results.c.transcript_id).limit(2).with_for_update())
        assert rescoring(engine).run() == Outcome(3, 2)
    assert rescoring(engine).run() == Outcome(2, 0)


def test_a_text_that_the_model_rejects_keeps_its_scores_and_costs_no_other(engine: Engine) -> None:
    put(engine, 20)
    put(engine, 1, "bad", text=f"это {POISON}")
    assert rescoring(engine).run() == Outcome(20, 1)
    assert versions_of(engine) == {"new": 20, "old": 1}


def test_below_its_rate_it_waits_and_a_stop_ends_it_with_whole_batches(engine: Engine) -> None:
    put(engine, 40)
    stop = Event()
    slow = rescoring(engine, rate=1, stop=stop)
    outcomes: list[Outcome] = []
    thread = Thread(target=lambda: outcomes.append(slow.run()))
    thread.start()
    wait_for(lambda: versions_of(engine).get("new"), what="the first batch")
    stop.set()  # The second one is due ten seconds after the first.
    thread.join(30)
    assert outcomes == [Outcome(10, None)]
    assert versions_of(engine) == {"new": 10, "old": 30}
    assert rescoring(engine).run() == Outcome(30, 0)


def test_an_outage_of_postgres_is_sat_out(own_postgres: Postgres) -> None:
    engine = connect(own_postgres.url(), "test")
    put(engine, 50)

    class Outage(New):
        def classify(self, texts: list[str]) -> Any:
            if self.calls == 2:
                own_postgres.kill()
                Thread(target=own_postgres.start).start()
            return super().classify(texts)

    assert rescoring(engine, classifier=Outage()).run() == Outcome(50, 0)
    assert versions_of(engine) == {"new": 50}
    engine.dispose()


def command(url: str, log: Path, *arguments: str) -> subprocess.Popen[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    with log.open("w") as errors:
        return subprocess.Popen(
            [WORKER, "rescore", "--since", "2026-01-01", *arguments],
            env=own | {"WORKER_DATABASE_URL": url, "WORKER_DEVICE": "cpu"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def test_two_processes_share_the_work_and_one_that_is_told_to_stop_leaves_it_to_the_other(
    engine: Engine, postgres_url: str, tmp_path: Path
) -> None:
    folder = make_bundle(tmp_path / "bundle", version="new")
    export_onnx(Path(folder), int8=False)  # Processes that need no torch are there sooner.
    put(engine, 400)
    options = ("--model", folder, "--batch", "10", "--rate")
    first = command(postgres_url, tmp_path / "first.log", *options, "10")
    wait_for(lambda: versions_of(engine).get("new"), 60, "the first rows")
    log = tmp_path / "second.log"
    second = command(postgres_url, log, *options, "400")
    wait_for(lambda: "rows to score anew" in log.read_text(), 60, "the second process")
    first.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "stopped: the same command goes on from here" in said[0]
    assert versions_of(engine) == {"new": 400}
    assert sum(int(line.split()[1]) for line in said) == 400  # Each row once.
    row = rows_of(engine)["id-00000"]
    (scores,) = EmotionClassifier(folder, "cpu").classify([SAID])
    assert [getattr(row, emotion) for emotion in EMOTIONS] == pytest.approx(scores.tolist(), abs=1e-5)


def test_a_model_that_is_misspelt_is_looked_for_nowhere_else(
    engine: Engine, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(name: str) -> None:
        raise AssertionError(f"the hub is asked for {name}")

    monkeypatch.setattr("worker.rescore.open_bundle", asked)
    settings = Settings(database_url=postgres_url, device="cpu")
    with pytest.raises(ConfigurationError, match=r"--model calls-2 is no version .* names\. See `emotion-training mod"):
        rescore(settings, Wanted(SINCE, "calls-2"), Event())
    for version in ("calls-20260301", "calls-20260401", "unlike"):
        register(engine, version, "candidate", MADE)
    with pytest.raises(ConfigurationError, match=r"no folder.*; versions like it: calls-20260[34]01, calls-.*\. See"):
        rescore(settings, Wanted(SINCE, "calls-2026"), Event())
    with pytest.raises(AssertionError, match="the hub is asked for me/calls"):
        rescore(settings.model_copy(update={"model": "me/calls"}), Wanted(SINCE, "me/calls"), Event())


def test_the_champion_is_taken_unless_another_version_is_named(
    engine: Engine, postgres_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=postgres_url, device="cpu")
    put(engine, 5)
    with pytest.raises(ConfigurationError, match="there is no champion: name the model with --model"):
        rescore(settings, Wanted(SINCE), Event())
    for version, state, day in (("first", "champion", 1), ("second", "candidate", 2)):
        made = datetime(2026, 3, day, tzinfo=UTC)
        location = make_bundle(tmp_path / version, version=version, created_at=made.isoformat())
        register(engine, version, state, made, location)
    assert rescore(settings, Wanted(SINCE), Event()) == Outcome(5, 0)
    assert versions_of(engine) == {"first": 5}
    assert rescore(settings, Wanted(SINCE, "second"), Event()) == Outcome(5, 0)
    assert versions_of(engine) == {"second": 5}
    assert rescore(settings, Wanted(SINCE), Event()) == Outcome(0, 0)
