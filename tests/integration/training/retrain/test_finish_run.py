"""The end of a retraining: the registry and the run say the same, through any failure in between."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from registered import made_fixture, states
from services import Postgres, before_a_retry, end_sessions_with_a_lock, engine_fixture
from sqlalchemy import Engine, select, text, update

from registry.contents import manifest_at
from registry.errors import BrokenBundle, UnusableLocation
from registry.lifecycle import champion, promote, reject, rollback, versions
from registry.prune import prune
from registry.publish import publish_bundle, register
from registry.versions import PRUNED
from schemas.bundle import MANIFEST, Manifest
from schemas.tables import model_versions, training_runs
from training.database import connect
from training.errors import LostRun
from training.retrain.checks import Check, Limits
from training.retrain.finish_run import Candidate, decide
from training.retrain.gate import Verdict
from training.retrain.runs import Run, exclusive_run
from training.signals import StopSignal

engine = engine_fixture(connect)
made = made_fixture()


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Iterator[Run]:
    with exclusive_run(engine, tmp_path / "work") as run:
        yield run


def verdict(*, promoted: bool) -> Verdict:
    gain = Check("weighted F1", promoted, 0.5, 0.6, "surely more")
    return Verdict(promoted, checks=(gain,), rows=100, public_rows=0, resamples=2000, seed=0, limits=Limits())


def ends(engine: Engine) -> list[tuple[str, str | None]]:
    columns = training_runs.c.state, training_runs.c.model_version
    with engine.connect() as connection:
        return [(row.state, row.model_version) for row in connection.execute(select(*columns).order_by("id"))]


@pytest.mark.parametrize("promoted", [True, False])
def test_the_registry_and_the_run_say_the_same(
    promoted: bool, engine: Engine, run: Run, made: Callable[[str], Path], store: str
) -> None:
    register(engine, made("old"), store)
    promote(engine, "old")
    candidate = Candidate(publish_bundle(made("new"), store), verdict(promoted=promoted), "old", stand_in=None)
    outcome = decide(engine, run, candidate, StopSignal())
    state = "promoted" if promoted else "rejected"
    assert (outcome.run, outcome.state, outcome.version) == (run.id, state, "new")
    assert states(engine) == {"old": "retired" if promoted else "champion", "new": "champion" if promoted else state}
    assert ends(engine) == [(state, "new")]


@pytest.mark.parametrize("promoted", [True, False])
def test_what_stood_for_a_champion_becomes_one_first(
    promoted: bool, engine: Engine, run: Run, made: Callable[[str], Path], store: str
) -> None:
    old, new = (publish_bundle(made(name), store) for name in ("old", "new"))
    decide(engine, run, Candidate(new, verdict(promoted=promoted), "old", stand_in=old), StopSignal())
    assert states(engine) == ({"old": "retired", "new": "champion"} if promoted else
                              {"old": "champion", "new": "rejected"})  # fmt: skip
    if promoted:
        assert rollback(engine) == "old"


@pytest.mark.parametrize("location", ["/of/another/machine", PRUNED])
def test_what_stood_for_a_champion_is_where_it_was_put_whatever_was_registered(
    location: str, engine: Engine, run: Run, made: Callable[[str], Path], store: str
) -> None:
    register(engine, made("old"))
    reject(engine, "old", "worse")
    with engine.begin() as connection:
        connection.execute(update(model_versions).values(location=location))
    old, new = (publish_bundle(made(name), store) for name in ("old", "new"))
    decide(engine, run, Candidate(new, verdict(promoted=False), "old", stand_in=old), StopSignal())
    there = champion(engine)
    assert there
    assert (there.version, there.location, there.checksum) == ("old", old.location, old.checksum)


def test_what_stood_for_a_champion_as_it_was_registered_becomes_one(
    engine: Engine, run: Run, made: Callable[[str], Path], store: str
) -> None:
    register(engine, made("old"), store)
    reject(engine, "old", "worse")
    [old] = versions(engine)
    candidate = Candidate(
        publish_bundle(made("new"), store), verdict(promoted=True), "old", stand_in=old, registered=True
    )
    decide(engine, run, candidate, StopSignal())
    assert states(engine) == {"old": "retired", "new": "champion"}
    assert rollback(engine) == "old"


def test_what_stood_for_a_champion_and_was_pruned_after_the_look_becomes_none(
    engine: Engine, made: Callable[[str], Path], store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is taken up again then: its fit is not lost, and what was pruned is put into the store again."""
    register(engine, made("old"), store)
    reject(engine, "old", "worse")
    [old], new = versions(engine), publish_bundle(made("new"), store)
    candidate = Candidate(new, verdict(promoted=False), "old", stand_in=old, registered=True)

    def look(location: str) -> Manifest:
        if location == new.location:
            assert prune(engine, keep=0) == ["old"]
        return manifest_at(location)

    monkeypatch.setattr("registry.lifecycle.manifest_at", look)
    refused = pytest.raises(UnusableLocation, match="old, which stood for a champion, was pruned meanwhile")
    with refused as told, exclusive_run(engine, tmp_path / "work") as run:
        decide(engine, run, candidate, StopSignal())
    assert states(engine) == {"old": "rejected"}
    assert ends(engine) == [("interrupted", None)]
    with engine.connect() as connection:
        assert connection.execute(select(training_runs.c.reason)).scalars().all() == [str(told.value)]


def test_other_writers_do_not_wait_for_the_store(
    engine: Engine, run: Run, made: Callable[[str], Path], store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a store that is slow leave a transaction idle until Postgres ends it."""
    looked = []

    def look(location: str) -> Manifest:
        with engine.begin() as other:
            other.execute(text(f"LOCK TABLE {model_versions.name} IN SHARE ROW EXCLUSIVE MODE NOWAIT"))
        looked.append(location)
        return manifest_at(location)

    monkeypatch.setattr("registry.lifecycle.manifest_at", look)
    old, new = (publish_bundle(made(name), store) for name in ("old", "new"))
    decide(engine, run, Candidate(new, verdict(promoted=True), "old", stand_in=old), StopSignal())
    assert looked == [old.location, new.location]


def test_a_rollback_during_the_upload_is_not_overwritten(
    engine: Engine, run: Run, made: Callable[[str], Path], store: str
) -> None:
    for name in ("older", "old"):
        register(engine, made(name), store)
        promote(engine, name)
    candidate = Candidate(publish_bundle(made("new"), store), verdict(promoted=True), "old", stand_in=None)
    rollback(engine)
    outcome = decide(engine, run, candidate, StopSignal())
    assert (outcome.state, outcome.reason) == (
        "rejected", "old, which it was judged against, is no longer the champion",
    )  # fmt: skip
    assert states(engine) == {"older": "champion", "old": "retired", "new": "rejected"}


def test_a_run_that_lost_its_lock_promotes_nothing(
    engine: Engine, made: Callable[[str], Path], store: str, tmp_path: Path
) -> None:
    register(engine, made("old"), store)
    promote(engine, "old")
    candidate = Candidate(publish_bundle(made("new"), store), verdict(promoted=True), "old", stand_in=None)
    with pytest.raises(LostRun), exclusive_run(engine, tmp_path / "work") as run:  # noqa: PT012 - the end of the block counts.
        end_sessions_with_a_lock(engine)
        with exclusive_run(engine, tmp_path / "of another machine") as other:
            other.finish("skipped", "too few new labels")
        decide(engine, run, candidate, StopSignal())
    assert states(engine) == {"old": "champion"}
    assert ends(engine) == [("failed", None), ("skipped", None)]


def test_a_bundle_that_is_not_in_its_place_changes_nothing(
    engine: Engine, run: Run, made: Callable[[str], Path], store: str
) -> None:
    old, new = (publish_bundle(made(name), store) for name in ("old", "new"))
    (Path(new.location) / MANIFEST).unlink()
    with pytest.raises(BrokenBundle):
        decide(engine, run, Candidate(new, verdict(promoted=True), "old", stand_in=old), StopSignal())
    assert states(engine) == {}
    assert ends(engine) == [("running", None)]


def test_an_outage_of_postgres_is_waited_out_and_a_lost_answer_changes_nothing(
    own_postgres: Postgres, made: Callable[[str], Path], store: str, tmp_path: Path
) -> None:
    engine = connect(own_postgres.url())
    with exclusive_run(engine, tmp_path / "work") as run:
        old, new = (publish_bundle(made(name), store) for name in ("old", "new"))
        candidate = Candidate(new, verdict(promoted=True), "old", stand_in=old)
        own_postgres.stop()
        with before_a_retry(own_postgres.start):
            outcome = decide(engine, run, candidate, StopSignal())
        assert decide(engine, run, candidate, StopSignal()) == outcome
    assert states(engine) == {"old": "retired", "new": "champion"}
    assert ends(engine) == [("promoted", "new")]
    engine.dispose()
