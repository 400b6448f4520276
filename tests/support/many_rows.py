"""Fills `emotion_results` fast with rows such as calls leave, evenly over days until now."""

import re
from datetime import timedelta
from typing import Final

from places import ROOT
from sqlalchemy import Connection, Engine, text

from schemas.emotions import EMOTIONS

_TEXTS: Final = re.findall(
    r'"text": ?"([^"\\]{10,300})"', (ROOT / "examples" / "transcripts.jsonl").read_text(encoding="utf-8")
)

_SETS: Final = ["{neutral}"] * 24 + ["{anger}"] * 4 + ["{joy}"] * 3 + ["{sadness}"] * 3 + ["{fear}", "{surprise}"]
_SETS_OF_CALLS: Final = [*_SETS, "{anger,disgust}", "{anger,sadness}", "{joy,surprise}", "{}"]

# Forty calls at a time, twenty segments each: so the rows of a call lie a few pages apart, as they do in service.
# A chunk of 256 rows is written at one moment, up to a minute after it was said.
_FILL: Final = text(f"""
    INSERT INTO emotion_results (transcript_id, source, session_id, speaker, role, segment, text, language,
        asr_confidence, spoken_at, emotions, {", ".join(EMOTIONS)}, not_scored, model_version, convention, normalizer,
        kafka_topic, kafka_partition, kafka_offset, kafka_timestamp, processed_at)
    SELECT CASE WHEN n % 2 = 0 THEN gen_random_uuid()::text ELSE 'message-' || n END,
        'source-' || n % 4, 'call-' || n / 800 * 40 + n % 40, who, who, n % 800 / 40,
        (CAST(:texts AS text[]))[1 + floor(random() * :texts_count)::int] || ' ' || n % 1000,
        CASE WHEN n % 200 = 7 THEN 'kk' ELSE 'ru' END, 0.9,
        CASE WHEN n % 1000 <> 3 THEN said + random() * interval '20 seconds' END,
        (CAST(:sets AS text[]))[1 + floor(random() * :sets_count)::int]::text[],
        {", ".join("random()" for _ in EMOTIONS)}, CASE WHEN n % 200 = 7 THEN 'language' END, 'model-' || n * 3 / :rows,
        'calls', '1', 'transcripts', n % 4, n, extract(epoch FROM said) * 1000,
        :first + (n - n % 256 + 256) * CAST(:step AS interval) + interval '30 seconds'
    FROM (
        SELECT n, :first + n * CAST(:step AS interval) AS said,
            CASE WHEN n % 80 < 40 THEN 'agent' ELSE 'customer' END AS who
        FROM generate_series(CAST(0 AS bigint), CAST(:rows AS bigint) - 1) AS n
    ) AS numbered
""")  # noqa: S608 - made of constants.


def fill(engine: Engine, rows: int, days: int) -> None:
    """Fill the empty table, make its indexes afterwards, and gather its statistics.

    Args:
        engine: SQLAlchemy engine connected to a migrated database.
        rows: number of rows.
        days: days over which they were said, until now.
    """
    step = timedelta(days=days) / rows
    with engine.begin() as connection:
        indexes = _drop_indexes(connection)
        connection.exec_driver_sql("TRUNCATE emotion_results")
        connection.execute(
            _FILL,
            {
                "rows": rows,
                "first": connection.scalar(text("SELECT now() - CAST(:days AS interval)"), {"days": timedelta(days)}),
                "step": step,
                "texts": _TEXTS,
                "texts_count": len(_TEXTS),
                "sets": _SETS_OF_CALLS,
                "sets_count": len(_SETS_OF_CALLS),
            },
        )
        for statement in indexes:
            connection.exec_driver_sql(statement)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE emotion_results")


def _drop_indexes(connection: Connection) -> list[str]:
    """Drop all indexes of the results, and return the statements that make them again."""
    key = "ALTER TABLE emotion_results ADD CONSTRAINT pk_emotion_results PRIMARY KEY (transcript_id, source)"
    found = connection.execute(
        text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'emotion_results' ORDER BY indexname")
    )
    others = {name: statement for name, statement in found if name != "pk_emotion_results"}
    connection.exec_driver_sql("ALTER TABLE emotion_results DROP CONSTRAINT pk_emotion_results")
    for name in others:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [key, *others.values()]
