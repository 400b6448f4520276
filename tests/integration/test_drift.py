"""emotion-training drift on results in a real Postgres: what it reads, and what its exit code says."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cyclopts import App
from sqlalchemy import Connection, create_engine, text

from training.database import UnusableDatabase
from training.drift_cli import DRIFTED, drift
from training.errors import UnusableData, UnusableOutput
from training.windows import read_sample

WEEK = timedelta(days=7)
NOTHING = timedelta(0)

# One row an id, spread evenly over the days from :first to :last ago; every tenth is angry, or every :angry-th.
ROWS = text("""
    INSERT INTO emotion_results (transcript_id, text, spoken_at, emotions, anger, disgust, fear, joy, sadness, surprise,
        neutral, model_version, normalizer, kafka_topic, kafka_partition, kafka_offset)
    SELECT :name || n, 'клиент ждет ответа ' || repeat('очень ', (n % 5)::int), now() - make_interval(secs => 86400 *
        (:last + (:first - :last) * (n + 0.5) / :rows)), CASE WHEN n % :angry = 0 THEN ARRAY['anger'] ELSE '{}' END,
        CASE WHEN n % :angry = 0 THEN 0.9 ELSE (n * 7 % 100) / 200.0 END, 0.01, 0.01, (n * 13 % 100) / 100.0, 0.01,
        0.01, 0.5, 'one', 'ru-asr-2', 'transcripts', 0, n
    FROM generate_series(0, :rows - 1) AS n
""")


@pytest.fixture
def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """The results' database, named in the environment as the command finds it."""
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
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
    assert capsys.readouterr().out.startswith("no drift (1000 rows against 1000; scores of one)")
    figures = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))
    assert (figures["found"], figures["reference_rows"], figures["window_rows"]) == (False, 1_000, 1_000)


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
    assert set(sample.models) == {"one"}
    assert sample.assigned.sum() == sample.assigned[:, 0].sum() == 1
    empty = sample.texts.index("")
    assert [bool(gone) for gone in sample.scores[empty] != sample.scores[empty]] == [True] + [False] * 6
    assert sample.scores[sample.assigned[:, 0], 0] == pytest.approx(0.9)
    assert len(sample.scored_by("one").texts) == 9


def test_of_many_rows_the_same_sample_is_drawn_each_time(database: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.windows.MOST", 50)
    insert(database, "now-", first=7, last=0)
    first, second = (read_sample(database, WEEK, NOTHING) for _ in range(2))
    assert len(first.texts) == 50
    assert (first.scores == second.scores).all()
    # Not the first that were spoken, nor the first that were stored.
    assert len(set(first.scores[:, 3].tolist())) > 25


def test_what_the_user_can_put_right_is_no_drift(
    database: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """emotion-training ends with 2 on a TrainingError."""
    with pytest.raises(UnusableData, match="the reference holds 0 rows, 100 are needed"):
        drift()
    insert(database, "before-", first=37, last=7)
    insert(database, "now-", first=7, last=0)
    with pytest.raises(UnusableOutput, match="cannot be written"):
        drift(json_=tmp_path / "nowhere" / "drift.json")
    assert run("--windw", "7d") == 2
    database.execute(text("DROP TABLE emotion_results CASCADE"))
    database.commit()
    with pytest.raises(UnusableDatabase, match="emotion-worker migrate"):
        drift()
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(UnusableDatabase, match="Postgres is away"):
        drift()
