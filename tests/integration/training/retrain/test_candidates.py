"""A retraining tries the champion, tuned to the labels, beside the fit; the encoder is tiny, the rest is real."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from bundles import make_bundle
from msgspec.structs import replace
from sqlalchemy import Engine, select
from test_retrain import QUICK, labels

from registry.contents import manifest_at
from registry.onnx_export import export_onnx
from registry.versions import by_version
from schemas.bundle import KNOWN_TEXTS, MANIFEST, ONNX
from schemas.emotions import EMOTIONS
from schemas.tables import training_runs
from training.cli import main
from training.database import connect
from training.label_files.label import Label
from training.labels.table import store
from training.retrain.run import retrain
from training.retrain.run_history import learnt_labels
from training.retrain.settings import read_settings
from training.signals import StopSignal

TIMID = ["learning.learning_rate=1e-7", "learning.epochs.other=1"]


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = connect(postgres_url)
    yield engine
    engine.dispose()


def details(engine: Engine, run: int) -> dict[str, Any]:
    with engine.connect() as connection:
        query = select(training_runs.c.details).where(training_runs.c.id == run)
        found: dict[str, Any] = connection.execute(query).scalar_one()
        return found


def spoilt_champion(folder: Path, said: Sequence[Label]) -> Path:
    """Fit a model that knows what every word says, and give it thresholds that its scores hardly reach."""
    make_bundle(folder / "made")
    table = folder / "mine.csv"
    rows = [f"{each.text},{each.emotions[0]},{('train', 'validation')[at % 8 == 0]}" for at, each in enumerate(said)]
    table.write_text("\n".join(["text,emotions,split", *rows]), encoding="utf-8")
    given = {"--data": table, "--base": folder / "made", "--output": folder / "spoilt"}
    options = [word for name, value in given.items() for word in (name, str(value))]
    learning = [setting for setting in QUICK if setting.startswith("learning")]
    with pytest.raises(SystemExit) as ended:
        main(["fit", *options, "--set", *learning, "warm_start=true", "measured=mine", "teaching.folds=0"])
    assert not ended.value.code
    far = replace(
        manifest_at(str(folder / "spoilt")),
        version="spoilt",
        thresholds=dict.fromkeys(EMOTIONS, 0.9999),
        metrics={"rows": {"ru_go_emotions": 9}},
        created_at="2026-01-01T00:00:00Z",
    )
    (folder / "spoilt" / MANIFEST).write_bytes(far.encode())
    # As if it had learnt the words from other texts.
    (folder / "spoilt" / KNOWN_TEXTS).unlink()
    export_onnx(folder / "spoilt", int8=False)
    return folder / "spoilt"


def test_where_tuning_alone_passes_the_gate_the_tuned_champion_is_promoted(engine: Engine, tmp_path: Path) -> None:
    """The champion's network is good and its thresholds are far off; the fit learns next to nothing."""
    spoilt = spoilt_champion(tmp_path, labels(280))
    folders = {"work": tmp_path / "work", "store": str(tmp_path / "store")}
    store(engine, labels(350))
    settings = read_settings(None, [*QUICK, *TIMID], champion=spoilt, **folders)
    outcome = retrain(settings, engine, StopSignal(), force=True)
    assert (outcome.state, str(outcome.version).startswith("tuned-retrained-")) == ("promoted", True)
    told = details(engine, outcome.run)
    assert told["tuned"]["candidate"]
    assert told["tuned"]["labels"] > 200, "what teaches tunes too, for the network has learnt nothing of this table"
    assert {name: verdict["promoted"] for name, verdict in told["verdicts"].items()} == {
        "tuned-retrained": True,
        "retrained": False,
    }
    [latency] = [check for check in told["verdict"]["checks"] if check["name"] == "latency (s)"]
    assert latency["champion"] == latency["candidate"], "one network takes one time"
    bundle = Path(folders["store"]) / str(outcome.version)
    assert manifest_at(str(bundle)).metrics["tuned"]["from"] == "spoilt"
    assert (bundle / ONNX).is_file()

    with engine.connect() as connection:
        row = by_version(connection, str(outcome.version))
    assert row is not None
    known = learnt_labels(engine, row)
    assert (known.until.isoformat(), known.network) == (told["snapshot"]["taken_at"], False)
    assert known.whole == ["ru_go_emotions"]
    again = retrain(settings, engine, StopSignal())
    assert (again.state, again.reason.startswith(f"0 labels are new since {outcome.version}")) == ("skipped", True)
