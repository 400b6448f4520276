"""How much memory and time a snapshot of the labels takes, in a process of its own on an embedded Postgres.

python benchmarks/snapshot.py [--labels 1000000]
"""

import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import psycopg
from harness import resident_mb

from schemas.emotions import EMOTIONS
from training.database import connect
from training.retrain.run_history import Learnt
from training.retrain.snapshot import take
from worker.demo.services import embedded_postgres
from worker.storage.migrate import migrate

VOCABULARY: Final = 200_000
"""Forms of words; texts of a million labels of calls hold about as many."""

SHARE_TWICE: Final = 0.2
"""Of the labels: they are a second annotator's."""

_SYLLABLES: Final = [consonant + vowel for consonant in "бвгдзклмнпрст" for vowel in "аеиоуыя"]


def rows(count: int) -> Iterator[tuple[str, list[str], str, str]]:
    """Yield text, emotions, origin and annotator of labels: nine words in the mean, as often as Zipf's law has it."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(_SYLLABLES, 1 + at % 4)) + _SYLLABLES[at % 91] for at in range(VOCABULARY)]
    texts = int(count * (1 - SHARE_TWICE))
    lengths = 1 + random.geometric(1 / 8, texts)
    at = np.minimum(random.zipf(1.3, lengths.sum()) - 1, VOCABULARY - 1)
    ends = lengths.cumsum()
    for number in range(count):
        of_text = number % texts
        text = " ".join(words[word] for word in at[ends[of_text] - lengths[of_text] : ends[of_text]])
        yield text, [EMOTIONS[number % 7]], f"origin-{number % 3}", f"annotator-{number // texts}"


def fill(url: str, count: int) -> None:
    """Put labels into the table; of two alike one stays."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE made (text text, emotions text[], origin text, annotator text)")
        with cursor.copy("COPY made FROM STDIN") as copy:
            for row in rows(count):
                copy.write_row(row)
        cursor.execute(
            "INSERT INTO labelled_texts (text, emotions, origin, annotator) SELECT * FROM made ON CONFLICT DO NOTHING"
        )
        print(f"{cursor.rowcount:,} labels")


def measure(url: str) -> None:
    """Take a snapshot in this process, and print what it took."""
    engine = connect(url)
    before, start = resident_mb("self", "VmHWM"), time.perf_counter()
    with TemporaryDirectory() as folder:
        snapshot = take(
            engine, Path(folder) / "snapshot", judges=lambda _: True, learnt=Learnt(datetime.now(UTC), []), public=()
        )
    seconds, after = time.perf_counter() - start, resident_mb("self", "VmHWM")
    print(snapshot.account())
    print(f"{seconds:.0f} s; at most {after:.0f} MB resident, {after - before:.0f} MB more than before")


def main() -> None:
    """Fill a table, and let another process measure."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--measure", metavar="URL", help="of a table that is there; takes the snapshot in this process")
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    with embedded_postgres() as url:
        migrate(url)
        fill(url, given.labels)
        subprocess.run([sys.executable, __file__, "--measure", url], check=True)


if __name__ == "__main__":
    main()
