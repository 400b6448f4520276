"""Labels in a real Postgres: in, counted, and out again as tasks that no one has done yet."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import make_bundle
from sqlalchemy import Engine, insert, select, text

from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, labelled_texts
from training.database import connect
from training.errors import TrainingError, UnusableData, UnusableOutput, UnusableRecipe
from training.labels.cli import datasets as datasets_app
from training.labels.cli import labels as labels_app
from training.labels.formats import read_labels
from training.labels.label import Label
from training.labels.table import Stored, listed, stats, store
from training.labels.tasks import NothingToLabel, draw, scorer

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def engine(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The database, which the commands find too."""
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
    engine = connect()
    yield engine
    engine.dispose()


def label(words: str, *emotions: str, by: str = "anna", at: datetime | None = None, **more: Any) -> Label:
    return Label(text=words, emotions=emotions, annotator=by, labelled_at=at, **({"origin": "table"} | more))


def add_results(engine: Engine, *rows: tuple[str, dict[str, float]]) -> None:
    """Write results as the worker does; an emotion that is not named has the probability 0.01."""
    with engine.begin() as connection:
        for at, (words, named) in enumerate(rows):
            scores = dict.fromkeys(EMOTIONS, 0.01) | named
            row = {
                "transcript_id": f"call-{at}",
                "session_id": "call",
                "text": words,
                "spoken_at": NOON,
                "emotions": [name for name in EMOTIONS if scores[name] >= 0.5],
                "model_version": "m-1",
                "normalizer": "n-1",
                "kafka_topic": "transcripts",
                "kafka_partition": 0,
                "kafka_offset": at,
            }
            connection.execute(insert(emotion_results), row | (scores if words else {}))


def texts_of(tasks: Sequence[dict[str, Any]]) -> list[str]:
    return [task["data"]["text"] for task in tasks]


def emotions_in(engine: Engine) -> list[tuple[str, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.scalars(select(labelled_texts.c.emotions).order_by("id"))]


def test_importing_twice_changes_nothing(engine: Engine) -> None:
    labels = [label("да", "joy"), label("да", "joy", by="boris"), label("нет", "anger", at=NOON)]
    assert store(engine, labels) == Stored(new=3, changed=0, as_before=0)
    before = listed(engine, limit=10)
    assert store(engine, labels) == Stored(new=0, changed=0, as_before=3)
    assert listed(engine, limit=10) == before


@pytest.mark.parametrize("together", [True, False])
def test_a_later_label_of_the_same_annotator_wins_in_whatever_order_they_come(together: bool, engine: Engine) -> None:
    later, earlier = label("да", "fear", at=NOON + timedelta(hours=1)), label("да", "joy", at=NOON)
    for batch in [[later, earlier]] if together else [[later], [earlier]]:
        store(engine, batch)
    assert emotions_in(engine) == [("fear",)]


def test_a_label_without_a_time_is_of_now(engine: Engine) -> None:
    store(engine, [label("да", "joy", at=NOON)])
    assert store(engine, [label("да", "fear")]).changed == 1
    assert emotions_in(engine) == [("fear",)]


def test_of_three_answers_the_last_counts_even_where_it_repeats_the_first(engine: Engine) -> None:
    times = [NOON + timedelta(hours=hour) for hour in range(3)]
    answers = [label("да", name, at=at) for name, at in zip(("joy", "fear", "joy"), times, strict=True)]
    for answer in (answers[0], answers[2], answers[1]):
        store(engine, [answer])
    assert emotions_in(engine) == [("joy",)]


def test_labels_of_different_annotators_and_origins_stand_beside_each_other(engine: Engine) -> None:
    store(engine, [label("да", "joy"), label("да", "fear", by="boris"), label("да", "anger", origin="survey")])
    assert len(emotions_in(engine)) == 3
    [found] = listed(engine, annotator="boris", limit=10)
    assert found.emotions == ("fear",)
    assert [row.origin for row in listed(engine, emotion="anger", origin="survey", limit=10)] == ["survey"]


def test_thousands_of_labels_go_in(engine: Engine) -> None:
    labels = [label(f"текст {at}", "joy") for at in range(5_000)]
    assert store(engine, labels) == Stored(5_000, 0, 0)
    assert store(engine, labels) == Stored(0, 0, 5_000)


def test_labels_by_plain_sql_count_too_and_nonsense_is_refused(engine: Engine) -> None:
    store(engine, [label("да", "joy")])
    columns = "INSERT INTO labelled_texts (text, emotions, origin, annotator) VALUES"
    with engine.begin() as connection:
        connection.execute(text(f"{columns} ('нет', '{{anger}}', 'sql', 'boris')"))
    found = stats(engine)
    assert (found.labels, found.texts, found.origins) == (2, 2, {"sql": 1, "table": 1})
    assert found.emotions["anger"] == found.emotions["joy"] == 1
    for nonsense in ("('нет', '{rage}', 'sql', '')", "('', '{joy}', 'sql', '')"):
        with pytest.raises(Exception, match="violates check constraint"), engine.begin() as connection:
            connection.execute(text(f"{columns} {nonsense}"))


def test_agreement_is_krippendorffs(engine: Engine) -> None:
    """Source of the figure: alpha = 1 - (n - 1) * o / (n0 * n1), nominal, two coders, o = disagreeing pairs * 2."""
    given = [("joy", "joy"), ("joy", "anger"), ("anger", "anger"), ("anger", "anger")]
    for at, pair in enumerate(given):
        store(engine, [label(f"{at}", name, by=by) for name, by in zip(pair, ("anna", "boris"), strict=True)])
    store(engine, [label("один", "fear")])
    found = stats(engine)
    assert found.doubly == 4
    assert found.alpha["joy"] == pytest.approx(1 - 7 * 2 / (2 * 3 * 5))
    assert found.alpha["fear"] is None


def test_one_annotator_with_two_origins_does_not_agree_with_himself(engine: Engine) -> None:
    store(engine, [label("да", "joy", at=NOON), label("да", "fear", origin="survey", at=NOON + timedelta(1))])
    found = stats(engine)
    assert (found.labels, found.doubly, found.emotions["joy"]) == (1, 0, 0)


def test_who_was_not_asked_for_an_emotion_does_not_disagree_about_it(engine: Engine) -> None:
    for words, emotion in (("да", "joy"), ("нет", "anger")):
        asked = ("anger", "joy")
        store(engine, [label(words, emotion), label(words, emotion, by="boris", annotated=asked)])
    store(engine, [label("ой", "disgust", "joy"), label("ой", "joy", by="boris", annotated=("anger", "joy"))])
    assert stats(engine).alpha["joy"] == 1.0
    assert stats(engine).alpha["disgust"] is None


def test_an_empty_table_has_stats(engine: Engine) -> None:
    found = stats(engine)
    assert (found.labels, found.doubly, set(found.alpha.values())) == (0, 0, {None})


def test_the_round_trip_through_label_studio(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_results(engine, ("где мой заказ", {"anger": 0.6}), ("спасибо", {"joy": 0.9}), ("алло", {"neutral": 0.8}))
    folder = tmp_path / "to-label"
    labels_app(["export", "--for", "label-studio", "-n", "2", "--output", str(folder)], result_action="return_value")
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    assert texts_of(tasks) == ["где мой заказ", "алло"]
    assert tasks[0]["predictions"][0]["result"][0]["value"]["choices"] == ["anger"]
    assert "<Choices" in (folder / "config.xml").read_text(encoding="utf-8")

    (tmp_path / "project.json").write_text(json.dumps([annotated(task, at) for at, task in enumerate(tasks)]))
    labels_app(["import", str(tmp_path / "project.json"), "--strict"], result_action="return_value")
    assert "2 labels new, 0 changed, 0 as before, 0 rows bad" in capsys.readouterr().out
    [newest, _] = listed(engine, origin="label-studio", limit=5)
    assert (newest.transcript_id, newest.annotator, newest.emotions) == ("call-2", "4", ("surprise",))
    assert texts_of(draw(engine, "uncertain", 10)) == ["спасибо"]


def annotated(task: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the task as Label Studio exports it, after an annotator chose surprise."""
    [result] = task["predictions"][0]["result"]
    answer = {
        "id": 100 + number,
        "completed_by": 4,
        "result": [{**result, "id": "x1", "origin": "manual", "value": {"choices": ["surprise"]}}],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": f"2026-05-04T12:0{number}:00.000001Z",
        "updated_at": f"2026-05-04T12:0{number}:30.000001Z",
        "lead_time": 2.5,
        "task": 1 + number,
    }
    return {**task, "id": 1 + number, "annotations": [answer], "drafts": [], "meta": {}, "project": 1}


def test_uncertain_texts_come_before_certain_ones(engine: Engine) -> None:
    add_results(engine, ("точно", {"joy": 0.99}), ("может", {"joy": 0.5}), ("вроде", {"joy": 0.5, "fear": 0.4}))
    assert texts_of(draw(engine, "uncertain", 2)) == ["вроде", "может"]


def test_rare_looks_for_what_was_labelled_seldom(engine: Engine) -> None:
    store(engine, [label(f"{at}", "joy") for at in range(20)])
    add_results(engine, ("рада", {"joy": 0.9}), ("фу", {"disgust": 0.6}), ("ну", {"neutral": 0.3}))
    assert texts_of(draw(engine, "rare", 3)) == ["фу", "ну", "рада"]


def test_random_draws_the_same_by_the_same_seed(engine: Engine) -> None:
    add_results(engine, *((f"текст номер {at}", {"joy": 0.5}) for at in range(30)))
    assert texts_of(draw(engine, "random", 10, seed=1)) == texts_of(draw(engine, "random", 10, seed=1))
    assert texts_of(draw(engine, "random", 10, seed=1)) != texts_of(draw(engine, "random", 10, seed=2))


def test_disagreement_puts_first_what_two_models_see_differently(engine: Engine) -> None:
    add_results(engine, ("одно", {"joy": 0.9}), ("другое", {"joy": 0.1}), ("третье", {"joy": 0.8}))

    def other(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        joy = {"одно": 0.85, "другое": 0.95, "третье": 0.5}
        return np.array([[joy[words] if name == "joy" else 0.01 for name in EMOTIONS] for words in texts], np.float32)

    assert texts_of(draw(engine, "disagreement", 2, other=other)) == ["другое", "третье"]
    with pytest.raises(UnusableRecipe, match="--against"):
        draw(engine, "disagreement", 2)


def test_a_bundle_can_be_the_other_model(engine: Engine, tmp_path: Path) -> None:
    add_results(engine, ("Спасибо вам!", {"joy": 0.9}), ("алло", {"neutral": 0.9}))
    other = scorer(Path(make_bundle(tmp_path)))
    scores = other(["Спасибо вам!", "спасибо вам!", ""])
    assert scores.shape == (3, 7)
    assert np.allclose(scores[0], scores[1], atol=1e-6)
    assert len(draw(engine, "disagreement", 5, other=other)) == 2


def test_no_text_is_drawn_twice_nor_one_that_is_labelled_however_it_is_spelled(engine: Engine) -> None:
    add_results(
        engine,
        *[(words, {"joy": 0.5}) for words in ("Да, конечно", "да, конечно", "ещё нет", "верно", "", "эээ")],
    )
    store(engine, [label("Еще  НЕТ", "anger"), label("неверно", "anger", transcript_id="call-3")])
    assert texts_of(draw(engine, "uncertain", 10)) == ["Да, конечно"]
    store(engine, [label("да, конечно", "joy")])
    with pytest.raises(NothingToLabel):
        draw(engine, "uncertain", 10)


def test_an_export_overwrites_nothing(engine: Engine, tmp_path: Path) -> None:
    add_results(engine, ("да", {"joy": 0.5}))
    with pytest.raises(UnusableOutput, match="exists"):
        labels_app(["export", "--output", str(tmp_path)], result_action="return_value")


def test_bad_rows_are_reported_and_strict_refuses_the_file(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("text,emotions\nда,joy\nнет,rage\n", encoding="utf-8")
    with pytest.raises(UnusableData, match="nothing was imported, 1 rows are bad"):
        labels_app(["import", str(file), "--strict"], result_action="return_value")
    assert emotions_in(engine) == []
    capsys.readouterr()
    labels_app(["import", str(file), "--annotator", "anna", "--origin", "pilot"], result_action="return_value")
    printed = capsys.readouterr()
    assert f"{file}, line 3: rage is none of the emotions" in printed.err
    assert "1 labels new, 0 changed, 0 as before, 1 rows bad" in printed.out
    labels_app(["list", "-n", "5"], result_action="return_value")
    labels_app(["stats"], result_action="return_value")
    printed = capsys.readouterr()
    assert "anna" in printed.out
    assert "1 labels of 1 texts" in printed.out


def test_public_sets_go_into_the_same_table_with_their_origin(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cedr = tmp_path / "cedr"
    cedr.mkdir()
    rows = [f"текст номер {at},[0]" for at in range(40)]
    (cedr / "cedr-main-train.csv").write_text("\n".join(["text,labels", *rows]) + "\n", encoding="utf-8")
    for _ in range(2):
        datasets_app(["import", str(tmp_path)], result_action="return_value")
    assert "cedr: 0 labels new, 0 changed, " in capsys.readouterr().out
    found = listed(engine, limit=100)
    assert 20 < len(found) < 40, "a tenth validates and stays outside"
    assert {(row.origin, row.emotions, "disgust" in row.annotated) for row in found} == {("cedr", ("joy",), False)}


def test_a_database_without_the_tables_is_said_to_be_one(session_postgres: Any, tmp_path: Path) -> None:
    name = session_postgres.create_database()
    file = tmp_path / "a.csv"
    file.write_text("text,emotions\nда,joy\n", encoding="utf-8")
    engine = connect(session_postgres.url(name))
    with pytest.raises(TrainingError, match="emotion-worker migrate"):
        store(engine, read_labels(file).labels)
    engine.dispose()
    session_postgres.drop_database(name)
