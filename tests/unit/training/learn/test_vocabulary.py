"""A cut vocabulary reads Russian as before, and still reads everything."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram, WordLevel
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from training.learn.vocabulary import cut, pieces_to_keep

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
RUSSIAN = ["▁при", "вет", "▁как", "▁де", "ла", "▁", *"абвгдежзиклмнопрстуфхыья"]
FOREIGN = ["▁hello", "▁world", "lo", "的", "ة"]
OTHER = [*"helowrd", *"0123456789", ",", ".", "!", "?", "▁да"]
NAMED = {
    f"{name}_token": f"<{token}>"
    for name, token in {
        "bos": "s", "cls": "s", "eos": "/s", "sep": "/s", "unk": "unk", "pad": "pad", "mask": "mask",
    }.items()
}  # fmt: skip
PIECES = [*SPECIAL, *FOREIGN[:2], *RUSSIAN, *FOREIGN[2:], *OTHER]


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = [(piece, 0.0 if piece in SPECIAL else -2.0 - at / 50) for at, piece in enumerate(PIECES)]
    inner = Tokenizer(Unigram(vocabulary, unk_id=3))
    inner.normalizer = normalizers.Replace(" {2,}", " ")
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    inner.add_special_tokens([*SPECIAL, "<mask>"])
    inner.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, **NAMED)


def model(words: int) -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=words, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, pad_token_id=1
    )
    return BertForSequenceClassification(config).eval()


WHOLE = tokenizer()
MODEL = model(len(WHOLE))
UNCUT = model(len(WHOLE))
KEPT = pieces_to_keep(WHOLE, WHOLE("привет, как дела")["input_ids"])
SMALLER = cut(MODEL, WHOLE, KEPT)


def test_foreign_pieces_go_and_single_latin_letters_stay() -> None:
    kept = set(SMALLER.get_vocab())
    assert not kept & {"▁hello", "▁world", "lo", "的", "ة"}
    assert {*"helo", *"0123456789", "▁да", "<mask>"} <= kept
    assert sorted(SMALLER.get_vocab().values()) == list(range(len(KEPT)))


@given(st.text(alphabet="абвгдежзиклмнопрстуфхыья ,.!?0123456789", max_size=40))
def test_russian_gets_the_same_pieces(text: str) -> None:
    old = sorted(KEPT)
    assert [old[number] for number in SMALLER(text)["input_ids"]] == WHOLE(text)["input_ids"]


@given(st.text(max_size=40))
def test_any_text_gets_valid_ids(text: str) -> None:
    assert set(SMALLER(text)["input_ids"]) <= set(range(len(SMALLER)))


@pytest.mark.parametrize("text", ["привет как дела", "да, 42!", ""])
def test_the_model_answers_as_before(text: str) -> None:
    with torch.no_grad():
        before = UNCUT(**WHOLE(text, return_tensors="pt")).logits
        after = MODEL(**SMALLER(text, return_tensors="pt")).logits
    torch.testing.assert_close(after, before)


def test_special_tokens_keep_their_meaning() -> None:
    assert SMALLER.convert_ids_to_tokens(SMALLER("да")["input_ids"]) == ["<s>", "▁да", "</s>"]
    assert SMALLER.pad_token_id == MODEL.config.pad_token_id == MODEL.get_input_embeddings().padding_idx
    assert MODEL.config.vocab_size == len(SMALLER)


def test_a_tokenizer_that_is_not_unigram_stays_whole() -> None:
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"<unk>": 0, "да": 1}, "<unk>")))
    untouched = model(2)
    assert cut(untouched, words, {0}) is words
    assert untouched.get_input_embeddings().num_embeddings == 2
