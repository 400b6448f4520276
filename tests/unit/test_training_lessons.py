"""The order in which a network sees its rows, and what it is to answer."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from schemas.bundle import Calibration
from schemas.emotions import EMOTIONS
from training.augmentation import as_spoken, forms
from training.distillation import originals, taught
from training.examples import Examples
from training.fine_tune import fold_calibration, keep_served, loss, optimizer, output_layer
from training.lessons import Curriculum, Lesson, collate, heads, lesson
from training.settings import SERVED, FitSettings

SETTINGS = FitSettings(data=(), base="", output=Path("unused"), batch_size=4)


def lengths(texts: list[str], **_: object) -> dict[str, list[list[int]]]:
    """Tokenize into as many ids as there are characters."""
    return {"input_ids": [[7] * (len(text) + 2) for text in texts]}


def examples(source: str = "cedr", language: str = "ru", rows: int = 3) -> Examples:
    targets = np.zeros((rows, len(EMOTIONS)), np.float32)
    targets[:, 3] = 1
    annotated = np.ones_like(targets, np.bool_)
    annotated[:, 1] = source != "cedr"
    return Examples(
        source=source,
        language=language,
        ids=[f"id{at}" for at in range(rows)],
        texts=[f"Ну, {'а' * at}!" for at in range(rows)],
        targets=targets,
        annotated=annotated,
    )


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Ну, сколько можно?!", "ну сколько можно"),
        ("[NAME], кто-то звонил", "имя кто то звонил"),
        ("Ещё «раз»…", "еще раз"),
        ("snake_case", "snake case"),
        ("...", ""),
    ],
)
def test_the_spoken_form_has_no_punctuation(text: str, spoken: str) -> None:
    assert as_spoken(text) == spoken


def test_english_originals_have_one_form() -> None:
    assert forms(["Oh, well!"], "en") == [["Oh, well!"]]
    assert forms(["Ну, да!"], "ru") == [["ну, да!"], ["ну да"]]


def test_a_source_teaches_its_own_head_and_by_its_weight_the_served_one() -> None:
    names = heads([examples("goemotions"), examples("cedr")], SERVED)
    assert names == ["served", "cedr"]
    taught_rows = lesson(examples("cedr"), lengths, names, SETTINGS, passes=1, served_weight=0.5)
    assert taught_rows.weights.reshape(-1, 2, 7).sum(2) == pytest.approx(np.array([[0.5, 1.0]] * 3))
    assert not taught_rows.weights[:, [1, 8]].any(), "CEDR's annotators were not asked for disgust"


def test_a_text_without_words_teaches_nothing() -> None:
    silent = examples(rows=2)
    silent.texts[0] = "..."
    assert lesson(silent, lengths, ["served", "cedr"], SETTINGS, passes=1).weights.any(axis=1).tolist() == [False, True]


def numbered(rows: int, passes: int, tag: int) -> Lesson:
    ids = [[tag, at] + [0] * (at % 9) for at in range(rows)]
    return Lesson(
        forms=[ids], targets=np.zeros((rows, 7), np.float32), weights=np.ones((rows, 7), np.float32), passes=passes
    )


def test_each_row_is_seen_as_often_as_its_lesson_says() -> None:
    curriculum = Curriculum([numbered(101, 4, 1), numbered(57, 1, 2)], SETTINGS)
    seen = Counter(tuple(curriculum[at]["input_ids"][:2]) for at in range(len(curriculum)))
    assert seen == {**{(1, at): 4 for at in range(101)}, **{(2, at): 1 for at in range(57)}}


def test_batches_hold_rows_of_like_length_and_their_order_is_shuffled() -> None:
    curriculum = Curriculum([numbered(400, 1, 1)], SETTINGS)
    sizes = np.array([len(curriculum[at]["input_ids"]) for at in range(400)]).reshape(-1, 4)
    assert np.ptp(sizes, axis=1).mean() < 0.5
    assert np.any(np.diff(sizes[:, 0]) < 0)


def test_the_same_seed_gives_the_same_order() -> None:
    first, second = (Curriculum([numbered(50, 2, 1)], SETTINGS) for _ in range(2))
    assert [first[at]["input_ids"] for at in range(100)] == [second[at]["input_ids"] for at in range(100)]


def test_a_batch_is_padded_and_carries_targets_and_weights() -> None:
    curriculum = Curriculum([numbered(3, 1, 1)], SETTINGS)
    batch = collate(9, [curriculum[at] for at in range(3)])
    assert batch["labels"].shape == (3, 2, 7)
    assert torch.equal(batch["input_ids"] == 9, batch["attention_mask"] == 0)


def test_columns_without_weight_do_not_count_in_the_loss() -> None:
    labels = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    near, far = (SequenceClassifierOutput(logits=torch.tensor([[2.0, wrong]])) for wrong in (0.0, 50.0))
    assert loss(near, labels) == loss(far, labels) == pytest.approx(0.1269, abs=1e-4)


def bert(columns: int) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
            num_labels=columns,
        )
    ).eval()  # fmt: skip


def test_lower_layers_learn_more_slowly_and_the_head_faster() -> None:
    model = bert(14)
    rates = {
        id(parameter): group["lr"] for group in optimizer(model, 1e-4).param_groups for parameter in group["params"]
    }
    names = [
        "bert.embeddings.word_embeddings",
        "bert.encoder.layer.0.output.dense",
        "bert.encoder.layer.1.output.dense",
    ]
    parameters = dict(model.named_parameters())
    assert [rates[id(parameters[f"{name}.weight"])] for name in names] == pytest.approx([0.81e-4, 0.9e-4, 1e-4])
    assert rates[id(parameters["classifier.weight"])] == rates[id(parameters["bert.pooler.dense.weight"])] == 5e-4
    assert len(rates) == len(parameters)


def test_the_served_head_is_what_remains() -> None:
    model = bert(21)
    tokens = torch.tensor([[1, 2, 3]])
    before = model(tokens).logits[:, :7]
    keep_served(model)
    torch.testing.assert_close(model(tokens).logits, before)
    assert [model.config.id2label[at] for at in range(7)] == list(EMOTIONS)


def test_a_folded_calibration_moves_the_logits() -> None:
    model = bert(7)
    tokens = torch.tensor([[1, 2, 3]])
    before = model(tokens).logits
    fold_calibration(model, [Calibration(scale=2.0, bias=0.5)] * 7)
    torch.testing.assert_close(model(tokens).logits, before * 2 + 0.5)
    assert output_layer(model).out_features == 7


def test_teachers_read_originals_of_the_english_set_and_of_translations_alone() -> None:
    english, russian = examples("goemotions", "en", rows=2), examples("ru_go_emotions", rows=3)
    translated = Examples(**{**vars(russian), "english": ["one", "two", "three"]})
    pool = originals([english, translated, examples("cedr")])
    assert pool is not None
    assert (pool.ids, pool.texts[2]) == (["id0", "id1", "id2"], "three")
    assert originals([examples("cedr")]) is None


def test_scores_replace_the_labels_of_both_languages_and_of_nothing_else() -> None:
    sets = [examples("goemotions", "en", rows=2), examples("ru_go_emotions", rows=3), examples("cedr")]
    scores = np.full((2, len(EMOTIONS)), 0.25, np.float32)
    english, russian, other = taught(sets, sets[0], scores)
    assert (english.targets == 0.25).all()
    assert (russian.targets[:2] == 0.25).all()
    assert (russian.targets[2] == sets[1].targets[2]).all(), "a row without an original keeps its labels"
    assert other is sets[2]
