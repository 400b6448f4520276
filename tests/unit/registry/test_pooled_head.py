"""A head of ours is cut, calibrated, and given its rates as any classifier of transformers."""

from typing import Any

import pytest
import torch
from manifests import manifest
from transformers import BertConfig

from registry.pooled_head import PooledConfig, PooledForSequenceClassification
from schemas.bundle import Calibration, UnusableBundle
from schemas.emotions import EMOTIONS
from schemas.model_files import read_config
from training.learn.network import fold_calibration, keep_outputs, output_layer
from training.learn.optimizer import rates
from training.settings import Learning

TOKENS = torch.tensor([[1, 2, 3]])


def pooled(**options: Any) -> Any:
    torch.manual_seed(0)
    bert = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )  # fmt: skip
    return PooledForSequenceClassification(PooledConfig(bert, num_labels=21, **options)).eval()


def test_a_configuration_is_read_as_it_was_written() -> None:
    config = pooled(pooling="max", head_layers=3, head_width=8, head_dropout=0.3).config
    again = PooledConfig.from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict()
    assert isinstance(again.text_config, BertConfig)
    assert (again.pooling, again.head_layers, again.head_width, again.head_dropout) == ("max", 3, 8, 0.3)


def test_the_head_has_as_many_layers_as_were_asked_for_and_the_encoder_pools_nothing() -> None:
    model = pooled(head_layers=3, head_width=8)
    shapes = [tuple(layer.weight.shape) for layer in model.head if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(8, 16), (8, 8), (21, 8)]
    assert model.encoder.pooler is None


@pytest.mark.parametrize("width", [None, 21], ids=["narrow", "as wide as the output"])
def test_the_served_head_is_what_remains_and_is_calibrated(width: int | None) -> None:
    model = pooled(head_layers=2, head_width=width, pooling="max")
    before = model(TOKENS).logits[:, :7]
    keep_outputs(model, {emotion: at for at, emotion in enumerate(EMOTIONS)})
    torch.testing.assert_close(model(TOKENS).logits, before)
    fold_calibration(model, [Calibration(scale=2.0, bias=0.5)] * 7)
    torch.testing.assert_close(model(TOKENS).logits, before * 2 + 0.5)
    assert output_layer(model) is model.head[-1]
    assert [model.config.id2label[at] for at in range(7)] == list(EMOTIONS)


def test_the_head_learns_fastest_and_each_layer_faster_than_the_one_below() -> None:
    model = pooled(pooling="max", head_layers=2)
    learning = Learning(learning_rate=1e-4, layer_decay=0.9, head_rate=5.0)
    by_id = {id(parameter): group["lr"] for group in rates(model, learning) for parameter in group["params"]}
    parameters = dict(model.named_parameters())
    layers = [f"encoder.encoder.layer.{at}.output.dense.weight" for at in range(3)]
    assert [by_id[id(parameters[name])] for name in layers] == pytest.approx([0.81e-4, 0.9e-4, 1e-4])
    assert {by_id[id(weight)] for name, weight in parameters.items() if not name.startswith("encoder.")} == {5e-4}
    assert len(by_id) == len(parameters)


def test_a_network_of_a_later_version_is_refused_with_advice() -> None:
    with pytest.raises(UnusableBundle, match=r"network is asr-emotions-pooled-2, .* Run the version that made it"):
        read_config(b'{"model_type": "asr-emotions-pooled-2"}', manifest())
