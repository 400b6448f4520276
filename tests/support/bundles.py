"""A bundle of an untrained model, small enough to be made in a test."""

from pathlib import Path
from typing import Any, Final

import torch
from manifests import manifest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from schemas.bundle import MANIFEST, Calibration, Tuning
from schemas.emotions import EMOTIONS
from schemas.normalization import normalize

SAID = "алло я по поводу заказа номер 12 он должен был приехать еще вчера это безобразие ну хорошо спасибо вам"
WORDS = SAID.split()
# Of all lengths in no order, some alike, some longer than any model here takes.
TEXTS = [
    normalize(" ".join(WORDS[start % 7 :][: 1 + start * 5 % 11]) * (1 + 30 * (start % 13 == 0))) for start in range(60)
]


BOTH: Final[Any] = {
    "convention": "calls",
    "neutral": "exclusive",
    "others": {
        "public": Tuning(
            thresholds=dict.fromkeys(EMOTIONS, 0.4), calibration=dict.fromkeys(EMOTIONS, Calibration(0.5, 0.25))
        )
    },
}
"""What makes a manifest one of two conventions."""


def make_bundle(folder: Path, **changed: Any) -> str:
    """Write an untrained model with a small Unigram vocabulary and a manifest."""
    letters = sorted({letter for word in WORDS for letter in word})
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *dict.fromkeys(f"▁{word}" for word in WORDS), *letters]
    inner = Tokenizer(Unigram([(piece, -float(at > 3)) for at, piece in enumerate(pieces)], unk_id=3))
    inner.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.add_special_tokens({"pad_token": "<pad>", "unk_token": "<unk>"})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    calibration = {emotion: Calibration(1 + at / 10, at / 7 - 0.5) for at, emotion in enumerate(EMOTIONS)}
    served = manifest(
        **{"version": "random-1", "calibration": calibration, "data_fingerprint": "none", "max_tokens": 64} | changed
    )
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=1,
        id2label=dict(enumerate(served.outputs)),
        initializer_range=0.2,  # Scores that differ from text to text.
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / MANIFEST).write_bytes(served.encode())
    return str(folder)


def spoil(folder: Path, word: str) -> None:
    """Let one word of the vocabulary make a bundle's scores NaN."""
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    at = PreTrainedTokenizerFast.from_pretrained(folder).convert_tokens_to_ids(f"▁{word}")
    weights[name][at] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
