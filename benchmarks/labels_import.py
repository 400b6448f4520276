"""How long `labels import` takes for many labels, into an embedded Postgres; and again, when nothing is new.

python benchmarks/labels_import.py [--labels 200000]
"""

import random
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from schemas.emotions import EMOTIONS
from training.database import connect
from training.label_files.reading import read_labels
from training.labels.table import store
from worker.demo.services import embedded_postgres
from worker.storage.migrate import migrate

WORDS = [
    "я",
    "хотела",
    "бы",
    "узнать",
    "где",
    "мой",
    "заказ",
    "он",
    "должен",
    "был",
    "приехать",
    "еще",
    "вчера",
    "спасибо",
    "большое",
    "да",
    "нет",
    "жду",
    "машину",
]


def write_labels(file: Path, count: int) -> None:
    """Write as many labels of as many texts, each with a moment and an annotator."""
    random_ = random.Random(0)
    with file.open("w", encoding="utf-8") as lines:
        lines.write("text,emotions,annotator,labelled_at,transcript_id,source\n")
        for at in range(count):
            text = " ".join(random_.choices(WORDS, k=12))
            emotion = random_.choice(EMOTIONS)
            lines.write(f"{text} {at},{emotion},anna,2026-05-04T12:00:00Z,call-{at},hotline\n")


def main() -> None:
    """Import a file twice, and print the seconds of reading and of storing."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--labels", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded_postgres() as url:
        file = Path(folder) / "labels.csv"
        write_labels(file, given.labels)
        migrate(url)
        engine = connect(url)
        for which in ("new", "as before"):
            start = time.perf_counter()
            labels = read_labels(file).labels
            read = time.perf_counter()
            stored = store(engine, labels)
            done = time.perf_counter()
            print(
                f"{which}: {stored}, read in {read - start:.1f} s, stored in {done - read:.1f} s, {done - start:.1f} s"
            )
        engine.dispose()


if __name__ == "__main__":
    main()
