"""The order in which a network sees its rows, and what it is to answer."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from example_sets import examples
from transformers import BertConfig, BertForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from schemas.bundle import Calibration
from schemas.emotions import EMOTIONS
from training.data.examples import CALLS, PUBLIC, RU_CALLS, UNLABELLED, Examples
from training.data.text_forms import Form, as_spoken, forms
from training.learn.batches import Batch, BatchOrder, EncodedSet, Head, Ids, collate, encode_set, heads
from training.learn.losses import loss_function
from training.learn.network import fold_calibration, keep_outputs, output_layer
from training.learn.optimizer import rates
from training.settings import Augmentation, Learning, LearningPlan

PLAN = LearningPlan(Learning(word_dropout=0), Augmentation())


SERVED_AND_CEDR = [Head(PUBLIC), Head(PUBLIC, "cedr")]


def lengths(texts: list[str], **_: object) -> dict[str, list[list[int]]]:
    """Tokenize into as many ids as there are characters."""
    return {"input_ids": [[7] * (len(text) + 2) for text in texts]}


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


def varied(examples_: Examples, **wanted: Any) -> list[Form]:
    return forms(examples_, Augmentation(**{"noisy": 0, **wanted}), PLAN.passes(examples_.source), PLAN.seed)


def test_english_originals_have_one_form() -> None:
    assert varied(replace(examples("goemotions", "en", rows=1), texts=["Oh, well!"])) == [Form(1.0, ["Oh, well!"])]
    assert varied(replace(examples(rows=1), texts=["Ну, да!"])) == [Form(0.25, ["ну, да!"]), Form(0.75, ["ну да"])]


def test_shares_that_make_more_than_the_whole_are_shares_of_their_sum() -> None:
    some = replace(examples(rows=4), back_translated=["Да."] * 4)
    made = varied(some, noisy=0.9, back_translated=0.6)
    assert sum(form.share for form in made) == pytest.approx(1)
    assert made[1].share == pytest.approx(0.75 * 0.6 / 1.5)
    assert made[-1].share == 0


def test_the_shares_of_all_forms_make_one() -> None:
    some = replace(examples(rows=4), back_translated=["Да."] * 4)
    made = varied(some, noisy=0.3, back_translated=0.2, emoji=0.1, spoken=0.8)
    assert [len(form.texts) for form in made] == [4] * 8
    assert sum(form.share for form in made) == pytest.approx(1)
    assert made[-1].share == pytest.approx(0.8 * 0.5)


def test_a_source_teaches_its_own_head_and_by_its_weight_the_served_one() -> None:
    names = heads([examples("goemotions", "en"), examples("cedr"), examples(UNLABELLED)], [PUBLIC], Learning())
    assert names == SERVED_AND_CEDR
    taught_rows = encode_set(examples("cedr"), lengths, names, PLAN)
    assert taught_rows.weights.reshape(-1, 2, 7).sum(2) == pytest.approx(np.array([[0.15, 1.0]] * 3))
    assert not taught_rows.weights[:, [1, 8]].any(), "CEDR's annotators were not asked for disgust"
    assert taught_rows.passes == PLAN.learning.epochs["cedr"]


def test_a_set_of_ones_own_teaches_the_served_head_in_full() -> None:
    own = encode_set(examples("mine"), lengths, [Head(PUBLIC), Head(PUBLIC, "mine")], PLAN)
    assert own.weights.reshape(-1, 2, 7).sum(2) == pytest.approx(np.ones((3, 2)))


def both(rows: int = 3) -> Examples:
    """Lines that were scored in two conventions."""
    one = examples(UNLABELLED, rows=rows)
    targets = np.hstack([one.targets, 1 - one.targets])
    return replace(one, targets=targets, annotated=targets >= 0, conventions=(CALLS, PUBLIC))


def test_a_row_teaches_the_head_of_its_convention_and_a_scored_line_all_of_them() -> None:
    calls = replace(examples(RU_CALLS), conventions=(CALLS,))
    sets = [calls, examples("goemotions"), both()]
    names = heads(sets, [CALLS, PUBLIC], Learning())
    assert names == [Head(CALLS), Head(PUBLIC)], "a set that is its convention needs no head of its own"
    of_calls, of_public, of_both = (encode_set(each, lengths, names, PLAN) for each in sets)
    assert of_calls.weights.reshape(-1, 2, 7).sum(2) == pytest.approx(np.array([[1.0, 0.0]] * 3))
    assert of_public.weights.reshape(-1, 2, 7).sum(2) == pytest.approx(np.array([[0.0, 1.0]] * 3))
    assert of_both.weights.reshape(-1, 2, 7).sum(2) == pytest.approx(np.ones((3, 2)))
    assert (of_calls.targets[:, :7] == calls.targets).all()
    assert (of_both.targets == both().targets).all()


def test_a_table_that_is_named_after_a_convention_has_a_head_of_its_own_all_the_same() -> None:
    mine = replace(examples(CALLS), conventions=(CALLS,))
    assert heads([mine], [CALLS], Learning()) == [Head(CALLS), Head(CALLS, CALLS)]
    assert heads([mine], [CALLS], Learning(own_weight=0)) == [Head(CALLS)]


def test_a_text_without_words_teaches_nothing() -> None:
    silent = examples(rows=2)
    silent.texts[0] = "..."
    assert encode_set(silent, lengths, SERVED_AND_CEDR, PLAN).weights.any(axis=1).tolist() == [False, True]


def numbered(rows: int, passes: int, tag: int) -> EncodedSet:
    ids = Ids([[tag, at] + [0] * (at % 9) for at in range(rows)])
    return EncodedSet(
        forms=[(1.0, ids)], targets=np.zeros((rows, 7), np.float32), weights=np.ones((rows, 7), np.float32),
        passes=passes,
    )  # fmt: skip


def seen(order: BatchOrder) -> list[list[int]]:
    return [list(map(int, order[at].ids[0])) for at in range(len(order))]


def test_each_row_is_seen_as_often_as_its_set_says() -> None:
    counts = Counter(tuple(ids[:2]) for ids in seen(BatchOrder([numbered(101, 4, 1), numbered(57, 1, 2)], 4, 0)))
    assert counts == {**{(1, at): 4 for at in range(101)}, **{(2, at): 1 for at in range(57)}}


def test_a_set_of_no_passes_is_left_out() -> None:
    assert len(BatchOrder([numbered(5, 2, 1), numbered(7, 0, 2)], 4, 0)) == 10


def test_batches_hold_rows_of_like_length_and_their_order_is_shuffled() -> None:
    sizes = np.array([len(ids) for ids in seen(BatchOrder([numbered(400, 1, 1)], 4, 0))]).reshape(-1, 4)
    assert np.ptp(sizes, axis=1).mean() < 0.5
    assert np.any(np.diff(sizes[:, 0]) < 0)


def test_the_same_seed_gives_the_same_order() -> None:
    first, second, other = (seen(BatchOrder([numbered(50, 2, 1)], 4, seed)) for seed in (0, 0, 1))
    assert first == second != other


def test_words_are_hidden_at_their_share_but_not_the_marks_around_a_text() -> None:
    long = EncodedSet(
        forms=[(1.0, Ids([[1, *[5] * 98, 2]] * 40))], targets=np.zeros((40, 7), np.float32),
        weights=np.ones((40, 7), np.float32), passes=1,
    )  # fmt: skip
    hidden = BatchOrder([long], 8, 0, hidden=(0.1, 9))
    rows = np.array(hidden.__getitems__(list(range(8))).ids)
    assert (rows[:, 0] == 1).all()
    assert (rows[:, -1] == 2).all()
    assert 0.07 < (rows == 9).mean() < 0.13
    assert np.array_equal(rows, hidden.__getitems__(list(range(8))).ids), "drawn by place, so that a resumed run agrees"


def test_a_batch_is_padded_and_carries_targets_and_weights() -> None:
    batch = collate(9, BatchOrder([numbered(3, 1, 1)], 4, 0).__getitems__([0, 1, 2]))
    assert batch["labels"].shape == (3, 2, 7)
    assert torch.equal(batch["input_ids"] == 9, batch["attention_mask"] == 0)
    assert isinstance(BatchOrder([numbered(3, 1, 1)], 4, 0)[0], Batch)


def test_columns_without_weight_do_not_count_in_the_loss() -> None:
    labels = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    near, far = (SequenceClassifierOutput(logits=torch.tensor([[2.0, wrong]])) for wrong in (0.0, 50.0))
    loss = loss_function("bce")
    assert loss(near, labels) == loss(far, labels) == pytest.approx(0.1269, abs=1e-4)


@pytest.mark.parametrize("name", ["focal", "asymmetric"])
def test_other_losses_make_little_of_what_is_easy(name: str) -> None:
    labels = torch.tensor([[[0.0], [1.0]]])
    easy, hard = (SequenceClassifierOutput(logits=torch.tensor([[logit]])) for logit in (-3.0, 3.0))
    plain, other = loss_function("bce"), loss_function(name)
    assert other(easy, labels) / plain(easy, labels) < 0.1 * other(hard, labels) / plain(hard, labels)
    assert other(easy, labels) >= 0


def test_balanced_weights_lift_positives_alone() -> None:
    labels = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    output = SequenceClassifierOutput(logits=torch.zeros(1, 2))
    plain, lifted = (loss_function("bce", weight)(output, labels) for weight in (None, torch.tensor([3.0, 3.0])))
    assert lifted == pytest.approx(float(plain) * 2)


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
    groups = rates(model, Learning(learning_rate=1e-4))
    by_id = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    names = [
        "bert.embeddings.word_embeddings",
        "bert.encoder.layer.0.output.dense",
        "bert.encoder.layer.1.output.dense",
    ]
    parameters = dict(model.named_parameters())
    assert [by_id[id(parameters[f"{name}.weight"])] for name in names] == pytest.approx([0.81e-4, 0.9e-4, 1e-4])
    assert by_id[id(parameters["classifier.weight"])] == by_id[id(parameters["bert.pooler.dense.weight"])] == 5e-4
    assert len(by_id) == len(parameters)


def test_the_served_head_is_what_remains() -> None:
    model = bert(21)
    tokens = torch.tensor([[1, 2, 3]])
    before = model(tokens).logits[:, 7:14]
    keep_outputs(model, {emotion: 7 + at for at, emotion in enumerate(EMOTIONS)})
    torch.testing.assert_close(model(tokens).logits, before)
    assert [model.config.id2label[at] for at in range(7)] == list(EMOTIONS)


def test_a_folded_calibration_moves_the_logits() -> None:
    model = bert(7)
    tokens = torch.tensor([[1, 2, 3]])
    before = model(tokens).logits
    fold_calibration(model, [Calibration(scale=2.0, bias=0.5)] * 7)
    torch.testing.assert_close(model(tokens).logits, before * 2 + 0.5)
    assert output_layer(model).out_features == 7
