"""What bundles and earlier runs say to a new one."""

from datetime import UTC, datetime
from typing import Any

from services import engine_fixture
from sqlalchemy import Engine, insert

from schemas.emotions import EMOTIONS
from schemas.tables import labelled_texts
from training.database import connect
from training.history import labels_since
from training.last_words import last_words

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


def test_a_label_that_was_being_written_while_others_were_taken_is_new(engine: Engine) -> None:
    """It bears the time at which its transaction began, which is before the snapshot that does not hold it."""
    with engine.begin() as writer:
        writer.execute(insert(labelled_texts), [label("ну да")])
        taken_at, found, _ = last_words(engine, ())
        assert found == []
    assert labels_since(engine, taken_at) == 1
    taken_at, found, _ = last_words(engine, ())
    assert (len(found), labels_since(engine, taken_at)) == (1, 0)
