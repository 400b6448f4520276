"""What the database says of the demo, by plain SQL as an analyst would ask."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, text

from schemas.emotions import EMOTIONS

_MEANS = ", ".join(f"avg({emotion}) AS {emotion}" for emotion in EMOTIONS)
_PAIRS = ", ".join(f"avg(old.{emotion}) AS old_{emotion}, avg(new.{emotion}) AS new_{emotion}" for emotion in EMOTIONS)


class Kept(NamedTuple):
    """Rows of the stream: how many, and how many of its messages they are of."""

    rows: int
    messages: int


class Serving(NamedTuple):
    """A stretch of rows by one model, in one partition."""

    partition: int
    version: str
    rows: int
    first: datetime
    last: datetime


class Results:
    """Queries of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def kept(self) -> Kept:
        """Count the rows."""
        (row,) = self._rows("SELECT count(*), count(DISTINCT (session_id, segment)) FROM emotion_results")
        return Kept(*row)

    def stored(self) -> int:
        """Return how far the worker has come in Kafka."""
        return int(self._rows("SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets")[0][0])

    def rows_by(self, version: str) -> int:
        """Count the rows of a version."""
        statement = "SELECT count(*) FROM emotion_results WHERE model_version = :version"
        return int(self._rows(statement, version=version)[0][0])

    def latest(self) -> str:
        """Return the version that made the last row."""
        statement = "SELECT model_version FROM emotion_results ORDER BY kafka_offset DESC LIMIT 1"
        return str(self._rows(statement)[0][0])

    def stretches(self) -> list[Serving]:
        """Return who served from when to when, in the order of each partition's messages."""
        return [
            Serving(*row)
            for row in self._rows(
                "SELECT kafka_partition, model_version, count(*), min(processed_at), max(processed_at) FROM ("
                "  SELECT *, sum(another) OVER by_offset AS stretch FROM ("
                "    SELECT *, (model_version IS DISTINCT FROM lag(model_version) OVER by_offset)::int AS another "
                "    FROM emotion_results WINDOW by_offset AS (PARTITION BY kafka_partition ORDER BY kafka_offset)"
                "  ) AS marked WINDOW by_offset AS (PARTITION BY kafka_partition ORDER BY kafka_offset)"
                ") AS parted GROUP BY kafka_partition, stretch, model_version ORDER BY kafka_partition, stretch"
            )
        ]

    def moments(self) -> list[tuple[datetime, str]]:
        """Return when each row was stored, and by which model it was made."""
        return [(row[0], row[1]) for row in self._rows("SELECT processed_at, model_version FROM emotion_results")]

    def run(self) -> dict[str, Any]:
        """Return the last retraining."""
        rows = self._rows(
            "SELECT id, state, reason, model_version, details, started_at, finished_at "
            "FROM training_runs ORDER BY id DESC LIMIT 1"
        )
        return dict(rows[0]._mapping) if rows else {}  # noqa: SLF001 - SQLAlchemy's public name for it.

    def promoted_at(self, version: str) -> datetime:
        """Return when a version last became the champion."""
        statement = "SELECT promoted_at FROM model_versions WHERE version = :version"
        moment: datetime = self._rows(statement, version=version)[0][0]
        return moment

    def same_texts(self, old: str, new: str) -> tuple[int, dict[str, tuple[float, float]]]:
        """Return how many texts both versions scored, and their mean score of each emotion by either."""
        by_text = f"SELECT text, {_MEANS} FROM emotion_results WHERE model_version = :%s GROUP BY text"  # noqa: S608 - the seven columns.
        both = f"WITH old AS ({by_text % 'old'}), new AS ({by_text % 'new'}) "
        statement = f"{both} SELECT count(*) AS texts, {_PAIRS} FROM old JOIN new USING (text)"  # noqa: S608 - as above.
        row = self._rows(statement, old=old, new=new)[0]._mapping  # noqa: SLF001 - as above.
        return row["texts"], {
            emotion: (row[f"old_{emotion}"] or 0.0, row[f"new_{emotion}"] or 0.0) for emotion in EMOTIONS
        }

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(statement), values))
