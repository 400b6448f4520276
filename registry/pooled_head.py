"""Any encoder of transformers, with a choice of how its tokens become one vector and of the layers above that.

Importing this module makes these networks known to transformers: it is all that plain transformers need to open such
a bundle.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from schemas.bundle import POOLED

__all__ = ["POOLINGS", "AutoModelForSequenceClassification", "PooledConfig", "PooledForSequenceClassification"]


class PooledConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]  # transformers give it no types.
    """Configuration of a `PooledForSequenceClassification`.

    Args:
        text_config: of the encoder, or its fields.
        pooling: one of `POOLINGS`.
        head_layers: linear layers from the pooled vector to the logits, at least 1.
        head_width: outputs of each but the last; None takes the encoder's.
        head_dropout: before each of them.
        others: as for any model of transformers; id2label names the labels.
    """

    model_type = POOLED
    sub_configs: ClassVar[Any] = {"text_config": AutoConfig}

    def __init__(
        self,
        text_config: PreTrainedConfig | dict[str, Any] | None = None,
        pooling: str = "mean",
        head_layers: int = 1,
        head_width: int | None = None,
        head_dropout: float = 0.1,
        **others: Any,
    ) -> None:
        if not isinstance(text_config, PreTrainedConfig):
            # transformers makes one of these without arguments, to know what is not worth writing.
            fields = dict(text_config or {"model_type": "bert"})
            text_config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        self.text_config = text_config
        self.pooling = pooling
        self.head_layers = head_layers
        self.head_width = head_width
        self.head_dropout = head_dropout
        super().__init__(**others)


def _first(hidden: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG001 - poolings are called alike.
    return hidden[:, 0]


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def _max(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(mask == 0, torch.finfo(hidden.dtype).min).amax(1)


_POOLS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {"cls": _first, "mean": _mean, "max": _max}

POOLINGS: Final = tuple(_POOLS)
"""How a text's tokens become one vector: the first one's, their mean, the largest of each channel."""


class PooledForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]  # The same.
    """Encoder, pooling, and a perceptron of one or more layers.

    Args:
        config: of the network.
        encoder: with weights of its own, of `config.text_config`; None makes one.
    """

    config_class = PooledConfig
    base_model_prefix = "encoder"
    # What the encoder supports is for the encoder to say.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: PooledConfig, encoder: Any = None) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        make: Any = AutoModel.from_config
        self.encoder = make(config.text_config) if encoder is None else encoder
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None  # Pooling is ours.
        width = config.text_config.hidden_size
        self.head = _head(width, config)
        self.post_init()  # type: ignore[no-untyped-call]  # The same.

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's."""
        embeddings: nn.Module = self.encoder.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put others in the encoder."""
        self.encoder.set_input_embeddings(value)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **others: Any
    ) -> SequenceClassifierOutput:
        """Classify texts.

        Args:
            input_ids: shape (texts, tokens).
            attention_mask: 0 where a text is filled up; same shape. None where none is.
            labels: for a loss, as transformers' classifiers take them.
            others: for the encoder.

        Returns:
            logits, shape (texts, labels), and the loss where there are labels.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **others).last_hidden_state
        pool = _POOLS[self.config.pooling]
        logits = self.head(pool(hidden, attention_mask[:, :, None].to(hidden.dtype)))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _head(width: int, config: Any) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(config.head_layers - 1):
        layers += [nn.Dropout(config.head_dropout), nn.Linear(width, config.head_width or width), nn.GELU()]
        width = config.head_width or width
    return nn.Sequential(*layers, nn.Dropout(config.head_dropout), nn.Linear(width, config.num_labels))


AutoConfig.register(POOLED, PooledConfig)
AutoModelForSequenceClassification.register(PooledConfig, PooledForSequenceClassification)
