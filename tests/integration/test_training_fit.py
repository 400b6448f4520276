"""`emotion-training` from published files to a bundle that plain transformers opens."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from services import wait_for
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    DebertaV2Config,
    DistilBertConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
    pipeline,
)

from schemas.bundle import MANIFEST, Manifest, read_manifest
from schemas.emotions import EMOTIONS
from training.cli import main

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
    *(f"learning.{setting}" for setting in ("batch_size=8", "learning_rate=2e-3", "epochs.ru_go_emotions=40")),
    *(f"learning.epochs.{setting}" for setting in ("goemotions=5", "other=2")),
    *(f"teaching.{setting}" for setting in ("learning_rate=2e-3", "batch_size=8", "folds=2", "seeds=1", "epochs=40")),
]
BRIEF = [*QUICK, "teaching.folds=0", "learning.epochs.ru_go_emotions=1", "learning.epochs.goemotions=1"]


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


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are faster on one thread, and by far so where the cores are busy with other things."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
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


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an untrained encoder with a Unigram vocabulary of both languages."""
    folder = tmp_path_factory.mktemp("base")
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
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        pad_token_id=1,
        initializer_range=0.2,  # A new encoder this small learns little from the usual 0.02.
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def arguments(data: Path, base: Path, output: Path, settings: list[str]) -> list[str]:
    folders = [str(folder) for folder in sorted(data.iterdir()) if folder.is_dir()]
    return ["fit", "--data", *folders, "--base", str(base), "--output", str(output), "--set", *settings]


def fit(data: Path, base: Path, output: Path, settings: list[str]) -> Manifest:
    with pytest.raises(SystemExit) as ended:
        main(arguments(data, base, output, settings))
    assert not ended.value.code
    return read_manifest((output / MANIFEST).read_bytes())


@pytest.fixture(scope="module")
def bundle(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("models") / "small"
    fit(data, base, output, [*QUICK, f"teaching.unlabelled=[{data / 'lines.txt'}]"])
    return output


def test_the_bundle_opens_with_a_plain_pipeline_and_finds_the_emotion(bundle: Path) -> None:
    classify: Any = pipeline("text-classification", model=str(bundle), top_k=None, function_to_apply="sigmoid")
    for word, _, label, _ in WORDS:
        [answers] = classify([f"ну вот {word}"])
        assert {answer["label"] for answer in answers} == set(EMOTIONS)
        assert answers[0]["label"] == label
        assert answers[0]["score"] > 0.5 > answers[1]["score"]


def test_the_manifest_is_one_the_worker_serves(bundle: Path, data: Path) -> None:
    manifest = read_manifest((bundle / MANIFEST).read_bytes())
    assert manifest.metrics["rows"] == {"cedr": 3, "goemotions": 112, "ru_go_emotions": 112, "dialogues": 7}
    for half in manifest.metrics["cross_fitted"]:
        assert half["measured"]["weighted_f1"] > 0.9
    assert str(data) not in (bundle / MANIFEST).read_text(encoding="utf-8")


def test_the_vocabulary_holds_no_english_words(bundle: Path, base: Path) -> None:
    kept = AutoTokenizer.from_pretrained(bundle).get_vocab()
    assert "▁angry" in AutoTokenizer.from_pretrained(base).get_vocab()
    assert "▁angry" not in kept
    assert "▁злюсь" in kept


def test_nothing_is_left_beside_the_bundle(bundle: Path) -> None:
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_labels_alone_do_too(data: Path, base: Path, tmp_path: Path) -> None:
    assert fit(data, base, tmp_path / "plain", BRIEF).metrics["rows"]["goemotions"] == 112


def test_a_run_that_was_killed_goes_on_to_the_same_figures(data: Path, base: Path, tmp_path: Path) -> None:
    settings = [*QUICK, "teaching.epochs=4"]
    whole = fit(data, base, tmp_path / "whole" / "small", settings)
    cut_off = tmp_path / "cut" / "small"
    command = [sys.executable, "-m", "training.cli", *arguments(data, base, cut_off, settings)]
    checkpoints = cut_off.parent / ".small.checkpoints"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        wait_for(lambda: next(checkpoints.glob("student/checkpoint-*/trainer_state.json"), None), 120)
        run.kill()
    assert not cut_off.exists()
    teachers = {path: path.stat().st_mtime_ns for path in checkpoints.glob("teacher-*.npy")}
    assert len(teachers) == 2

    resumed = fit(data, base, cut_off, settings)

    # Half precision in the weights and in the order of sums: equal to three decimals.
    for one, other in zip(whole.metrics["cross_fitted"], resumed.metrics["cross_fitted"], strict=True):
        assert one["measured"]["weighted_f1"] == pytest.approx(other["measured"]["weighted_f1"], abs=1e-3)
    assert not checkpoints.exists()


def test_torchrun_fits_on_several_processes(data: Path, base: Path, tmp_path: Path) -> None:
    output = tmp_path / "shared"
    settings = [*QUICK, "teaching.epochs=1", "learning.epochs.ru_go_emotions=5"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*launch, "training.cli", *arguments(data, base, output, settings)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.count("holds shared-") == 1, "one of the two writes"
    assert read_manifest((output / MANIFEST).read_bytes()).metrics["rows"]["ru_go_emotions"] == 112


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_a_search_goes_on_where_it_was_and_writes_a_recipe_that_fits(data: Path, base: Path, tmp_path: Path) -> None:
    space, study, recipe, best = (tmp_path / name for name in ("space.yaml", "study.db", "recipe.yaml", "best.yaml"))
    space.write_text("learning.learning_rate: {low: 1.0e-5, high: 3.0e-3, log: true}\n", encoding="utf-8")
    folders = [str(data / name) for name in ("goemotions", "ru_go_emotions")]
    recipe.write_text(
        f"data: {folders}\nlearning: {{batch_size: 8, epochs: {{ru_go_emotions: 4, goemotions: 1}}}}\n"
        "teaching: {folds: 0}\n",
        encoding="utf-8",
    )
    words = ["search", "--space", space, "--study", study, "--output", best, "--recipe", recipe, "--base", base]
    assert run(*words, "--trials", 2) == 0
    assert run(*words, "--trials", 3) == 0
    trials = optuna.load_study(study_name="study", storage=f"sqlite:///{study}").trials
    assert len(trials) == 3
    chosen = max((trial for trial in trials if trial.value is not None), key=lambda trial: trial.value or 0)
    written = yaml.safe_load(best.read_text(encoding="utf-8"))
    assert written["learning"]["learning_rate"] == pytest.approx(chosen.params["learning.learning_rate"])
    assert run("fit", "--recipe", best, "--output", tmp_path / "fitted") == 0


def test_a_push_can_be_tried_without_the_hub(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("push", "--model", bundle, "--repository", "me/small", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "model.safetensors" in said
    assert "would go to me/small" in said
    assert run("push", "--model", bundle, "--repository", "me/two/many", "--dry-run") == 2
    assert run("push", "--model", bundle.parent, "--repository", "me/small", "--dry-run") == 2


def test_an_export_lies_in_the_bundle(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    assert run("export", "--model", copy, "--onnx", "--int8") == 0
    assert (copy / "model.int8.onnx").is_file()
    assert run("export", "--model", copy) == 2


TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "pad_token_id": 1}
ENCODERS = [
    RobertaConfig(**TINY, max_position_embeddings=80),
    XLMRobertaConfig(**TINY, max_position_embeddings=80),
    DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, pad_token_id=1),
    DebertaV2Config(**TINY, pos_att_type=["p2c", "c2p"], relative_attention=True),
    ModernBertConfig(**TINY, cls_token_id=0, sep_token_id=2, bos_token_id=0, eos_token_id=2),
]


@pytest.mark.parametrize("config", ENCODERS, ids=lambda config: config.model_type)
def test_any_encoder_can_be_the_base(config: Any, data: Path, base: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(tmp_path / "base")
    config.vocab_size = len(tokenizer)
    AutoModel.from_config(config).save_pretrained(tmp_path / "base")
    fit(data, tmp_path / "base", tmp_path / "fitted", BRIEF)
    classify: Any = pipeline("text-classification", model=str(tmp_path / "fitted"), top_k=None)
    assert {answer["label"] for answer in classify(["ну вот"])[0]} == set(EMOTIONS)


@pytest.mark.parametrize(
    "settings",
    [
        ["learning.loss=focal", "learning.class_weights=balanced", "learning.optimizer=adafactor"],
        ["learning.loss=asymmetric", "learning.schedule=cosine", "learning.ema=0.9", "learning.dropout=0.3"],
        ["augmentation.noisy=0.3", "augmentation.emoji=0.5", "augmentation.synthetic={fear: 20, disgust: 20}"],
    ],
)
def test_options_of_learning_and_augmentation_hold(settings: list[str], data: Path, base: Path, tmp_path: Path) -> None:
    assert fit(data, base, tmp_path / "fitted", [*BRIEF, *settings]).metrics["learning_curve"]


def test_another_model_may_teach(bundle: Path, data: Path, base: Path, tmp_path: Path) -> None:
    fit(data, base, tmp_path / "taught", [*BRIEF, f"teaching.models=[{bundle}]"])


def test_a_row_that_repeats_an_evaluation_row_is_refused(data: Path, base: Path, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    leak = (data / "ru_go_emotions" / "validation.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    table.write_text(f"text,emotions\n{leak.upper()},joy\nсовсем другие слова,anger\n", encoding="utf-8")
    both = tmp_path / "both"
    both.mkdir()
    (both / "ru_go_emotions").symlink_to(data / "ru_go_emotions")
    words = arguments(both, base, tmp_path / "own", BRIEF)
    words.insert(words.index("--data") + 1, str(table))
    with pytest.raises(SystemExit):
        main(words)
    assert read_manifest((tmp_path / "own" / MANIFEST).read_bytes()).metrics["rows"]["own"] == 1


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"--data": "nowhere/nothing"}, "neither a folder nor a set"),
        ({"--base": "/nonexistent"}, "cannot be opened as an encoder"),
        ({"--output": "."}, "exists"),
        ({"--set": "learning.epoch=3"}, "learning.epoch: extra inputs are not permitted"),
        ({"--set": "learning.optimizer=newton"}, "newton"),
        ({"--recipe": "large"}, "neither a file nor one of the recipes here: ru-emotions-small"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_code_2(
    *, wrong: dict[str, str], complaint: str, data: Path, base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"--data": str(data), "--base": str(base), "--output": str(tmp_path / "new"), **wrong}
    with pytest.raises(SystemExit) as ended:
        main(["fit", *(word for pair in given.items() for word in pair)])
    assert ended.value.code == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("emotion-training: ")
    assert complaint in last
    assert not (tmp_path / "new").exists()
