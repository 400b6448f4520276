"""`emotion-training gate` judges any two bundles as a retraining would."""

import json
from pathlib import Path

import pytest
from bundles import BOTH, TEXTS, make_bundle
from services import as_role

from registry.publish import register
from schemas.access import TRAINER
from schemas.bundle import KNOWN_TEXTS
from schemas.emotions import EMOTIONS
from training.cli import main
from training.commands.gate import REJECTED
from training.data.known_texts import KnownTexts
from training.data.text_forms import as_spoken
from training.database import connect
from training.evaluate.predictor import open_served

SAID = [f"{said} {number}" for number in range(50) for said in TEXTS[:6]]


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, Path]:
    """One network: once nearly nothing is assigned, once what is as likely as not."""
    made = (
        Path(make_bundle(tmp_path / name, version=name, thresholds=dict.fromkeys(EMOTIONS, threshold)))
        for name, threshold in (("shy", 0.9), ("fair", 0.5))
    )
    shy, fair = made
    return shy, fair


@pytest.fixture
def labels(bundles: tuple[Path, Path], tmp_path: Path) -> Path:
    """A table of labels that are what the second bundle says."""
    served = open_served(bundles[1])
    assigned = served.rule.assign(served.scores(served.logits([as_spoken(said) for said in SAID])))
    lines = [
        json.dumps({"text": said, "emotions": [name for name, there in zip(EMOTIONS, row, strict=True) if there]})
        for said, row in zip(SAID, assigned.tolist(), strict=True)
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "labels.jsonl"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["gate", *map(str, words)])
    return int(ended.value.code or 0)


def test_the_better_bundle_would_take_the_others_place_and_not_the_other_way_round(
    bundles: tuple[Path, Path], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shy, fair = bundles
    assert run(shy, fair, "--data", labels, "--json", tmp_path / "verdict.json") == 0
    assert capsys.readouterr().out.startswith("promote: surely better")
    verdict = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert (verdict["promoted"], verdict["rows"]) == (True, len(SAID))
    assert run(fair, shy, "--data", labels) == REJECTED == 1
    assert capsys.readouterr().out.startswith("reject: rejected for ")
    assert run(shy, fair, "--data", labels, "--set", "gate.margin=0.99") == REJECTED


def test_texts_that_either_has_learnt_do_not_judge(
    bundles: tuple[Path, Path], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shy, fair = bundles
    (fair / KNOWN_TEXTS).write_bytes(KnownTexts.of(SAID[:100]).encode())
    (shy / KNOWN_TEXTS).write_bytes(KnownTexts.of(SAID[100:120]).encode())
    assert run(shy, fair, "--data", labels, "--json", tmp_path / "verdict.json") == 0
    assert json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))["rows"] == len(SAID) - 120
    (shy / KNOWN_TEXTS).write_bytes(KnownTexts.of(SAID).encode())
    assert run(shy, fair, "--data", labels) == 2
    assert "have learnt all of these texts" in capsys.readouterr().err


def test_all_rows_of_a_table_judge_whatever_their_split(
    bundles: tuple[Path, Path], labels: Path, tmp_path: Path
) -> None:
    """A retraining's snapshot calls its rows `holdout`."""
    splits = ("holdout", "train", "validation", "test")
    rows = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps({**row, "split": splits[at % 4]}) for at, row in enumerate(rows)]
    labels.write_text("\n".join(lines), encoding="utf-8")
    assert run(*bundles, "--data", labels, "--json", tmp_path / "verdict.json") == 0
    assert json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))["rows"] == len(SAID)


def test_a_folder_that_holds_no_bundle_is_named(
    bundles: tuple[Path, Path], labels: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TRAINING_DATABASE_URL", "WORKER_DATABASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert run("nope", bundles[1], "--data", labels) == 2
    assert "nope is no bundle's folder, and no version can be looked up: set TRAINING_DATABASE_URL" in (
        capsys.readouterr().err
    )


def test_a_version_of_the_registry_does_as_well_as_a_folder(
    bundles: tuple[Path, Path], labels: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    engine = connect(postgres_url)
    register(engine, bundles[0], str(tmp_path / "store"))
    engine.dispose()
    assert run("shy", bundles[1], "--data", labels) == 0
    assert run("shi", bundles[1], "--data", labels) == 2


def test_labels_of_another_convention_are_refused(
    bundles: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = make_bundle(tmp_path / "calls", version="calls", **BOTH)
    assert run(bundles[0], calls, "--data", "calls") == 2
    assert "ru_calls follows the convention calls, and the first model serves public" in capsys.readouterr().err
