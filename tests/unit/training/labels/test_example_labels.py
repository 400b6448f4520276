"""The sample labels are what the documents and `make demo-loop` take them for."""

from collections import Counter

from places import ROOT

from schemas.emotions import EMOTIONS
from training.data.splits import identity, split_of
from training.label_files.reading import read_labels

LABELS = read_labels(ROOT / "examples" / "labels.csv").labels


def test_every_row_is_a_label_and_there_are_enough_for_a_retraining() -> None:
    assert not read_labels(ROOT / "examples" / "labels.csv").bad
    assert len({identity(label.text) for label in LABELS}) >= 300


def test_no_annotator_labels_a_text_twice() -> None:
    assert max(Counter((identity(label.text), label.annotator) for label in LABELS).values()) == 1


def test_two_annotators_share_some_texts_and_do_not_always_agree() -> None:
    by_annotator = {
        name: {identity(label.text): label.emotions for label in LABELS if label.annotator == name}
        for name in ("anna", "boris")
    }
    shared = by_annotator["anna"].keys() & by_annotator["boris"].keys()
    agreed = sum(by_annotator["anna"][text] == by_annotator["boris"][text] for text in shared)
    assert len(shared) >= 40
    assert len(shared) / 2 < agreed < len(shared)


def test_every_emotion_teaches_and_judges() -> None:
    for where, fewest in (("train", 30), ("holdout", 4)):
        counts = Counter(emotion for label in LABELS if split_of(label.text) == where for emotion in label.emotions)
        assert all(counts[emotion] >= fewest for emotion in EMOTIONS), (where, counts)
