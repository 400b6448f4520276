"""The archive of docs/analysis.md, made by the statements as they stand there."""

import re
from typing import Final

from places import ROOT
from sqlalchemy import create_engine, text

_DOCUMENT: Final = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
_SECTION: Final = _DOCUMENT.partition("## Months in tables of their own")[2]
MAKE, MOVE, ASK, DROP = re.findall(r"^```sql\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)

ROWS = """
    INSERT INTO emotion_results (transcript_id, source, text, spoken_at, emotions, model_version, normalizer,
                                 kafka_topic, kafka_partition, kafka_offset)
    SELECT n::text, 'calls', 'рада', timestamptz '2026-03-01 12:00Z' + n * interval '1 day', '{joy}', 'm', '1',
           't', 0, n
    FROM generate_series(-3, 5) AS n
"""
PLACES = "SELECT tableoid::regclass::text, count(*) FROM emotion_archive GROUP BY 1 ORDER BY 1"


def test_days_move_to_the_tables_of_their_months_and_a_month_is_dropped(postgres_url: str) -> None:
    engine = create_engine(postgres_url, connect_args={"options": "-c timezone=UTC"})
    with engine.begin() as connection:
        connection.execute(text(ROWS))
        connection.exec_driver_sql(MAKE)
        connection.exec_driver_sql(MOVE)
        connection.exec_driver_sql(MOVE.replace("2026-03-02", "2026-02-27").replace("2026-03-03", "2026-02-28"))
        assert connection.execute(text(PLACES)).all() == [
            ("emotion_archive_2026_02", 1),
            ("emotion_archive_2026_03", 1),
        ]
        assert connection.scalar(text("SELECT count(*) FROM emotion_results")) == 7
        assert connection.scalar(text("SELECT count(DISTINCT transcript_id) FROM all_results")) == 9
        assert connection.exec_driver_sql(ASK).all() == [("m", 1)]
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {ASK}").scalars())
        assert "emotion_archive_2026_03" in plan
        assert "emotion_archive_2026_02" not in plan
        connection.exec_driver_sql(DROP)
        assert connection.execute(text(PLACES)).all() == [("emotion_archive_2026_03", 1)]
    engine.dispose()
