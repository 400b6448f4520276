"""A retraining, from the labels in the table to a champion or to none; the encoder is tiny, the rest is real."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from bundles import WORDS, make_bundle
from fits import make_base
from sqlalchemy import Engine, select

from registry.locations import manifest_at
from schemas.bundle import MANIFEST, read_manifest
from schemas.emotions import EMOTIONS
from schemas.tables import training_runs
from training.cli import main
from training.database import connect
from training.labels.label import Label
from training.labels.table import store
from training.registry import champion, promote, register, versions
from training.report import evaluate
from training.retrain import retrain
from training.retrain_settings import read_settings
from training.stopping import Interrupted, StopSignal

pytestmark = pytest.mark.usefixtures("one_thread")

SAYS = dict(zip(EMOTIONS, WORDS[-7:], strict=True))
FILLING = WORDS[1:13]
QUICK = ["learning.learning_rate=2e-3", "learning.batch_size=16", "learning.epochs.other=12", "gate.growth=100"]


def labels(count: int, **fields: Any) -> list[Label]:
    """Labels of distinct texts, each with a word that says which emotion it carries."""
    around = list(combinations(FILLING, 3))
    random.Random(0).shuffle(around)
    made = []
    for at in range(count):
        times, place = divmod(at, len(around))
        emotion = EMOTIONS[(at + times) % len(EMOTIONS)]
        made.append(
            Label(text=" ".join([*around[place], SAYS[emotion]]), emotions=(emotion,), origin="calls", **fields)
        )
    return made


@pytest.fixture
def engine(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
    engine = connect(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Any]:
    """Where a run works and stores, and a champion that knows nothing."""
    make_bundle(tmp_path / "made", version="first", created_at="2026-01-01T00:00:00Z")
    return {"work": tmp_path / "work", "store": str(tmp_path / "store"), "champion": tmp_path / "made"}


def command(folders: dict[str, Any], *arguments: str, settings: Sequence[str] = ()) -> int:
    """Run the command; return its exit code."""
    options = [word for name, value in folders.items() for word in (f"--{name}", str(value))]
    with pytest.raises(SystemExit) as ended:
        main(["retrain", *options, *arguments, "--set", *QUICK, *settings])
    return int(ended.value.code or 0)


def runs(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(training_runs).order_by(training_runs.c.id)))


def states(engine: Engine) -> list[str]:
    return [row.state for row in sorted(versions(engine), key=lambda row: row.created_at)]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_better_is_promoted_and_what_is_no_better_is_not(
    engine: Engine, folders: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    public = folders["work"].with_name("public.csv")
    rows = [f"{label.text},{label.emotions[0]},validation\n" for label in labels(240)[210:]]
    public.write_text("text,emotions,split\n" + "".join(rows), encoding="utf-8")
    store(engine, labels(210))

    assert command(folders, "--force", "--public", str(public)) == 0
    [first] = runs(engine)
    assert (first.state, states(engine)) == ("promoted", ["retired", "champion"])
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"run {first.id}: promoted {first.model_version}: {first.reason}"
    told = first.details
    assert (told["champion"]["version"], told["new_labels"]) == ("first", 210)
    assert told["snapshot"]["teaching"].keys() == {"calls"}
    assert told["verdict"]["promoted"]
    assert (told["verdict"]["rows"], told["verdict"]["public_rows"]) == (told["snapshot"]["holdout"], 30)
    assert told["seconds"].keys() == {"snapshot", "download", "fit", "judge", "report", "store"}
    assert told["settings"]["public"] == [str(public)]
    bundle = Path(folders["store"]) / first.model_version
    assert "Against the champion: promote" in (bundle / "report.html").read_text(encoding="utf-8")
    assert left(folders["work"]) == {"snapshot"}

    store(engine, labels(225)[210:])
    more = ["min_labels=15", "learning.epochs.other=1", "learning.learning_rate=1e-5"]
    assert command(folders, settings=more) == 0
    assert command(folders, settings=more) == 0
    _, second, third = runs(engine)
    assert (second.state, states(engine)) == ("rejected", ["retired", "champion", "rejected"])
    assert second.reason.startswith("rejected for weighted F1")
    assert (second.details["champion"]["version"], second.details["new_labels"]) == (first.model_version, 15)
    assert third.state == "skipped"
    assert third.reason.startswith(f"nothing is new since run {second.id}")
    assert left(folders["work"]) == {"snapshot"}


def test_a_run_can_be_repeated_by_what_it_leaves(engine: Engine, folders: dict[str, Any], tmp_path: Path) -> None:
    encoder = make_base(tmp_path / "encoder")
    store(engine, labels(140))
    settings = ["learning.epochs.other=1", "start=base", f"base={encoder}"]
    assert command(folders, "--force", settings=settings) == 0
    [run] = runs(engine)
    recipe = folders["work"] / "snapshot" / "recipe.yaml"
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--recipe", str(recipe), "--output", str(tmp_path / "again")])
    assert not ended.value.code
    [candidate] = [row for row in versions(engine) if row.version == run.model_version]
    again = read_manifest((tmp_path / "again" / MANIFEST).read_bytes())
    assert again.thresholds == manifest_at(candidate.location).thresholds
    assert (again.data_fingerprint, again.base_model) == (candidate.data_fingerprint, str(encoder))


def test_too_few_new_labels_change_nothing(
    engine: Engine, folders: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    store(engine, [*labels(30), *labels(60, labelled_at=datetime(2025, 1, 1, tzinfo=UTC))[30:]])
    assert command(folders) == 0
    [run] = runs(engine)
    assert (run.state, run.model_version, run.details["new_labels"]) == ("skipped", None, 30)
    assert "30 labels are new since first, and 300 make a retraining" in capsys.readouterr().out
    assert states(engine) == ["champion"]
    assert left(folders["work"]) == set()


def test_a_run_that_fails_says_why_and_leaves_nothing_behind(
    engine: Engine, folders: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    register(engine, folders["champion"])
    promote(engine, "first")
    Path(folders["store"]).write_text("in the way")
    store(engine, labels(140))
    assert command(folders, "--force", settings=["learning.epochs.other=1"]) == 2
    [run] = runs(engine)
    assert run.state == "failed"
    assert run.reason in capsys.readouterr().err
    assert left(folders["work"]) <= {"snapshot"}
    assert states(engine) == ["champion"]


def test_an_interrupted_run_goes_on_with_the_labels_it_took(engine: Engine, folders: dict[str, Any]) -> None:
    settings = read_settings(None, QUICK, **folders)
    store(engine, labels(210))
    stop = StopSignal()
    stop.set()
    with pytest.raises(Interrupted):
        retrain(settings, engine, stop, force=True)
    [run] = runs(engine)
    assert (run.state, left(folders["work"])) == ("interrupted", {f"run-{run.id}"})
    store(engine, labels(300)[210:])
    outcome = retrain(settings, engine, StopSignal())
    assert (outcome.run, outcome.state) == (run.id, "promoted")
    [after] = runs(engine)
    assert after.details["snapshot"] == run.details["snapshot"]


def test_a_champion_that_was_promoted_meanwhile_is_not_overthrown(
    engine: Engine, folders: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, labels(210))
    make_bundle(tmp_path / "other", version="other")
    register(engine, tmp_path / "other")

    def promoted_meanwhile(*arguments: Any, **named: Any) -> Any:
        promote(engine, "other")
        return evaluate(*arguments, **named)

    monkeypatch.setattr("training.retrain.evaluate", promoted_meanwhile)
    outcome = retrain(read_settings(None, QUICK, **folders), engine, StopSignal(), force=True)
    assert outcome.state == "rejected"
    assert "no longer the champion" in outcome.reason
    present = champion(engine)
    assert present
    assert present.version == "other"
