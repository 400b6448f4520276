"""Token ids by words are those of the tokenizer itself, and fall back to it where words depend on each other."""

import string
from collections.abc import Callable
from sys import getsizeof

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import worker.inference.tokenizer
from schemas.normalization import normalize
from worker.inference.tokenizer import Tokens

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
def test_a_long_text_becomes_windows_of_nearly_one_length_that_lose_no_token(
    make: Callable[[], Tokenizer], limit: int
) -> None:
    text = "очень странно " * 40
    first, *inner, last = own_ids(make(), text.strip())
    windows, counts = Tokens(make(), limit).windows(["да", text.strip(), ""])
    long = windows[counts[0] : -1]
    assert len(long) == counts[1] == -(-len(inner) // (limit - 2))
    assert all(ids[0] == first and ids[-1] == last and len(ids) <= limit for ids in windows)
    assert [token for ids in long for token in ids[1:-1]] == inner
    assert max(map(len, long)) - min(map(len, long)) <= 1


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


WORDS = st.text(LETTERS, min_size=1, max_size=90)


@given(texts=st.lists(st.lists(WORDS | st.sampled_from(PIECES), max_size=8).map(" ".join), max_size=40))
def test_words_take_no_more_bytes_than_they_may_and_ids_stay_the_tokenizers_own(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.inference.tokenizer, "_MOST_BYTES", 6_000)
        tokens = Tokens(by_pieces(), 100_000)
        for text in [*texts, *texts]:
            assert tokens([text]) == [own_ids(INDEPENDENT, text)]
            known = tokens._words.items()
            taken = sum(getsizeof(word) + getsizeof(ids) + sum(map(getsizeof, ids)) for word, ids in known)
            assert taken <= tokens._bytes <= 6_000


def test_what_is_too_long_for_a_word_is_not_remembered_and_pushes_nothing_out() -> None:
    tokens = Tokens(by_pieces(), 100_000)
    tokens(["да нет"])
    known = set(tokens._words)
    text = " ".join(letter * 2_000 for letter in "абвгд")
    assert tokens([text]) == [own_ids(INDEPENDENT, text)]
    assert set(tokens._words) == known


def test_when_the_words_are_full_all_are_forgotten_and_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(by_pieces(), 100_000)
    tokens([" ".join(f"слово{number}" for number in range(100))])
    monkeypatch.setattr(worker.inference.tokenizer, "_MOST_BYTES", tokens._bytes)
    tokens(["иное"])
    assert set(tokens._words) == {"иное"}
    assert tokens(["слово7 иное"]) == [own_ids(INDEPENDENT, "слово7 иное")]
