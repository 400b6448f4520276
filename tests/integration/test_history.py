"""What bundles and earlier runs say to a new one."""

from datetime import UTC, datetime
from typing import Any

from services import engine_fixture
from sqlalchemy import Engine, insert

from schemas.emotions import EMOTIONS
from schemas.tables import labelled_texts
from training.database import connect
from training.history import labels_since

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
