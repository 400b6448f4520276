"""Labels to store, and results to draw texts from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine, insert, select

from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, labelled_texts
from training.label_files.label import Label

NOON: Final = datetime(2026, 5, 4, 12, tzinfo=UTC)


def label(words: str, *emotions: str, by: str = "anna", at: datetime | None = None, **more: Any) -> Label:
    """Make a label of a table."""
    return Label(text=words, emotions=emotions, annotator=by, labelled_at=at, **({"origin": "table"} | more))


def add_results(engine: Engine, *rows: tuple[str, dict[str, float]]) -> None:
    """Write results as the worker does; an emotion that is not named has the probability 0.01."""
    with engine.begin() as connection:
        for at, (words, named) in enumerate(rows):
            scores = dict.fromkeys(EMOTIONS, 0.01) | named
            row = {
                "transcript_id": f"call-{at}",
                "source": "hotline",
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
    """Return the texts of tasks."""
    return [task["data"]["text"] for task in tasks]


def emotions_in(engine: Engine) -> list[tuple[str, ...]]:
    """Return the emotions of each label in the table, in the order in which they came."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.scalars(select(labelled_texts.c.emotions).order_by("id"))]
