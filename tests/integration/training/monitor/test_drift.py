"""emotion-training drift on results in a real Postgres: what it reads, and what its exit code says."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bundles import TEXTS, make_bundle
from cyclopts import App
from prometheus_client.parser import text_string_to_metric_families
from services import as_role
from sqlalchemy import Connection, create_engine, text

from registry.errors import ConfigurationError
from registry.lifecycle import promote
from registry.postgres import DatabaseAway
from registry.publish import register
from schemas.access import TRAINER
from schemas.emotions import EMOTIONS
from training.commands.drift import DRIFTED, drift
from training.data.splits import split_of
from training.data.text_forms import as_spoken
from training.database import connect
from training.errors import UnusableData, UnusableOutput
from training.evaluate.predictor import open_served
from training.label_files.label import Label
from training.labels.table import store
from training.monitor.windows import read_sample

WEEK = timedelta(days=7)
NOTHING = timedelta(0)

# One row an id, spread evenly over the days from :first to :last ago; every tenth is angry, or every :angry-th.
ROWS = text("""
    INSERT INTO emotion_results (transcript_id, source, text, spoken_at, emotions, anger, disgust, fear, joy, sadness,
        surprise, neutral, model_version, normalizer, kafka_topic, kafka_partition, kafka_offset)
    SELECT :name || n, 'calls', 'клиент ждет ответа ' || repeat('очень ', (n % 5)::int), now() - make_interval(secs =>
        86400 * (:last + (:first - :last) * (n + 0.5) / :rows)), CASE WHEN n % :angry = 0 THEN ARRAY['anger'] ELSE '{}'
        END, CASE WHEN n % :angry = 0 THEN 0.9 ELSE (n * 7 % 100) / 200.0 END, 0.01, 0.01, (n * 13 % 100) / 100.0, 0.01,
        0.01, 0.5, 'one', 'ru-asr-2', 'transcripts', 0, n
    FROM generate_series(0, :rows - 1) AS n
""")


@pytest.fixture
def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """The results' database, named in the environment as the command finds it."""
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def insert(database: Connection, name: str, *, first: float, last: float, rows: int = 1_000, angry: int = 10) -> None:
    """Insert results spoken between `first` and `last` days ago."""
    database.execute(ROWS, {"name": name, "first": first, "last": last, "rows": rows, "angry": angry})
    database.commit()


def run(*arguments: str) -> int:
    """Run the command as emotion-training mounts it; return its exit code."""
    app = App()
    app.command(drift)
    with pytest.raises(SystemExit) as end:
        app(["drift", *arguments])
    return int(end.value.code or 0)


def test_equal_stretches_end_with_0_and_a_report(
    database: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0)
    assert run("--json", str(tmp_path / "drift.json")) == 0
    assert capsys.readouterr().out.startswith("no drift (1000 rows against 1000; scores of one, public)")
    figures = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))
    assert (figures["found"], figures["reference_rows"], figures["window_rows"]) == (False, 1_000, 1_000)


def test_a_page_shows_what_changed_and_loads_nothing(database: Connection, tmp_path: Path) -> None:
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0, angry=5)
    assert run("--page", str(tmp_path / "drift.html")) == DRIFTED
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    assert "<h1>Drift</h1>" in page
    assert "Rows with anger moved most: 10.0 % to 20.0 %" in page
    assert page.count("<figure>") == page.count("<svg") == 3
    assert not re.search(r"<script|<link|<img|\bsrc=|href=\"http", page)


def test_metrics_are_a_file_for_the_textfile_collector(database: Connection, tmp_path: Path) -> None:
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0, angry=5)
    file = tmp_path / "emotions.prom"
    assert run("--metrics", str(file)) == DRIFTED
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(file.read_text(encoding="utf-8"))
        for sample in family.samples
    }
    assert samples["emotion_drift_found",] == 1
    assert samples["emotion_drift_statistic_found", "rows with anger"] == 1
    assert samples["emotion_drift_statistic_found", "score of joy"] == 0
    assert samples["emotion_drift_value", "rows with anger", "window"] == pytest.approx(0.2)
    assert samples["emotion_drift_rows", "reference"] == 1_000
    assert time.time() - samples["emotion_drift_compared_timestamp_seconds",] < 600
    assert list(tmp_path.iterdir()) == [file]


def test_the_champion_is_measured_on_each_months_labels_of_texts_that_it_has_not_learnt(
    database: Connection, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0)
    engine = connect(postgres_url)
    # It has learnt the set "public" whole.
    folder = Path(make_bundle(tmp_path / "bundle", version="one", metrics={"rows": {"public": 9}}))
    promote(engine, register(engine, folder))
    served = open_served(folder)
    texts = [f"{said} {number}" for number in range(60) for said in TEXTS[:3]]
    held_out = [said for said in dict.fromkeys(texts) if split_of(said) == "holdout"]
    assigned = served.rule.assign(served.scores(served.logits([as_spoken(said) for said in held_out])))
    right = [tuple(name for name, there in zip(EMOTIONS, row, strict=True) if there) for row in assigned.tolist()]
    wrong = [tuple(name for name in EMOTIONS if name not in emotions) for emotions in right]

    def label(month: int, emotions: Sequence[tuple[str, ...]], annotator: str = "anna", **more: str) -> list[Label]:
        moment = datetime(2026, month, 15, tzinfo=UTC)
        return [
            Label(text=said, emotions=each, annotator=annotator, labelled_at=moment, **{"origin": "ours"} | more)
            for said, each in zip(held_out, emotions, strict=False)
        ]

    half = len(held_out) // 2
    store(engine, label(2, wrong, "too long ago"))
    store(engine, label(3, right, "anna"))
    store(engine, label(4, right[:half] + wrong[half:], "boris"))
    # Neither a text that teaches, nor one of a call that teaches, nor one of the set that it has learnt.
    teaching = [said for said in dict.fromkeys(texts) if split_of(said) == "train"]
    known = next(said for number in range(60) if split_of(said := f"это известно {number}") == "holdout")
    april = datetime(2026, 4, 1, tzinfo=UTC)
    more = [Label(text=said, emotions=(), origin="ours", labelled_at=april) for said in teaching]
    learnt = Label(text=known, emotions=(), origin="public", labelled_at=april)
    call = next(name for number in range(60) if split_of("", name := f"call-{number}") == "train")
    shown = next(said for number in range(60) if split_of(said := f"это показано {number}") == "holdout")
    more.append(Label(text=shown, emotions=(), origin="ours", session_id=call, labelled_at=april))
    store(engine, [*more, learnt])
    engine.dispose()
    assert run("--months", "2", "--json", str(tmp_path / "drift.json"), "--page", str(tmp_path / "drift.html")) == 0
    labels = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))["labels"]
    assert labels["model"] == "one"
    first, second = labels["months"]
    assert (first["month"], first["rows"], first["weighted_f1"]) == ("2026-03", len(held_out), 1)
    assert (second["month"], second["rows"]) == ("2026-04", len(held_out))
    assert 0 < second["weighted_f1"] < 0.9
    assert second["interval"][0] < second["weighted_f1"] < second["interval"][1]
    assert "2026-04: weighted F1" in capsys.readouterr().out
    assert "What labels say of one" in (tmp_path / "drift.html").read_text(encoding="utf-8")


def test_after_a_change_of_the_convention_only_texts_are_compared(
    database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0, angry=2)
    database.execute(text("UPDATE emotion_results SET convention = 'calls' WHERE transcript_id LIKE 'now-%'"))
    database.commit()
    assert run() == 0
    assert "rows with anger" not in capsys.readouterr().out


def test_an_angrier_week_ends_with_1(database: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0, angry=5)
    assert run("--json", str(tmp_path / "drift.json")) == DRIFTED == 1
    assert "DRIFT  rows with anger: 0.1 -> 0.2" in capsys.readouterr().out
    figures = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))
    assert "rows with anger" in [change["name"] for change in figures["changes"] if change["drifted"]]


def test_window_and_reference_are_as_long_as_asked(database: Connection) -> None:
    """The week is angry only in its last day, which a window of a day sees beside the six before."""
    insert(database, "long ago-", first=37, last=7, angry=2)
    insert(database, "before-", first=7, last=1)
    insert(database, "today-", first=1, last=0, angry=2)
    assert run("--window", "1d", "--reference", "6d") == DRIFTED
    assert run("--window", "12h", "--reference", "12h") == 0


def test_rows_are_read_as_they_are_stored(database: Connection) -> None:
    insert(database, "now-", first=7, last=0, rows=10)
    insert(database, "before-", first=14, last=7, rows=10)
    database.execute(
        text("UPDATE emotion_results SET text = '', emotions = '{}', anger = NULL WHERE transcript_id = 'now-3'")
    )
    sample = read_sample(database, WEEK, NOTHING)
    assert len(sample.texts) == 10
    assert set(sample.models) == {"one, public"}
    assert sample.assigned.sum() == sample.assigned[:, 0].sum() == 1
    empty = sample.texts.index("")
    assert [bool(gone) for gone in sample.scores[empty] != sample.scores[empty]] == [True] + [False] * 6
    assert sample.scores[sample.assigned[:, 0], 0] == pytest.approx(0.9)


def test_rows_of_one_session_are_one_call(database: Connection) -> None:
    insert(database, "now-", first=7, last=0, rows=10)
    database.execute(text("UPDATE emotion_results SET session_id = kafka_offset % 3 WHERE kafka_offset > 0"))
    database.commit()
    sample = read_sample(database, WEEK, NOTHING)
    assert sorted(Counter(sample.sessions).items()) == [
        ("calls/0", 3),
        ("calls/1", 3),
        ("calls/2", 3),
        ("calls/now-0", 1),
    ]


def test_of_many_rows_the_same_sample_is_drawn_each_time(database: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.monitor.windows.MOST", 50)
    insert(database, "now-", first=7, last=0)
    first, second = (read_sample(database, WEEK, NOTHING) for _ in range(2))
    assert len(first.texts) == 50
    assert (first.scores == second.scores).all()
    # Not the first that were spoken, nor the first that were stored.
    assert len(set(first.scores[:, 3].tolist())) > 25


def test_what_the_user_can_put_right_is_no_drift(
    database: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """emotion-training ends with 2 on a UserError."""
    with pytest.raises(UnusableData, match="the reference holds 0 rows, 100 are needed"):
        drift()
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0)
    with pytest.raises(UnusableOutput, match="cannot be written"):
        drift(json_=tmp_path / "nowhere" / "drift.json")
    assert run("--windw", "7d") == 2
    database.execute(text("DROP TABLE emotion_results CASCADE"))
    database.commit()
    with pytest.raises(ConfigurationError, match="emotion-worker migrate"):
        drift()
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseAway, match="Postgres is away"):
        drift()
