"""What failed runs left in the store goes, and nobody waits for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import make_bundle
from registered import made_fixture
from services import engine_fixture
from sqlalchemy import Engine, select, text

from registry.lifecycle import promote, reject, rollback
from registry.locations import delete
from registry.prune import prune
from registry.publish import publish_bundle, register
from registry.versions import describe_bundle
from schemas.tables import training_runs
from training.database import connect
from training.retrain.finish_run import note_bundle, sweep_bundles
from training.retrain.runs import exclusive_run

engine = engine_fixture(connect)
made = made_fixture()


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def test_what_failed_runs_left_in_the_store_is_swept(
    engine: Engine, made: Callable[[str], Path], store: str, tmp_path: Path
) -> None:
    for name in ("left", "taken-by-hand"):
        folder = made(name)
        with pytest.raises(RuntimeError), exclusive_run(engine, tmp_path / "work") as run:  # noqa: PT012 - the end of the block counts.
            note_bundle(run, describe_bundle(folder, store))
            publish_bundle(folder, store)
            raise RuntimeError("killed")
    register(engine, tmp_path / "made" / "taken-by-hand", store)
    reject(engine, "taken-by-hand", "a try")
    sweep_bundles(engine)
    assert [path.name for path in Path(store).iterdir()] == ["taken-by-hand"]
    with engine.connect() as connection:
        assert connection.execute(select(training_runs.c.details)).scalars().all() == [{}, {}]


def test_a_store_that_hangs_keeps_no_rollback_waiting(
    engine: Engine, made: Callable[[str], Path], store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        register(engine, made(name), store)
        promote(engine, name)
    with pytest.raises(RuntimeError), exclusive_run(engine, tmp_path / "work") as run:  # noqa: PT012 - as above.
        note_bundle(run, describe_bundle(made("left"), store))
        publish_bundle(made("left"), store)
        raise RuntimeError("killed")
    served = []

    def delete_during_a_rollback(location: str, version: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE model_versions IN SHARE ROW EXCLUSIVE MODE NOWAIT"))
        served.append(rollback(engine))
        delete(location, version)

    for module in ("training.retrain.finish_run", "registry.prune"):
        monkeypatch.setattr(f"{module}.delete", delete_during_a_rollback)
    sweep_bundles(engine)
    assert prune(engine, keep=0) == ["one"]
    assert served == ["two", "three"]
    assert sorted(path.name for path in Path(store).iterdir()) == ["three", "two"]


def test_what_cannot_be_deleted_now_is_left_to_the_next_sweep(engine: Engine, tmp_path: Path) -> None:
    row = describe_bundle(Path(make_bundle(tmp_path / "made", version="new")), "nowhere://store")
    with pytest.raises(RuntimeError), exclusive_run(engine, tmp_path / "work") as run:  # noqa: PT012 - as above.
        note_bundle(run, row)
        raise RuntimeError("killed")
    sweep_bundles(engine)
    with engine.connect() as connection:
        [noted] = connection.execute(select(training_runs.c.details)).scalars()
    assert noted["bundle"] == {"version": "new", "location": "nowhere://store/new"}
