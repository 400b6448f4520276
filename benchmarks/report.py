"""How long the report takes on many rows of an embedded Postgres, and how large its page is.

python benchmarks/report.py [--rows 1000000] [--calls 200]
"""

import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from sqlalchemy import create_engine, text

from schemas.emotions import EMOTIONS
from worker.demo.services import embedded_postgres
from worker.report.run import Order, write_report
from worker.settings import Settings
from worker.storage.migrate import migrate

FILL = text(f"""
    INSERT INTO emotion_results (transcript_id, source, session_id, speaker, role, segment, text, spoken_at, emotions,
        {", ".join(EMOTIONS)}, attributes, model_version, normalizer, kafka_topic, kafka_partition, kafka_offset)
    SELECT n::text, 'source-' || n / 20 % 8, 'call-' || n / 20, 'x', (ARRAY['agent', 'customer'])[n % 2 + 1], n % 20,
        'я хотела бы узнать где мой заказ он должен был приехать еще вчера а его до сих пор нет и никто не звонит',
        now() - interval '14 days' * n / :rows,
        (ARRAY['{{neutral}}', '{{anger}}', '{{fear,surprise}}'])[n % 3 + 1]::text[],
        {", ".join("random()" for _ in EMOTIONS)}, jsonb_build_object('agent', 'agent ' || n / 20 % 50),
        'm', 'n', 'transcripts', n % 4, n
    FROM generate_series(1, :rows) AS n
""")  # noqa: S608 - made of constants.


def main() -> None:
    """Fill the table, write the page of a week, which is compared with the one before, and print time and size."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=200, help="Calls of each list that are shown.")
    given = parser.parse_args()
    with embedded_postgres() as url, tempfile.TemporaryDirectory() as folder:
        migrate(url)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(FILL, {"rows": given.rows})
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE emotion_results")
        engine.dispose()
        output = Path(folder) / "calls.html"
        start = time.perf_counter()
        write_report(Order(calls=given.calls, explain=False), Settings.load(database_url=url), output)
        took = time.perf_counter() - start
        print(f"{given.rows:,} rows in two weeks: {took:.1f} s, {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
