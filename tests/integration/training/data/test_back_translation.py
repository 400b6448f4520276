"""Texts through a tiny random MarianMT model and back, with a cache that outlives a kill."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
import sentencepiece
import torch
from services import wait_for
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

from training.data.augment.back_translation import back_translate
from training.errors import UnusableModel, UnusableOutput

TEXTS = [
    "мне очень страшно",
    "Какая гадость, больше сюда не приду!",
    "спасибо, всё хорошо",
    "i am so happy today",
    "where is my order",
]
MANY = [f"{text} номер {number}" for number in range(60) for text in TEXTS]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model for there and one for back, random and tiny, with a tokenizer of these texts."""
    root = tmp_path_factory.mktemp("marian")
    pieces = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(MANY), model_writer=pieces, vocab_size=120, hard_vocab_limit=False, minloglevel=2
    )
    (root / "pieces.spm").write_bytes(pieces.getvalue())
    read = sentencepiece.SentencePieceProcessor(model_proto=pieces.getvalue())
    words = ["</s>", "<unk>", *(read.id_to_piece(at) for at in range(3, read.get_piece_size())), "<pad>"]
    (root / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    spm = str(root / "pieces.spm")
    tokenizer = MarianTokenizer(spm, spm, str(root / "vocab.json"), source_lang="ru", target_lang="en")
    for seed, name in enumerate(("there", "back")):
        torch.manual_seed(seed)
        MarianMTModel(_config(len(words))).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {"there": str(root / "there"), "back": str(root / "back")}


def _config(words: int) -> MarianConfig:
    return MarianConfig(
        vocab_size=words,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        eos_token_id=0,
        forced_eos_token_id=0,
        pad_token_id=words - 1,
        decoder_start_token_id=words - 1,
        init_std=1.0,
    )


def cached(cache: Path) -> list[str]:
    """The translations in a cache, in the order of their keys."""
    with closing(sqlite3.connect(cache)) as file:
        return [text for (text,) in file.execute("SELECT text FROM translations ORDER BY key")]


def test_each_text_comes_back_in_its_place(models: dict[str, str], tmp_path: Path) -> None:
    texts = [*TEXTS, "", "  ", TEXTS[0]]
    translated = back_translate(texts, tmp_path / "cache", batch_size=2, device="cpu", **models)
    assert len(translated) == len(texts)
    assert translated[0] == translated[-1]
    assert translated[5:7] == ["", ""]
    assert len(set(translated[:5])) > 1
    alone = [back_translate([text], tmp_path / "other", device="cpu", **models)[0] for text in TEXTS]
    assert alone == translated[:5]


def test_a_second_call_needs_no_model(models: dict[str, str], tmp_path: Path) -> None:
    gone = {name: shutil.copytree(folder, tmp_path / name) for name, folder in models.items()}
    names = {name: str(folder) for name, folder in gone.items()}
    first = back_translate(TEXTS, tmp_path / "cache", device="cpu", **names)
    for folder in gone.values():
        shutil.rmtree(folder)
    assert back_translate(TEXTS[::-1], tmp_path / "cache", device="cpu", **names) == first[::-1]
    with pytest.raises(UnusableModel, match="there cannot be opened as a translation model"):
        back_translate(["another text"], tmp_path / "cache", device="cpu", **names)


def test_other_models_have_translations_of_their_own(models: dict[str, str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    back_translate(TEXTS, cache, device="cpu", **models)
    back_translate(TEXTS, cache, there=models["back"], back=models["there"], device="cpu")
    assert len(cached(cache)) == 2 * len(TEXTS)


def test_what_was_translated_before_a_kill_is_kept(models: dict[str, str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    code = (
        "import json, sys; from pathlib import Path; "
        "from training.data.augment.back_translation import back_translate; "
        "texts, cache, models = json.loads(sys.argv[1]); "
        "back_translate(texts, Path(cache), batch_size=1, device='cpu', **models)"
    )
    command = [sys.executable, "-c", code, json.dumps([MANY, str(cache), models])]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        wait_for(lambda: run.poll() is not None or _count(cache) >= 3, "translations")
        assert run.poll() is None, "the run ended before it was killed"
        run.kill()
    kept = len(cached(cache))
    assert 3 <= kept < len(MANY)
    with closing(sqlite3.connect(cache)) as file, file:
        file.execute("UPDATE translations SET text = 'kept'")
    translated = back_translate(MANY, cache, device="cpu", **models)
    assert translated.count("kept") == kept
    assert len(cached(cache)) == len(MANY)


def _count(cache: Path) -> int:
    try:
        return len(cached(cache)) if cache.exists() else 0
    except sqlite3.OperationalError:  # The table is just being made, or the file is locked.
        return 0


def test_a_name_that_is_no_model_is_refused_and_nothing_is_translated(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="nowhere cannot be opened as a translation model"):
        back_translate(["да"], tmp_path / "cache", there=str(tmp_path / "nowhere"), device="cpu")
    assert cached(tmp_path / "cache") == []


@pytest.mark.parametrize("content", [b"no database at all" * 99, None])
def test_a_file_that_is_no_cache_is_refused_and_left_as_it_is(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UnusableOutput, match=r"notes.txt cannot hold the translations .* name another file"):
        back_translate(["да"], path)
    assert content is None or path.read_bytes() == content


def test_without_sentencepiece_the_error_says_what_to_install(models: dict[str, str], tmp_path: Path) -> None:
    # In a process of its own: here, transformers may have the tokenizer already.
    program = (
        "import sys; sys.modules['sentencepiece'] = None\n"
        "from training.data.augment.back_translation import back_translate\n"
        f"back_translate(['да'], __import__('pathlib').Path({str(tmp_path / 'cache')!r}), device='cpu', **{models!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert "UserError: back-translation needs the packages sentencepiece and sacremoses: pip install" in done.stderr
