"""What bundles and earlier runs say to a new one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services import engine_fixture
from sqlalchemy import Engine, insert

from schemas.emotions import EMOTIONS
from schemas.tables import labelled_texts
from training.data.known_texts import KnownTexts
from training.database import connect
from training.labels.latest_labels import LatestLabels
from training.retrain.run_history import Learnt, labels_new_to, labels_since

engine = engine_fixture(connect)


def label(text: str, **columns: Any) -> dict[str, Any]:
    return {"text": text, "emotions": [], "annotated": list(EMOTIONS), "origin": "mine", **columns}


def test_only_labels_that_can_be_learnt_count_as_new(engine: Engine) -> None:
    """Else a date would fit on what the champion knows already, for the sake of rows that no snapshot takes."""
    rows = [label("ну да"), label("well yes", origin="goemotions"), label("кто знает", annotated=[])]
    with engine.begin() as connection:
        connection.execute(insert(labelled_texts), rows)
    assert labels_since(engine, datetime(2026, 1, 1, tzinfo=UTC)) == 1
    assert labels_since(engine, datetime(2100, 1, 1, tzinfo=UTC)) == 0


def test_a_label_that_was_being_written_while_others_were_taken_is_new(engine: Engine, tmp_path: Path) -> None:
    """It bears the time at which its transaction began, which is before the snapshot that does not hold it."""
    with engine.begin() as writer:
        writer.execute(insert(labelled_texts), [label("ну да")])
        with LatestLabels(engine, tmp_path / "before.db", (), KnownTexts()) as labels:
            assert labels.sources() == []
    assert labels_since(engine, labels.taken_at) == 1
    with LatestLabels(engine, tmp_path / "after.db", (), KnownTexts()) as labels:
        assert (labels.sources(), labels_since(engine, labels.taken_at)) == (["mine"], 0)


def test_labels_that_came_in_before_a_model_was_made_are_new_where_it_never_learnt_them(engine: Engine) -> None:
    """Who tunes the released model, or fits one by hand, has labels in the table by then."""
    texts = ["ну да", "кто там", "ой", "алло"]
    with engine.begin() as connection:
        connection.execute(insert(labelled_texts), [label(text) for text in texts])
        connection.execute(insert(labelled_texts), [label("угу", origin="cedr")])
    known = Learnt(datetime(2100, 1, 1, tzinfo=UTC), ["cedr"], texts=KnownTexts.of(["Кто там?", "АЛЛО"]))
    assert labels_new_to(engine, known) == 0, "where nobody says what it has learnt, it may be anything"
    assert labels_new_to(engine, known._replace(told=True)) == 2
    assert labels_new_to(engine, known._replace(told=True, until=datetime(2026, 1, 1, tzinfo=UTC))) == 5
