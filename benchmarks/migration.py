"""How long the migration to revision 0005 takes on many rows of an embedded Postgres.

python benchmarks/migration.py [--rows 2000000] [--without-source 0.5]
"""

import time
from argparse import ArgumentParser

from sqlalchemy import create_engine, text

from schemas.emotions import EMOTIONS
from worker.demo.services import embedded_postgres
from worker.storage.migrate import migrate_to

FILL = text(f"""
    INSERT INTO emotion_results (transcript_id, source, session_id, speaker, segment, text, spoken_at, emotions,
        {", ".join(EMOTIONS)}, model_version, normalizer, kafka_topic, kafka_partition, kafka_offset)
    SELECT gen_random_uuid(), CASE WHEN random() >= :without THEN 'support-calls' END, 'call-' || n / 20, 'customer',
        n % 20, 'я хотела бы узнать где мой заказ он должен был приехать еще вчера', now() + n * interval '1 second',
        '{{neutral}}', {", ".join("random()" for _ in EMOTIONS)}, 'm', 'n', 'transcripts', n % 4, n
    FROM generate_series(1, :rows) AS n
""")  # noqa: S608 - made of constants.


def main() -> None:
    """Fill the tables of revision 0004 and migrate them."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--without-source", type=float, default=0.5, help="share of the rows, 0 to 1")
    given = parser.parse_args()
    with embedded_postgres() as url:
        migrate_to(url, "0004")
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(FILL, {"rows": given.rows, "without": given.without_source})
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE emotion_results")
        engine.dispose()
        start = time.perf_counter()
        migrate_to(url, "0005")
        print(f"{given.rows:,} rows, {given.without_source:.0%} without a source: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
