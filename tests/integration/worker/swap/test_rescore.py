"""Stored texts are scored again by a newer model, each once, whoever else works on them."""

import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from bundles import BOTH, SAID, make_bundle
from commands import WORKER
from fakes import POISON, StubClassifier, scores_of
from services import PATIENCE_S, Postgres, as_role, engine_fixture, wait_for
from sqlalchemy import Engine, func, select

from registry.onnx_export import export_onnx
from schemas import access
from schemas.bundle import Neutral
from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from schemas.tables import emotion_results, model_versions
from worker.errors import ConfigurationError
from worker.inference.classifier import EmotionClassifier
from worker.records import Identity
from worker.settings import Settings
from worker.storage.database import connect
from worker.storage.scores import RescoreStore
from worker.swap.rescore import Outcome, Rescoring, Wanted, _spread, rescore

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
MADE = datetime(2026, 3, 1, tzinfo=UTC)
QUICK = 1e6


engine = engine_fixture(connect, "test")


def put(engine: Engine, count: int, prefix: str = "id", **columns: Any) -> None:
    row = {
        "source": "calls",
        "text": SAID,
        "spoken_at": datetime(2026, 1, 15, tzinfo=UTC),
        "emotions": ["joy"],
        **dict.fromkeys(EMOTIONS, 0.25),
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
    classifier = more.get("classifier") or New()
    store = RescoreStore(engine, SINCE, classifier, MADE)
    return Rescoring(store, classifier, batch=batch, rate=rate, stop=stop or Event())


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


def test_rows_of_the_same_model_are_scored_anew_where_they_follow_another_convention(engine: Engine) -> None:
    class OfCalls(New):
        convention = "calls"

    put(engine, 3, model_version="new")
    put(engine, 2, "done", model_version="new", convention="calls")
    assert rescoring(engine).run() == Outcome(2, 0)
    assert rescoring(engine, classifier=OfCalls()).run() == Outcome(5, 0)
    assert {row.convention for row in rows_of(engine).values()} == {"calls"}


@pytest.mark.parametrize("neutral", ["exclusive", "independent"])
def test_rows_of_the_same_model_are_scored_anew_where_they_differ_in_the_rule_alone(
    engine: Engine, neutral: Neutral
) -> None:
    class Ruled(New):
        rule = Rule(np.full(len(EMOTIONS), 0.1, np.float32), neutral)

    # By its own threshold neutral is among other emotions; where it is exclusive it is not, and stands alone.
    (right, wrong) = [["joy"], ["joy", "neutral"]] if neutral == "exclusive" else [["joy", "neutral"], ["joy"]]
    put(engine, 3, "right", model_version="new", emotions=right)
    put(engine, 4, "wrong", model_version="new", emotions=wrong)
    put(engine, 2, "at the threshold", model_version="new", emotions=right, neutral=float(np.float32(0.1)))
    put(engine, 2, "empty", model_version="new", text="", emotions=[], **dict.fromkeys(EMOTIONS))
    assert rescoring(engine, classifier=Ruled()).run() == Outcome(4, 0)
    assert rescoring(engine, classifier=Ruled()).run() == Outcome(0, 0)


def test_without_a_convention_each_row_keeps_its_own(
    engine: Engine, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def conventions() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in rows_of(engine).values():
            found.setdefault(row.model_version, set()).add(f"{row.transcript_id[:-6]} {row.convention}")
        return found

    folder = make_bundle(tmp_path / "both", version="both", **BOTH)
    for convention in ("calls", "public", "another"):
        put(engine, 3, convention, convention=convention)
    settings = Settings(database_url=as_role(postgres_url, access.WORKER), device="cpu")
    assert rescore(settings, Wanted(SINCE, folder), Event()) == Outcome(6, 0)
    assert conventions() == {"both": {"calls calls", "public public"}, "old": {"another another"}}
    said = capsys.readouterr()
    assert "whose convention the model does not know" in said.out + said.err
    public = settings.model_copy(update={"convention": "public"})
    assert rescore(public, Wanted(SINCE, folder), Event()) == Outcome(6, 0)
    assert conventions() == {"both": {"calls public", "public public", "another public"}}


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


def test_a_row_without_a_moment_counts_by_when_it_was_written(engine: Engine) -> None:
    put(engine, 2, spoken_at=None)
    put(engine, 3, "long-ago", spoken_at=None, processed_at=datetime(2025, 12, 31, tzinfo=UTC))
    assert rescoring(engine).run() == Outcome(2, 0)
    assert versions_of(engine) == {"new": 2, "old": 3}


def test_rows_are_scored_in_the_order_of_their_time_whatever_their_ids_page_by_page(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also past pages of which all rows are done, and with those of an unknown time at the end."""

    class Noting(New):
        def classify(self, texts: list[str]) -> Any:
            said.extend(texts)
            return super().classify(texts)

    said: list[str] = []
    monkeypatch.setattr("worker.storage.scores._PAGE", 2)
    for day, prefix in ((3, "a"), (1, "b"), (2, "c")):
        put(engine, 3, prefix, text=f"день {day}", spoken_at=datetime(2026, 1, day, tzinfo=UTC))
    put(engine, 6, "done", spoken_at=datetime(2026, 1, 2, tzinfo=UTC), model_version="new")
    put(engine, 3, "unknown", text="день неведомый", spoken_at=None)
    assert rescoring(engine, classifier=Noting()).run() == Outcome(12, 0)
    assert said == sorted(said)
    assert len(said) == 12


def test_batches_of_a_page_take_rows_that_lie_apart() -> None:
    rows = [Identity(f"{number}", "calls") for number in range(7)]
    batches = [[int(row.transcript_id) for row in batch] for batch in _spread(rows, 3)]
    assert batches == [[0, 3, 6], [1, 4], [2, 5]]
    assert list(_spread([], 3)) == []


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
    thread.join(PATIENCE_S)
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
    thread.join(PATIENCE_S)
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
            env=own | {"WORKER_DATABASE_URL": as_role(url, access.WORKER), "WORKER_DEVICE": "cpu"},
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
    first = command(postgres_url, tmp_path / "first.log", *options, "1")
    wait_for(lambda: versions_of(engine).get("new"), "the first rows")
    log = tmp_path / "second.log"
    second = command(postgres_url, log, *options, "400")
    wait_for(lambda: "scoring again" in log.read_text(), "the second process")
    first.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in (first, second)]
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

    monkeypatch.setattr("worker.swap.rescore.find_bundle", asked)
    settings = Settings(database_url=as_role(postgres_url, access.WORKER), device="cpu")
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
    settings = Settings(database_url=as_role(postgres_url, access.WORKER), device="cpu")
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


def test_rows_of_another_language_are_left_alone_and_those_of_the_models_own_lose_their_reason(engine: Engine) -> None:
    class Kazakh(New):
        language = "kk"

    unscored = {"not_scored": "language", "emotions": [], **dict.fromkeys(EMOTIONS)}
    put(engine, 2, "ru", language="ru-RU")
    put(engine, 2, "unnamed")
    put(engine, 2, "kk", language="KK-KZ", **unscored)
    assert rescoring(engine).run() == Outcome(4, 0)
    assert {row.model_version for name, row in rows_of(engine).items() if name.startswith("kk")} == {"old"}
    kazakh = Kazakh()
    kazakh.version = "kazakh"
    assert rescoring(engine, classifier=kazakh).run() == Outcome(4, 0)
    rows = rows_of(engine)
    assert {row.model_version for name, row in rows.items() if name.startswith("ru")} == {"new"}
    assert all(row.not_scored is None and row.anger is not None for row in rows.values())
