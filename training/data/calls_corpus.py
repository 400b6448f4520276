"""The project's own corpus: invented Russian calls, in the package, parted by dialogue.

`training/data/calls/README.md` says how it was made, `GUIDE.md` how it was labelled.
"""

import json
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np

from schemas.emotions import EMOTIONS
from training.data.examples import CALLS, RU_CALLS, Examples
from training.data.public_sets import Split

NAME: Final = "calls"
"""What the corpus is called as data."""

TRAINING_ONLY: Final = "dltuvwxyz"
"""Authors whose lines only teach: many are nearly alike, or were written where an earlier model was weak."""

FILE: Final = Path(__file__).parent / "calls" / "calls.jsonl"

_PARTS: Final = 10
_OF_PART: Final[dict[int, Split]] = {0: "test", 1: "validation"}


def split_of(dialogue: str, author: str) -> Split:
    """Return what a dialogue is for: a tenth measures and never teaches, a tenth chooses thresholds, the others teach.

    Args:
        dialogue: its name, whose hash decides.
        author: a letter; some authors only teach.
    """
    return "train" if author in TRAINING_ONLY else _OF_PART.get(crc32(dialogue.encode()) % _PARTS, "train")


def load_calls(split: Split) -> Examples:
    """Return the lines of a split."""
    lines = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in lines if split_of(row["dialogue"], row["author"]) == split]
    targets = np.array([[emotion in row["emotions"] for emotion in EMOTIONS] for row in rows], np.float32)
    return Examples(
        source=RU_CALLS,
        language="ru",
        ids=[f"{row['dialogue']}/{row['turn']}" for row in rows],
        texts=[row["text"] for row in rows],
        targets=targets,
        annotated=np.ones_like(targets, np.bool_),
        conventions=(CALLS,),
        dialogues=[row["dialogue"] for row in rows],
    )
