"""Token ids by words are those of the tokenizer itself, and fall back to it where words depend on each other."""

import string
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import worker.tokens
from schemas.normalization import normalize
from worker.tokens import Tokens

LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюя" + string.ascii_lowercase + string.digits + ".,!?-()"
PIECES = ["▁да", "▁нет", "▁не", "▁я", "аю", "ет", "▁очень", "стр", "анно", "..", "▁не▁знаю"]


def framed(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with a start and an end around each text."""
    tokenizer.add_special_tokens(["<s>", "</s>"])
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    return tokenizer


def unigram(pre_tokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    vocabulary = [("<unk>", 0.0), ("▁", -3.0), *((letter, -9.0) for letter in LETTERS)]
    vocabulary += [(piece, -2.0 - 0.1 * number) for number, piece in enumerate(PIECES)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizer
    return framed(tokenizer)


def by_pieces() -> Tokenizer:
    """Splits at spaces first, as the tokenizers of the XLM-RoBERTa family do."""
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return unigram(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace]))


def across_spaces() -> Tokenizer:
    """Knows pieces of more than one word."""
    return unigram(pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False))


def by_bytes() -> Tokenizer:
    """Byte-level BPE: a word within a text carries the space before it, the first one has none."""
    alphabet = {symbol: number for number, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return framed(tokenizer)


def own_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text).ids)


INDEPENDENT = by_pieces()
TOKENS = Tokens(by_pieces(), 100_000)


def test_it_finds_out_that_words_are_independent() -> None:
    assert TOKENS.by_words


@pytest.mark.parametrize("make", [across_spaces, by_bytes])
def test_it_finds_out_that_words_depend_on_each_other(make: Callable[[], Tokenizer]) -> None:
    assert not Tokens(make(), 100).by_words


SPOKEN = st.lists(st.sampled_from(["да", "нет", "не", "знаю,", "очень-очень", "странно!", "12", "wi-fi", "▁", "ё"]))


@given(st.text() | st.text(LETTERS + " ▁Ё\n") | SPOKEN.map(" ".join))
@example("")
@example("да ▁нет ▁ да▁")
def test_the_ids_of_any_normalized_text_are_the_tokenizers_own(received: str) -> None:
    text = normalize(received)
    assert TOKENS([text]) == [own_ids(INDEPENDENT, text)]


@pytest.mark.parametrize("make", [across_spaces, by_bytes])
@pytest.mark.parametrize("text", ["", "не знаю, очень странно", "да нет 12"])
def test_where_words_depend_on_each_other_each_text_goes_through_the_tokenizer(
    make: Callable[[], Tokenizer], text: str
) -> None:
    assert Tokens(make(), 100)([text]) == [own_ids(make(), text)]


def test_texts_keep_their_order() -> None:
    texts = ["да", "", "не знаю", "да"]
    assert TOKENS(texts) == [own_ids(INDEPENDENT, text) for text in texts]


@pytest.mark.parametrize("make", [by_pieces, across_spaces, by_bytes])
@pytest.mark.parametrize("limit", [3, 7, 50])
def test_a_long_text_loses_its_end_but_not_what_closes_it(make: Callable[[], Tokenizer], limit: int) -> None:
    text = "очень странно " * 40
    whole = own_ids(make(), text.strip())
    [ids] = Tokens(make(), limit)([text.strip()])
    assert ids == [*whole[: limit - 1], whole[-1]]
    assert len(ids) == limit


def test_a_text_of_just_the_longest_length_is_whole() -> None:
    whole = own_ids(INDEPENDENT, "не знаю")
    assert Tokens(by_pieces(), len(whole))(["не знаю"]) == [whole]


def test_truncation_and_padding_that_the_tokenizer_came_with_are_off() -> None:
    tokenizer = by_pieces()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    text = "очень странно, не знаю"
    assert Tokens(tokenizer, 100)([text]) == [own_ids(INDEPENDENT, text)]


def test_a_tokenizer_without_special_tokens_adds_none() -> None:
    tokenizer = by_pieces()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    assert Tokens(tokenizer, 100)(["да", ""]) == [own_ids(INDEPENDENT, "да")[1:-1], []]


def test_a_repeated_word_is_tokenized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(by_pieces(), 100)
    learned: list[str] = []
    learn = tokens._learn

    def note(word: str) -> list[int]:
        learned.append(word)
        return learn(word)

    monkeypatch.setattr(tokens, "_learn", note)
    tokens(["пока да пока", "пока"])
    assert learned == ["пока", "да"]


def test_the_memory_of_words_is_bounded_and_starting_anew_changes_no_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.tokens, "_MOST_WORDS", 5)
    tokens = Tokens(by_pieces(), 100_000)
    text = " ".join(f"слово{number}" for number in range(100))
    for _ in range(2):
        assert tokens([text]) == [own_ids(INDEPENDENT, text)]
        assert len(tokens._words) <= 5
