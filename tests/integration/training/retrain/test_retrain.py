"""A retraining, from the labels in the table to a champion or to none; the encoder is tiny, the rest is real."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from bundles import WORDS, make_bundle
from fits import make_base
from services import as_role
from sqlalchemy import Engine, select, update

from registry.contents import manifest_at
from registry.errors import UnusableLocation
from registry.lifecycle import champion, promote, reject, require_in_place, rollback, versions
from registry.onnx_export import export_onnx
from registry.prune import prune
from registry.publish import register
from registry.versions import PRUNED, ModelVersion
from schemas.access import TRAINER
from schemas.bundle import MANIFEST, ONNX, read_manifest
from schemas.emotions import EMOTIONS
from schemas.tables import labelled_texts, model_versions, training_runs
from training.cli import main
from training.data.known_texts import known_texts
from training.data.splits import identity, split_of
from training.database import connect
from training.evaluate.report import evaluate
from training.fit.run import fit_bundle
from training.fit.settings import FitSettings
from training.label_files.label import Label
from training.labels.forget import Chosen, forget
from training.labels.table import store
from training.retrain.run import retrain
from training.retrain.run_history import learnt_labels
from training.retrain.settings import RetrainSettings, read_settings
from training.signals import Interrupted, StopSignal

SAYS = dict(zip(EMOTIONS, WORDS[-7:], strict=True))
FILLING = WORDS[1:13]
QUICK = [
    "folds=0",
    "learning.learning_rate=2e-3",
    "learning.batch_size=16",
    "learning.epochs.other=12",
    "gate.growth=100",
]


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
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    engine = connect(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Any]:
    """Where a run works and stores, and a champion that knows nothing."""
    known = {"metrics": {"rows": {"ru_go_emotions": 9}}}
    make_bundle(tmp_path / "made", version="first", created_at="2026-01-01T00:00:00Z", **known)
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


def quoting(folder: Path, said: Sequence[Label]) -> list[str]:
    """Return the files that quote what was said, or name a folder of this machine."""
    quotes = [label.text.encode() for label in said] + [str(folder.parent.parent).encode()]
    escaped = [json.dumps(quote.decode())[1:-1].encode() for quote in quotes]
    return [path.name for path in folder.iterdir() if any(quote in path.read_bytes() for quote in quotes + escaped)]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_better_is_promoted_and_what_is_no_better_is_not(
    engine: Engine, folders: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    public = folders["work"].with_name("public.csv")
    rows = [f"{label.text},{label.emotions[0]},validation\n" for label in labels(240)[210:]]
    public.write_text("text,emotions,split\n" + "".join(rows), encoding="utf-8")
    store(engine, labels(210))
    export_onnx(folders["champion"], int8=False)

    assert command(folders, "--force", "--public", str(public), settings=["folds=2"]) == 0
    [first] = runs(engine)
    assert (first.state, states(engine)) == ("promoted", ["retired", "champion"])
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"run {first.id}: promoted {first.model_version}: {first.reason}"
    told = first.details
    assert (told["champion"]["version"], told["new_labels"]) == ("first", 210)
    assert told["snapshot"]["teaching"].keys() == {"calls"}
    assert told["verdict"]["promoted"]
    judging = told["snapshot"]["holdout"] + told["snapshot"]["fresh"]
    assert (told["verdict"]["rows"], told["verdict"]["public_rows"]) == (judging, 30)
    assert told["look"]["rows"] == judging
    steps = {"snapshot", "download", "tune", "fit", "fold 0", "fold 1", "judge", "report", "store"}
    assert told["seconds"].keys() == steps
    assert told["settings"]["public"] == [str(public)]
    bundle = Path(folders["store"]) / first.model_version
    assert (bundle / ONNX).is_file(), "workers would run it slower than the champion"
    assert quoting(bundle, labels(240)) == []
    report = Path(told["report"])
    assert report.parent == folders["work"] / "reports"
    assert "Against the champion: promote" in (report / "report.html").read_text(encoding="utf-8")
    assert left(folders["work"]) == {"reports", "snapshot"}

    store(engine, labels(225)[210:])
    more = ["min_labels=15", "learning.epochs.other=1", "learning.learning_rate=1e-5"]
    assert command(folders, settings=more) == 0
    assert command(folders, settings=more) == 0
    _, second, third = runs(engine)
    assert (second.state, states(engine)) == ("rejected", ["retired", "champion", "rejected"])
    assert second.reason.startswith("rejected for weighted F1")
    assert (second.details["champion"]["version"], second.details["new_labels"]) == (first.model_version, 15)
    assert third.state == "skipped"
    assert third.reason.startswith(f"0 labels are new since run {second.id} judged")
    assert left(folders["work"]) == {"reports", "snapshot"}


def test_a_rollback_is_not_undone_by_the_next_run(engine: Engine, folders: dict[str, Any]) -> None:
    store(engine, labels(210))
    settings = read_settings(None, [*QUICK, "min_labels=10"], **folders)
    promoted = retrain(settings, engine, StopSignal())
    assert promoted.state == "promoted"
    assert rollback(engine) == "first"

    counted = retrain(settings, engine, StopSignal())
    assert (counted.state, counted.version) == ("skipped", None)
    assert counted.reason.startswith(
        f"0 labels are new since run {promoted.run} judged what came of them against first"
    )
    # New rows, and yet the same snapshot: texts without a word teach nothing.
    store(engine, [replace(label, text="[laughter] " * at) for at, label in enumerate(labels(10), 1)])
    fitted = retrain(settings, engine, StopSignal())
    assert (fitted.state, fitted.version) == ("skipped", None)
    assert fitted.reason.startswith(f"nothing is new since run {promoted.run}, which promoted {promoted.version}")


def test_what_a_model_has_learnt_travels_with_its_bundle(engine: Engine, folders: dict[str, Any]) -> None:
    """The registry may be another one, and a fit by hand has no run."""
    store(engine, labels(140))
    outcome = retrain(
        read_settings(None, [*QUICK, "learning.epochs.other=1"], **folders), engine, StopSignal(), force=True
    )
    with engine.begin() as connection:
        [run] = connection.execute(training_runs.delete().returning(training_runs))
    [row] = [row for row in versions(engine) if row.version == outcome.version]
    known = learnt_labels(engine, row)
    taught = [label for label in labels(140) if known.texts.holds(identity(label.text))]
    assert {split_of(label.text) for label in taught} == {"train", "validation"}
    assert len(taught) == run.details["snapshot"]["validation"] + sum(run.details["snapshot"]["teaching"].values())
    assert known.whole == run.details["learnt_whole"] == ["ru_go_emotions"]
    assert known.until.isoformat() == run.details["snapshot"]["taken_at"]


def test_a_run_can_be_repeated_by_what_it_leaves(engine: Engine, folders: dict[str, Any], tmp_path: Path) -> None:
    encoder = make_base(tmp_path / "encoder")
    store(engine, labels(140))
    settings = ["learning.epochs.other=1", "start=base", f"base={encoder}", "tune=false"]
    assert command(folders, "--force", settings=settings) == 0
    [run] = runs(engine)
    recipe = folders["work"] / "snapshot" / "recipe.yaml"
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--recipe", str(recipe), "--output", str(tmp_path / "again")])
    assert not ended.value.code
    [candidate] = [row for row in versions(engine) if row.version == run.model_version]
    again = read_manifest((tmp_path / "again" / MANIFEST).read_bytes())
    assert again.thresholds == manifest_at(candidate.location).thresholds
    assert (again.data_fingerprint, again.base_model) == (candidate.data_fingerprint, encoder.name)
    assert again.metrics["settings"]["taken"] == candidate.metrics["settings"]["taken"]


def test_too_few_new_labels_change_nothing(
    engine: Engine, folders: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was labelled long ago and comes in now is new; the champion may have learnt what came in before it."""
    own = {"metrics": {"rows": {"own": 9}}}
    make_bundle(folders["work"].with_name("own"), version="first", created_at="2026-01-01T00:00:00Z", **own)
    folders["champion"] = folders["work"].with_name("own")
    long_ago = datetime(2025, 1, 1, tzinfo=UTC)
    store(engine, labels(30))
    with engine.begin() as connection:
        connection.execute(labelled_texts.update().values(imported_at=long_ago))
    store(engine, labels(60, labelled_at=long_ago)[30:])
    assert command(folders) == 0
    [run] = runs(engine)
    assert (run.state, run.model_version, run.details["new_labels"]) == ("skipped", None, 30)
    assert "30 labels are new since first, and 300 make a retraining" in capsys.readouterr().out
    assert states(engine) == [], "where nothing is judged, nothing is registered"
    assert left(folders["work"]) == set()


def test_a_store_that_cannot_be_used_costs_no_fit(
    engine: Engine, folders: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(engine, folders["champion"])
    promote(engine, "first")
    in_the_way = Path(folders["store"])
    in_the_way.write_text("in the way")
    store(engine, labels(140))
    assert command(folders, "--force", settings=["learning.epochs.other=1"]) == 2
    [run] = runs(engine)
    assert (run.state, "fit" in run.details["seconds"]) == ("interrupted", False)
    assert run.reason in capsys.readouterr().err

    def while_it_is_judged(*arguments: Any, **named: Any) -> Any:
        in_the_way.rmdir()
        in_the_way.write_text("in the way")
        return evaluate(*arguments, **named)

    in_the_way.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("training.retrain.run.evaluate", while_it_is_judged)
        assert command(folders, settings=["learning.epochs.other=1"]) == 2
    [run] = runs(engine)
    assert run.state == "interrupted"
    assert states(engine) == ["champion"]
    in_the_way.unlink()
    assert command(folders, settings=["learning.epochs.other=1"]) == 0
    [same] = runs(engine)
    assert (same.id, same.details["seconds"]["fit"]) == (run.id, run.details["seconds"]["fit"])
    assert same.state in {"promoted", "rejected"}


@pytest.mark.parametrize(
    ("location", "with_the_code"), [("/of/another/machine", False), (PRUNED, False), (PRUNED, True)]
)
def test_what_stands_for_a_champion_may_have_been_registered_elsewhere(
    location: str, with_the_code: bool, engine: Engine, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that is registered and not to be had there would cost each run its fit."""
    if with_the_code:
        monkeypatch.setattr("registry.released.released_model", lambda: folders["champion"])
    register(engine, folders["champion"])
    with engine.begin() as connection:
        connection.execute(update(model_versions).values(location=location))
    store(engine, labels(140))
    settings = read_settings(None, [*QUICK, "learning.epochs.other=1"], **folders)
    retrain(settings, engine, StopSignal(), force=True)
    [first] = [row for row in versions(engine) if row.version == "first"]
    assert (first.state in {"champion", "retired"}, first.location) == (True, f"{folders['store']}/first")


def test_a_run_goes_on_where_what_stood_for_a_champion_was_pruned_meanwhile(
    engine: Engine, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(engine, folders["champion"], folders["store"])
    reject(engine, "first", "a try")
    store(engine, labels(140))
    settings = read_settings(None, [*QUICK, "learning.epochs.other=1"], **folders)

    def look(row: ModelVersion) -> None:
        require_in_place(row)
        if row.version != "first":
            assert prune(engine, keep=0) == ["first"]

    with monkeypatch.context() as patch:
        patch.setattr("training.retrain.finish_run.require_in_place", look)
        with pytest.raises(UnusableLocation, match="was pruned meanwhile"):
            retrain(settings, engine, StopSignal(), force=True)
    [run] = runs(engine)
    assert (run.state, states(engine)) == ("interrupted", ["rejected"])
    outcome = retrain(settings, engine, StopSignal())
    [same] = runs(engine)
    assert (outcome.run, same.details["seconds"]["fit"]) == (run.id, run.details["seconds"]["fit"])
    [first] = [row for row in versions(engine) if row.version == "first"]
    assert (first.state in {"champion", "retired"}, first.location) == (True, f"{folders['store']}/first")
    assert manifest_at(first.location).version == "first"


def test_a_run_that_fails_after_the_upload_leaves_nothing_in_the_store(
    engine: Engine, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    register(engine, folders["champion"])
    promote(engine, "first")
    store(engine, labels(140))

    def fail(*_: Any) -> Any:
        assert left(Path(folders["store"]))
        raise RuntimeError("killed")

    monkeypatch.setattr("training.retrain.run.decide", fail)
    with pytest.raises(RuntimeError):
        retrain(read_settings(None, [*QUICK, "learning.epochs.other=1"], **folders), engine, StopSignal(), force=True)
    assert [(run.state, run.reason) for run in runs(engine)] == [("failed", "killed")]
    assert states(engine) == ["champion"]
    assert left(Path(folders["store"])) == set()


def test_a_snapshot_that_cannot_be_kept_costs_no_verdict(engine: Engine, folders: dict[str, Any]) -> None:
    folders["work"].mkdir()
    (folders["work"] / "snapshot").write_text("in the way")
    store(engine, labels(210))
    outcome = retrain(read_settings(None, QUICK, **folders), engine, StopSignal(), force=True)
    assert (outcome.state, states(engine)) == ("promoted", ["retired", "champion"])


def interrupt_fit(settings: RetrainSettings, engine: Engine) -> None:
    """Retrain up to the first step of the fit."""

    def fit_after_a_signal(fit: FitSettings, stop: StopSignal) -> Any:
        stop.set()
        return fit_bundle(fit, stop)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):  # noqa: PT012 - the patch is to go with it.
        patch.setattr("training.retrain.run.fit_bundle", fit_after_a_signal)
        retrain(settings, engine, StopSignal(), force=True)


def test_an_interrupted_run_goes_on_with_the_labels_it_took(engine: Engine, folders: dict[str, Any]) -> None:
    settings = read_settings(None, QUICK, **folders)
    store(engine, labels(210))
    interrupt_fit(settings, engine)
    [run] = runs(engine)
    [folder] = left(folders["work"])
    assert (run.state, folder.startswith(f"run-{run.id}-")) == ("interrupted", True)
    store(engine, labels(300)[210:])
    outcome = retrain(settings, engine, StopSignal())
    assert (outcome.run, outcome.state) == (run.id, "promoted")
    [after] = runs(engine)
    assert after.details["snapshot"] == run.details["snapshot"]


@pytest.mark.parametrize("what", ["its settings", "the champion", "the public rows", "the history of forgotten labels"])
def test_an_interrupted_run_begins_anew_where_it_is_told_otherwise(
    what: str, engine: Engine, folders: dict[str, Any], tmp_path: Path
) -> None:
    """What it had fitted came of something else."""
    public = tmp_path / "public.csv"
    rows = [f"{label.text},{label.emotions[0]},validation\n" for label in labels(240)[210:]]
    public.write_text("text,emotions,split\n" + "".join(rows), encoding="utf-8")
    store(engine, labels(210))
    settings = read_settings(None, [*QUICK, "min_labels=100"], **folders, public=(str(public),))
    interrupt_fit(settings, engine)
    if what == "its settings":
        settings = settings.model_copy(update={"seed": 1})
    elif what == "the champion":
        register(engine, Path(make_bundle(tmp_path / "other", version="other", created_at="2026-01-01T00:00:00Z")))
        promote(engine, "other")
    elif what == "the history of forgotten labels":
        forget(engine, Chosen(text=labels(1)[0].text))
    else:
        public.write_text("text,emotions,split\n" + "".join(rows[1:]), encoding="utf-8")
    outcome = retrain(settings, engine, StopSignal())
    old, new = runs(engine)
    assert (old.state, old.reason) == ("failed", f"it was interrupted, and {what} changed before it could go on")
    assert (outcome.run, outcome.state) == (new.id, "promoted")


def test_a_run_learns_again_without_labels_that_were_forgotten_meanwhile(
    engine: Engine, folders: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, labels(210))
    words = next(label.text for label in labels(210) if split_of(label.text) == "train")

    def forgotten_meanwhile(*arguments: Any, **named: Any) -> Any:
        forget(engine, Chosen(text=words))
        return evaluate(*arguments, **named)

    monkeypatch.setattr("training.retrain.run.evaluate", forgotten_meanwhile)
    outcome = retrain(read_settings(None, [*QUICK, "min_labels=100"], **folders), engine, StopSignal())
    old, new = runs(engine)
    assert (old.state, old.reason) == ("failed", "labels were forgotten that it had learnt, or may have")
    assert (outcome.run, outcome.state) == (new.id, "promoted")
    served = champion(engine)
    assert served is not None
    assert not known_texts(served.location).holds(identity(words))
    assert left(Path(folders["store"])) == {row.version for row in versions(engine)}, "the first candidate is gone"
    assert not any(words in file.read_text(encoding="utf-8") for file in folders["work"].rglob("*.jsonl"))


def test_a_champion_that_was_promoted_meanwhile_is_not_overthrown(
    engine: Engine, folders: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, labels(210))
    make_bundle(tmp_path / "other", version="other")
    for folder in (folders["champion"], tmp_path / "other"):
        register(engine, folder)
    promote(engine, "first")

    def promoted_meanwhile(*arguments: Any, **named: Any) -> Any:
        promote(engine, "other")
        return evaluate(*arguments, **named)

    settings = read_settings(None, [*QUICK, "min_labels=210"], **folders)
    with monkeypatch.context() as patch:
        patch.setattr("training.retrain.run.evaluate", promoted_meanwhile)
        outcome = retrain(settings, engine, StopSignal())
    assert outcome.state == "rejected"
    assert outcome.reason == "first, which it was judged against, is no longer the champion"
    present = champion(engine)
    assert present
    assert present.version == "other"

    rollback(engine)
    again = retrain(settings, engine, StopSignal())
    assert again.state == "promoted", "a verdict that came too late says nothing of the labels"
