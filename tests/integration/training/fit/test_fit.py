"""`emotion-training` from published files to a bundle that plain transformers opens."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import TORCHRUN, TRAINING, told_error
from fits import BRIEF, ENCODERS, FILLING, OTHERS, QUICK, WORDS, arguments, make_base, rows
from services import wait_for
from transformers import AutoTokenizer, pipeline

from schemas.bundle import KNOWN_TEXTS, MANIFEST, Manifest, read_manifest
from schemas.emotions import EMOTIONS
from training.cli import main
from training.data.known_texts import known_texts, tells_all
from training.data.splits import identity
from training.evaluate.behaviour import guarded_lines


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


def test_the_bundle_knows_the_texts_that_it_learnt_and_was_tuned_on_and_quotes_none(bundle: Path) -> None:
    known, manifest = known_texts(str(bundle)), read_manifest((bundle / MANIFEST).read_bytes())
    learnt = [*rows(112, 1, FILLING), *rows(56, 2, OTHERS)]
    assert all(known.holds(identity(russian.upper())) for _, russian, *_ in learnt)
    assert not known.holds(identity("чего никто не говорил"))
    assert tells_all(manifest.metrics)
    assert "злюсь" not in (bundle / KNOWN_TEXTS).read_bytes().decode("utf-8", "ignore")


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
    command = [TRAINING, *arguments(data, base, cut_off, settings)]
    checkpoints = cut_off.parent / ".small.checkpoints"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        wait_for(lambda: next(checkpoints.glob("student/checkpoint-*/trainer_state.json"), None))
        run.kill()
    assert not cut_off.exists()
    teachers = {path: path.stat().st_mtime_ns for path in checkpoints.glob("teacher-*.npy")}
    assert len(teachers) == 2
    half = checkpoints / "student" / "checkpoint-9999"  # What a kill leaves that comes while one is written.
    half.mkdir()
    (half / "trainer_state.json").write_text("{", encoding="utf-8")

    resumed = fit(data, base, cut_off, settings)

    # Half precision in the weights and in the order of sums: equal to three decimals.
    for one, other in zip(whole.metrics["cross_fitted"], resumed.metrics["cross_fitted"], strict=True):
        assert one["measured"]["weighted_f1"] == pytest.approx(other["measured"]["weighted_f1"], abs=1e-3)
    assert not checkpoints.exists()


def test_torchrun_fits_on_several_processes(data: Path, base: Path, tmp_path: Path) -> None:
    output = tmp_path / "shared"
    settings = [*QUICK, "teaching.epochs=1", "learning.epochs.ru_go_emotions=5"]
    (tmp_path / "schemas.py").write_text("raise SystemExit('a module of the working folder was imported')")
    launch = [TORCHRUN, "--standalone", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run(
        [*launch, TRAINING, *arguments(data, base, output, settings)],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.count("holds shared-") == 1, "one of the two writes"
    metrics = read_manifest((output / MANIFEST).read_bytes()).metrics
    assert metrics["rows"]["ru_go_emotions"] == 112
    assert metrics["learning_curve"][0]["loss"] < 1.2, "a mean over rows, however many processes share them"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_a_push_can_be_tried_without_the_hub(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("push", "--model", bundle, "--repository", "me/small", "--own-labels", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "model.safetensors" in said
    assert "would go to me/small, private" in said
    assert run("push", "--model", bundle, "--repository", "me/small", "--dry-run") == 2
    assert "has learnt dialogues: texts of your own can leak" in capsys.readouterr().err
    assert run("push", "--model", bundle, "--repository", "me/two/many", "--own-labels", "--dry-run") == 2
    assert run("push", "--model", bundle.parent, "--repository", "me/small", "--dry-run") == 2


def test_a_bundle_names_no_folder_of_this_machine(bundle: Path, data: Path, base: Path) -> None:
    for file in bundle.iterdir():
        for folder in (data, base, bundle.parent):
            assert str(folder).encode() not in file.read_bytes(), file.name
    assert read_manifest((bundle / MANIFEST).read_bytes()).base_model == base.name


def test_an_export_lies_in_the_bundle(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    assert run("export", "--model", copy, "--onnx", "--int8") == 0
    assert (copy / "model.int8.onnx").is_file()
    assert run("export", "--model", copy) == 2


@pytest.mark.parametrize("config", ENCODERS, ids=lambda config: config.model_type)
def test_any_encoder_can_be_the_base(config: Any, data: Path, tmp_path: Path) -> None:
    fit(data, make_base(tmp_path / "base", config), tmp_path / "fitted", BRIEF)
    classify: Any = pipeline("text-classification", model=str(tmp_path / "fitted"), top_k=None)
    assert {answer["label"] for answer in classify(["ну вот"])[0]} == set(EMOTIONS)


@pytest.mark.parametrize(
    "settings",
    [
        ["learning.loss=focal", "learning.class_weights=balanced", "learning.optimizer=adafactor"],
        ["learning.loss=asymmetric", "learning.schedule=cosine", "learning.ema=0.9", "network.head_dropout=0.3"],
        ["augmentation.noisy=0.3", "augmentation.emoji=0.5", "augmentation.synthetic={fear: 20, disgust: 20}"],
    ],
)
def test_options_of_learning_and_augmentation_hold(settings: list[str], data: Path, base: Path, tmp_path: Path) -> None:
    assert fit(data, base, tmp_path / "fitted", [*BRIEF, *settings]).metrics["learning_curve"]


def test_a_row_that_repeats_an_evaluation_row_or_a_line_of_behaviour_is_refused(
    data: Path, base: Path, tmp_path: Path
) -> None:
    table = tmp_path / "own.csv"
    leak = (data / "ru_go_emotions" / "validation.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    test = "этого прежде никто не слышал"
    behaviour = guarded_lines().texts[0]
    table.write_text(
        f"text,emotions,split\n{leak.upper()},joy,train\nсовсем другие слова,anger,train\n"
        f"{test},joy,test\n{test.upper()},joy,train\n{behaviour},joy,train\n",
        encoding="utf-8",
    )
    both = tmp_path / "both"
    both.mkdir()
    (both / "ru_go_emotions").symlink_to(data / "ru_go_emotions")
    words = arguments(both, base, tmp_path / "own", [*BRIEF, "convention=public"])
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
        ({"--recipe": "large"}, "neither a file nor one of the recipes here: "),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_code_2(
    *, wrong: dict[str, str], complaint: str, data: Path, base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"--data": str(data), "--base": str(base), "--output": str(tmp_path / "new"), **wrong}
    with pytest.raises(SystemExit) as ended:
        main(["fit", *(word for pair in given.items() for word in pair)])
    assert ended.value.code == 2
    assert complaint in told_error(capfd.readouterr().err)
    assert not (tmp_path / "new").exists()
