"""What `models compare` says of two models, from real tables."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from services import as_role, engine_fixture
from sqlalchemy import Engine, Table

from schemas.access import TRAINER
from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, labelled_texts, shadow_results
from training.cli import main
from training.database import connect
from training.errors import UnusableData
from training.monitor.shadow_comparison import ANY, Comparison, EmotionPair, as_table, compare

STORED = {
    "spoken_at": "2026-01-15T10:05:00+00:00",
    "normalizer": "1",
    "kafka_topic": "transcripts",
    "kafka_partition": 0,
    "kafka_offset": 0,
}


engine = engine_fixture(connect)


def put(engine: Engine, table: Table, version: str, said: dict[str, Sequence[str]], **more: object) -> None:
    """Store which emotions a version assigns; their probability is 0.75, that of the others 0.25."""
    rows = [
        {
            "transcript_id": name,
            "source": "hotline",
            "model_version": version,
            "emotions": list(emotions),
            **{emotion: 0.75 if emotion in emotions else 0.25 for emotion in EMOTIONS},
            **more,
        }
        for name, emotions in said.items()
    ]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)


def served(engine: Engine, version: str, said: dict[str, Sequence[str]]) -> None:
    put(engine, emotion_results, version, said, text="как сказано", **STORED)


def shadowed(engine: Engine, version: str, said: dict[str, Sequence[str]]) -> None:
    put(engine, shadow_results, version, said)


def label(engine: Engine, transcript_id: str, *emotions: str, annotated: Sequence[str] = EMOTIONS) -> None:
    row = {"text": f"сказано в {transcript_id}", "origin": "review", "annotator": "anna"}
    with engine.begin() as connection:
        connection.execute(
            labelled_texts.insert().values(
                row | {"emotions": emotions, "annotated": annotated, "transcript_id": transcript_id}
            )
        )


def of(found: Comparison, emotion: str) -> EmotionPair:
    return next(item for item in found.emotions if item.emotion == emotion)


def test_rates_agreement_and_difference_are_of_what_both_have_scored(engine: Engine) -> None:
    served(engine, "old", {"1": ["joy"], "2": ["joy"], "3": ["anger"], "4": ["neutral"], "unseen": ["joy"]})
    shadowed(engine, "new", {"1": ["joy"], "2": ["anger"], "3": ["anger"], "4": [], "gone": ["joy"]})
    found = compare(engine, "new")
    assert (found.a, found.b, found.rows, found.labelled) == ("new", ANY, 4, 0)
    assert of(found, "joy") == EmotionPair("joy", 0.25, 0.5, 0.75, 0.125, 0, None, None)
    assert of(found, "anger") == EmotionPair("anger", 0.5, 0.25, 0.75, 0.125, 0, None, None)
    assert of(found, "fear") == EmotionPair("fear", 0.0, 0.0, 1.0, 0.0, 0, None, None)


def test_the_conventions_that_either_model_followed_are_named(engine: Engine) -> None:
    served(engine, "old", {"1": ["joy"], "2": ["joy"]})
    put(engine, shadow_results, "new", {"1": ["joy"]}, convention="calls")
    put(engine, shadow_results, "new", {"2": ["joy"]}, convention="public")
    found = compare(engine, "new")
    assert (found.conventions_a, found.conventions_b) == (["calls", "public"], ["public"])
    assert as_table(found).title == "A: new (calls, public), B: any (public); 2 transcripts, 0 of them labelled"


def test_people_say_which_of_the_two_is_right_where_they_could(engine: Engine) -> None:
    served(engine, "old", {"1": ["joy"], "2": ["joy"], "3": ["anger"], "4": ["joy"]})
    shadowed(engine, "new", {"1": ["joy"], "2": [], "3": ["anger"], "4": ["joy"]})
    label(engine, "1", "joy")
    label(engine, "2")
    label(engine, "3", "fear", annotated=["fear"])
    found = compare(engine, "new")
    assert found.labelled == 3
    joy, anger, fear = (of(found, emotion) for emotion in ("joy", "anger", "fear"))
    assert (joy.labels, joy.f1_a, joy.f1_b) == (2, 1.0, pytest.approx(2 / 3))
    assert (anger.labels, anger.f1_a, anger.f1_b) == (2, None, None)
    assert (fear.labels, fear.f1_a, fear.f1_b) == (3, 0.0, 0.0)


def test_a_version_is_found_whether_it_was_the_shadow_or_served_and_never_meets_itself(engine: Engine) -> None:
    """The candidate was promoted meanwhile: it has scored one transcript as the shadow, and another in service."""
    served(engine, "old", {"1": ["joy"], "2": ["joy"]})
    served(engine, "new", {"3": ["fear"], "4": ["fear"]})
    shadowed(engine, "new", {"1": ["anger"], "4": ["fear"]})
    shadowed(engine, "third", {"1": ["anger"], "3": ["fear"], "4": ["joy"]})
    assert compare(engine, "new").rows == 1
    third = compare(engine, "third", "new")
    assert (third.b, third.rows, of(third, "fear").rate_b) == ("new", 3, pytest.approx(2 / 3))
    assert of(third, "joy").agreement == pytest.approx(2 / 3)


def test_empty_texts_are_nobodys(engine: Engine) -> None:
    served(engine, "old", {"1": ["joy"]})
    put(engine, emotion_results, "old", {"2": []}, text="", **STORED, **dict.fromkeys(EMOTIONS))
    shadowed(engine, "new", {"1": ["joy"], "2": ["joy"]})
    assert compare(engine, "new").rows == 1


@pytest.mark.parametrize(("b", "other"), [(None, "another version"), ("old", "old")])
def test_models_that_have_nothing_in_common_are_told_so(engine: Engine, b: str | None, other: str) -> None:
    served(engine, "old", {"1": ["joy"]})
    shadowed(engine, "new", {"2": ["joy"]})
    with pytest.raises(UnusableData, match=f"scored by both new and {other}: let WORKER_SHADOW=candidate"):
        compare(engine, "new", b)


def test_the_command_prints_a_table_and_writes_the_figures(
    engine: Engine,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    served(engine, "old", {"1": ["joy"], "2": ["joy"]})
    shadowed(engine, "new", {"1": ["joy"], "2": []})
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    monkeypatch.setenv("COLUMNS", "120")
    file = tmp_path / "compared.json"
    with pytest.raises(SystemExit) as end:
        main(["models", "compare", "new", "--json", str(file)])
    assert not end.value.code
    shown = capsys.readouterr().out
    assert "A: new (public), B: any (public); 2 transcripts, 0 of them labelled" in shown
    assert "joy" in shown
    figures = json.loads(file.read_bytes())
    assert figures["rows"] == 2
    assert figures["emotions"][EMOTIONS.index("joy")]["agreement"] == 0.5
