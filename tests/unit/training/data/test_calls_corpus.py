"""The project's corpus of calls: read by its name, parted by dialogue, whole and in the form that is promised."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args
from zlib import crc32

import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from training.data.calls_corpus import FILE, TRAINING_ONLY, load_calls, split_of
from training.data.datasets import load
from training.data.examples import CALLS, RU_CALLS
from training.data.public_sets import Split

LINES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def test_it_is_read_by_its_name_without_a_network() -> None:
    sets = {split: load(["calls"], split) for split in get_args(Split)}
    assert {split: len(examples) for split, [examples] in sets.items()} == {
        "train": 28_996, "validation": 2_291, "test": 2_362,
    }  # fmt: skip
    for [examples] in sets.values():
        assert (examples.source, examples.language, examples.conventions) == (RU_CALLS, "ru", (CALLS,))
        assert examples.annotated.all()
        assert examples.targets.any(1).all()
    assert sum(len(examples) for [examples] in sets.values()) == len(LINES)


def test_a_dialogue_is_on_one_side_and_training_only_authors_never_measure() -> None:
    sides = {split: set(load_calls(split).dialogues or ()) for split in get_args(Split)}
    assert not sides["train"] & sides["validation"]
    assert not sides["train"] & sides["test"]
    assert not sides["validation"] & sides["test"]
    assert {split_of(line["dialogue"], line["author"]) for line in LINES if line["author"] in TRAINING_ONLY} == {
        "train"
    }
    assert all(crc32(name.encode()) % 10 == 0 for name in sides["test"]), "the experiments' tenth"


def test_halves_of_a_tenth_keep_dialogues_whole() -> None:
    validation = load_calls("validation")
    half = validation.parts(2)
    assert 0.4 < half.mean() < 0.6
    assert validation.dialogues
    halves = Counter(map(tuple, {(name, int(at)) for name, at in zip(validation.dialogues, half, strict=True)}))
    assert len(halves) == len(set(validation.dialogues))
    assert (validation.take(np.arange(7)).parts(2) == half[:7]).all()


def test_each_line_has_the_form_that_the_readme_promises() -> None:
    assert {frozenset(line) for line in LINES} == {
        frozenset({"dialogue", "turn", "speaker", "text", "emotions", "author"})
    }
    assert len({(line["dialogue"], line["turn"]) for line in LINES}) == len(LINES)
    for line in LINES:
        assert line["emotions"] == ["neutral"] or set(line["emotions"]) <= set(EMOTIONS[:-1])
        assert line["emotions"]
        assert re.fullmatch(r"[^\WA-ZА-ЯЁ_]+([ '’+%/-]+[^\WA-ZА-ЯЁ_]+)*", line["text"]), line["text"]


@pytest.mark.parametrize("author", sorted({line["author"] for line in LINES}))
def test_the_readme_counts_the_lines_of_each_author(author: str) -> None:
    count = sum(line["author"] == author for line in LINES)
    assert f"| {author} | {count:,} |" in (FILE.parent / "README.md").read_text(encoding="utf-8")


def test_the_readme_counts_lines_dialogues_and_emotions() -> None:
    said = (FILE.parent / "README.md").read_text(encoding="utf-8")
    dialogues = len({line["dialogue"] for line in LINES})
    assert f"{len(LINES):,} utterances of {dialogues:,} dialogues" in said
    emotions = Counter(emotion for line in LINES for emotion in line["emotions"])
    assert ", ".join(f"{emotion} {count:,}" for emotion, count in emotions.most_common()) in said


def test_a_table_of_a_user_that_is_called_calls_is_another_set(tmp_path: Path) -> None:
    """Else a model that learnt a customer's calls could be published as one that learnt public text."""
    (tmp_path / "calls.csv").write_text("text,emotions\nда,joy\n", encoding="utf-8")
    [own] = load([str(tmp_path / "calls.csv")], "train")
    assert own.source != RU_CALLS
