"""What makes a fit on a GPU the same each time; that it is was measured on one (docs/experiments.md)."""

import os
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel

from training.learn.repeatable import repeatable

BERT = BertModel(BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1))
T5 = T5EncoderModel(T5Config(vocab_size=8, d_model=4, d_kv=4, d_ff=4, num_layers=1, num_heads=1))


@pytest.fixture
def _a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.usefixtures("_a_gpu")
@pytest.mark.parametrize(("model", "ordered"), [(BERT, True), (T5, False)])
def test_operations_keep_an_order_while_an_encoder_learns_that_has_one_for_all_it_does(
    model: Any, *, ordered: bool
) -> None:
    with repeatable(model):
        assert torch.are_deterministic_algorithms_enabled() is ordered
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.usefixtures("_a_gpu")
def test_a_fit_that_fails_leaves_things_as_they_were() -> None:
    with pytest.raises(ValueError, match="ended"), repeatable(BERT):
        raise ValueError("ended")
    assert not torch.are_deterministic_algorithms_enabled()


def test_nothing_changes_without_a_gpu() -> None:
    with repeatable(BERT):
        assert not torch.are_deterministic_algorithms_enabled()


def test_cublas_is_told_before_it_starts() -> None:
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
