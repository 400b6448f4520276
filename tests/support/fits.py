"""Data and encoders small enough to be fitted in a test."""

import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

# The Russian word, its English original, GoEmotions' name and number of what it says.
WORDS = [
    ("злюсь", "angry", "anger", 2),
    ("мерзко", "gross", "disgust", 11),
    ("страшно", "scary", "fear", 14),
    ("рада", "happy", "joy", 17),
    ("грустно", "sad", "sadness", 25),
    ("неожиданно", "sudden", "surprise", 26),
    ("обычно", "usual", "neutral", 27),
]
FILLING = [("ну", "well"), ("я", "i"), ("очень", "very"), ("сегодня", "today"), ("вот", "here"), ("так", "so")]
# Of validation rows, or the leak guard would refuse the training rows.
OTHERS = [("тут", "there"), ("это", "this"), ("снова", "again"), ("тоже", "too"), ("просто", "just")]
QUICK = [
    *(f"learning.{setting}" for setting in ("batch_size=16", "learning_rate=2e-3", "epochs.ru_go_emotions=40")),
    *(f"learning.epochs.{setting}" for setting in ("goemotions=5", "other=2")),
    *(f"teaching.{setting}" for setting in ("learning_rate=2e-3", "batch_size=16", "folds=2", "seeds=1", "epochs=40")),
]
BRIEF = [*QUICK, "teaching.folds=0", "learning.epochs.ru_go_emotions=1", "learning.epochs.goemotions=1"]


TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "pad_token_id": 1}
# A new encoder this small learns little from the usual range of 0.02.
BERT = BertConfig(**TINY, initializer_range=0.2)
ENCODERS = [
    RobertaConfig(**TINY, max_position_embeddings=80),
    XLMRobertaConfig(**TINY, max_position_embeddings=80),
    DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, pad_token_id=1),
    DebertaV2Config(**TINY, pos_att_type=["p2c", "c2p"], relative_attention=True),
    ModernBertConfig(**TINY, cls_token_id=0, sep_token_id=2, bos_token_id=0, eos_token_id=2),
]


def rows(count: int, seed: int, filling: list[tuple[str, str]]) -> list[tuple[str, str, str, str, int]]:
    """Make (id, Russian, English, label, number of the label) a row."""
    chance = random.Random(seed)
    made = []
    for at in range(count):
        word = WORDS[at % len(WORDS)]
        around = chance.sample(filling, 2)
        russian, english = ([pair[language] for pair in (*around, word)] for language in (0, 1))
        made.append((f"{seed}x{at}", " ".join(russian).capitalize() + "!", " ".join(english), word[2], word[3]))
    return made


def make_data(root: Path) -> Path:
    """Write published files of three sets, and lines without labels."""
    for name in ("goemotions", "ru_go_emotions", "cedr"):
        (root / name).mkdir()
    train, validation = rows(112, 1, FILLING), rows(56, 2, OTHERS)
    header = "id\tru_text\ten_text\tgoemotions_labels\tekman\n"
    table = "".join(f"{name}\t{russian}\t{english}\t{label}\t\n" for name, russian, english, label, _ in train)
    (root / "ru_go_emotions" / "train_part.tsv").write_text(header + table, encoding="utf-8")
    table = "".join(f"{russian},{english},[{number}],{name}\n" for name, russian, english, _, number in validation)
    (root / "ru_go_emotions" / "validation.csv").write_text("ru_text,text,labels,id\n" + table, encoding="utf-8")
    table = "".join(f"{english}\t{number}\t{name}\n" for name, _, english, _, number in train)
    (root / "goemotions" / "train.tsv").write_text(table, encoding="utf-8")
    (root / "cedr" / "cedr-main-train.csv").write_text(
        "text,labels\nРада,[0]\nСтрашно,[3]\nСтол,[]\n", encoding="utf-8"
    )
    lines = "".join(f"- так {russian} вот\n" for russian, *_ in WORDS)
    (root / "lines.txt").write_text(lines, encoding="utf-8")
    return root


def make_base(folder: Path, config: Any = BERT) -> Path:
    """Write an untrained encoder with a Unigram vocabulary of both languages."""
    words = [word for pair in [*((ru, en) for ru, en, _, _ in WORDS), *FILLING, *OTHERS] for word in pair]
    letters = sorted({letter for word in words for letter in word})
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "!", *(f"▁{word}" for word in words), *letters]
    inner = Tokenizer(Unigram([(piece, -float(at > 3)) for at, piece in enumerate(dict.fromkeys(pieces))], unk_id=3))
    inner.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.add_special_tokens({"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"})
    tokenizer.save_pretrained(folder)
    config.vocab_size = len(tokenizer)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def arguments(data: Path, base: Path, output: Path, settings: list[str]) -> list[str]:
    folders = [str(folder) for folder in sorted(data.iterdir()) if folder.is_dir()]
    return ["fit", "--data", *folders, "--base", str(base), "--output", str(output), "--set", *settings]
