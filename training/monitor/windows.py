"""Stretches of results, read from Postgres for a comparison."""

from datetime import timedelta
from typing import Final

import numpy as np
from sqlalchemy import Connection, func, select

from registry.postgres import database_problems
from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results
from training.database import connect
from training.monitor.drift import Sample

MOST: Final = 20_000
"""Rows of a stretch that are read: what is worth an alarm shows in them."""

_STORED: Final = emotion_results.c
# Of a transcript without a session nothing is known but itself.
_SESSION: Final = func.concat_ws("/", _STORED.source, func.coalesce(_STORED.session_id, _STORED.transcript_id))
_COLUMNS: Final = [
    *(_STORED[name] for name in ("text", "model_version", "convention", "emotions")),
    _SESSION.label("session"),
    *(_STORED[name] for name in EMOTIONS),
]


def read_windows(reference: timedelta, window: timedelta) -> tuple[Sample, Sample]:
    """Read the last results, `window` long, and those `reference` long before; return the earlier ones first.

    Raises:
        ConfigurationError, DatabaseAway: Postgres refuses us, is away, or lacks the tables.
    """
    engine = connect()
    try:
        # One transaction: its clock stands still.
        with database_problems(), engine.connect() as connection:
            before = read_sample(connection, window + reference, window)
            return before, read_sample(connection, window, timedelta(0))
    finally:
        engine.dispose()


def read_sample(connection: Connection, first: timedelta, last: timedelta) -> Sample:
    """Read results by when they were spoken, at most `MOST`, of calls drawn by a hash: the same ones each time.

    What was not scored, such as words of another language, is left out.

    Args:
        connection: to the database; its clock is what counts.
        first: how long ago the stretch begins.
        last: how long ago it ends.
    """
    spoken, now = _STORED.spoken_at, func.now()
    rows = connection.execute(
        select(*_COLUMNS)
        .where(spoken >= now - first, spoken < now - last, _STORED.not_scored.is_(None))
        .order_by(func.md5(_SESSION), _SESSION)
        .limit(MOST)
    ).all()
    # numpy reads the NULL scores of empty texts as NaN.
    return Sample(
        texts=[row.text for row in rows],
        scores=np.array([row[-len(EMOTIONS) :] for row in rows], np.float32).reshape(-1, len(EMOTIONS)),
        assigned=np.array([[name in row.emotions for name in EMOTIONS] for row in rows], np.bool_).reshape(
            -1, len(EMOTIONS)
        ),
        models=[f"{row.model_version}, {row.convention}" for row in rows],
        sessions=[row.session for row in rows],
    )
