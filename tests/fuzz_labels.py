"""Damaged label files of every form: each is read rightly or refused in one line. `python tests/fuzz_labels.py`."""

import io
import random
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mutations import fuzz_by_command, mutated

from training.data.datasets import load
from training.data.tables import read_parallel
from training.errors import UnusableData
from training.label_files.label import Label
from training.label_files.options import ReadOptions
from training.label_files.reading import SUFFIXES, Reading, read_labels

SAMPLES: Final = Path(__file__).parent / "data" / "labels"
STUDIO: Final = Path(__file__).parent / "data" / "label-studio"

_BY_LINES: Final = {".csv", ".tsv", ".jsonl"}
_REFUSED: Final = {"classify.jsonl", "other-names.csv"}
"""Samples that are refused as they are, without `--map` or for good."""

_OPTIONS: Final = ReadOptions(threshold=0.5)
_LONGEST: Final = 1_500
"""Characters of a refusal; the file's name and 20 names of columns are among them."""


class Sample:
    """A label file, and what each of its lines says.

    Attributes:
        suffix: the ending of its name.
        content: its bytes.
        header: its first line, where the lines below depend on it.
        labels: the label of each line, for a file whose lines stand for themselves.
    """

    def __init__(self, file: Path) -> None:
        self.suffix = file.suffix
        self.content = file.read_bytes()
        self.header = b"" if file.suffix == ".jsonl" else self.content.split(b"\n")[0]
        self.labels: dict[bytes, Label] = {}
        if file.suffix in _BY_LINES:
            lines = self.content.split(b"\n")
            placed = read_labels(file, _OPTIONS).placed if file.name not in _REFUSED else []
            for where, label, _ in placed:
                line = lines[int(where.split()[-1]) - 1]
                # Some texts have two lines, or are in several.
                if self.content.count(label.text.encode()) == 1:
                    self.labels[line] = label


def samples() -> list[Sample]:
    """Return the samples of every form."""
    files = (file for folder in (SAMPLES, STUDIO) for file in sorted(folder.iterdir()))
    return [Sample(file) for file in files if file.suffix in SUFFIXES]


def damaged(sample: Sample, others: list[bytes], random_: random.Random) -> bytes:
    """Damage a file; of a workbook, which is a ZIP archive, often a part inside, so that the archive is whole."""
    if sample.suffix != ".xlsx" or random_.random() < 0.3:
        return mutated(sample.content, others, random_)
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sample.content)) as old, zipfile.ZipFile(written, "w") as new:
        names = old.namelist()
        chosen = random_.choice([name for name in names if "sheet" in name.lower() or "Strings" in name] + names)
        for name in names:
            part = old.read(name)
            new.writestr(name, mutated(part, others, random_) if name == chosen else part)
    return written.getvalue()


def read_or_refused(file: Path, where: str) -> Reading | None:
    """Read a file as each command does; return what was read, or None where it was refused.

    Raises:
        AssertionError: a reader ends otherwise, or complains in more than one line.
    """
    readings: list[Reading] = []
    for read in (
        lambda: readings.append(read_labels(file, _OPTIONS)),
        lambda: load([str(file)], "train"),
        lambda: read_parallel(file),
    ):
        try:
            read()
        except UnusableData as error:
            _require_one_line(str(error), where)
        except Exception as error:
            raise AssertionError(where) from error
    for bad in (complaint for reading in readings for complaint in (*reading.bad, *reading.contradictions)):
        _require_one_line(str(bad), where)
    return readings[0] if readings else None


def _require_one_line(complaint: str, where: str) -> None:
    assert len(complaint.splitlines()) == 1, f"{complaint!r} {where}"
    assert len(complaint) < _LONGEST, f"{complaint!r} {where}"


def wrong_in_silence(sample: Sample, content: bytes, reading: Reading) -> Iterator[str]:
    """Yield what lines that are as they were say otherwise now, or say no more without a complaint.

    Lines under another header are left out, and so are texts that came in twice.
    """
    lines = content.split(b"\n")
    if sample.header and lines[0] != sample.header:
        return
    for line, before in sample.labels.items():
        if line not in lines or content.count(before.text.encode()) != 1:
            continue
        now = [label for label in reading.labels if label.text == before.text]
        if not now and not reading.bad:
            yield f"lost {before.text}"
        if len(now) == 1 and now[0].emotions != before.emotions:
            yield f"{before.text} is {now[0].emotions}, and was {before.emotions}"


def fuzz_labels(count: int, seed: int) -> tuple[int, int]:
    """Read damaged files by every reader; return how many were read and how many refused.

    Raises:
        AssertionError: a reader fails or changes a label in silence; it says of which file.
    """
    random_ = random.Random(seed)
    known = samples()
    others = [sample.content for sample in known]
    was_read = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            sample = random_.choice(known)
            content = damaged(sample, others, random_)
            suffix = sample.suffix if random_.random() < 0.9 else random_.choice(SUFFIXES)
            file = Path(folder) / f"damaged{suffix}"
            file.write_bytes(content)
            where = f"seed {seed}, file {number}, {suffix}: {content[:3_000]!r}"
            reading = read_or_refused(file, where)
            was_read += reading is not None
            if reading is not None and suffix == sample.suffix:
                wrong = list(wrong_in_silence(sample, content, reading))
                assert not wrong, f"{wrong} {where}"
            file.unlink()
    return was_read, count - was_read


if __name__ == "__main__":
    fuzz_by_command(fuzz_labels, __doc__)
