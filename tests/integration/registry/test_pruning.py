"""Bundles of old versions go; nothing that may be promoted again, and nothing by halves for good."""

from pathlib import Path

import pytest
from bundles import make_bundle
from registered import Registered, registered_fixture
from services import engine_fixture
from sqlalchemy import Engine, insert, update

from registry.contents import manifest_at
from registry.errors import UnusableLocation, UnusableVersion
from registry.lifecycle import add_anew, promote, reject, rollback, versions
from registry.prune import prune
from registry.publish import register
from registry.released import released_model
from schemas.bundle import MANIFEST
from schemas.tables import model_versions, training_runs
from training.database import connect

engine = engine_fixture(connect)
registered = registered_fixture()


def test_pruning_deletes_all_but_the_newest_the_served_and_the_way_back(
    engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    names = registered(*"abcdefg")
    for name in names[:4]:
        promote(engine, name)
    reject(engine, "e", "worse")
    reject(engine, "f", "worse")
    assert prune(engine, keep=2) == ["a", "f", "e"]
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["b", "c", "d", "g"]
    assert prune(engine, keep=2) == []
    assert prune(engine, keep=0) == ["b"]
    assert {row.version for row in versions(engine) if not row.location} == {"a", "b", "e", "f"}
    with pytest.raises(UnusableVersion, match="was pruned"):
        promote(engine, "a")
    assert rollback(engine) == "c"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_pruning_spares_a_folder_that_holds_another_version_by_now(
    engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    registered("one")
    make_bundle(tmp_path / "store" / "one", version="two")
    reject(engine, "one", "written over")
    assert prune(engine, keep=0) == ["one"]
    assert manifest_at(str(tmp_path / "store" / "one")).version == "two"


def test_a_bundle_that_was_registered_where_it_lies_is_never_pruned(
    engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    """Nor are the notes that lie beside it, and it can still be promoted."""
    mine = tmp_path / "models" / "mine"
    make_bundle(mine, version="mine", created_at="2026-01-09T00:00:00Z")
    (mine / "notes.json").write_text("{}")
    registered("one")
    register(engine, mine)
    for name in ("one", "mine"):
        reject(engine, name, "a try")
    before = contents(mine)
    assert prune(engine, keep=0) == ["one"]
    assert (contents(mine), (tmp_path / "store" / "one").exists()) == (before, False)
    promote(engine, "mine")


def test_the_released_model_is_never_pruned(engine: Engine) -> None:
    folder = released_model()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    version = register(engine, folder)
    reject(engine, version, "a try")
    assert prune(engine, keep=0) == []
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_bundle_that_lay_in_the_store_before_it_was_registered_stays(engine: Engine, tmp_path: Path) -> None:
    """Somebody copied it there by hand: to register it there changes nothing of that."""
    there = tmp_path / "store" / "one"
    make_bundle(there, version="one")
    before = contents(there)
    register(engine, there, str(tmp_path / "store"))
    reject(engine, "one", "worse")
    assert prune(engine, keep=0) == []
    assert contents(there) == before


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    for name in registered("one", "two", "three"):
        reject(engine, name, "worse")
    before, files = versions(engine), sorted((tmp_path / "store").rglob("*"))
    assert prune(engine, keep=1, dry_run=True) == ["two", "one"]
    assert (versions(engine), sorted((tmp_path / "store").rglob("*"))) == (before, files)
    assert prune(engine, keep=1) == ["two", "one"]
    assert prune(engine, keep=1, dry_run=True) == []


def test_what_a_run_put_into_the_store_before_there_were_marks_is_pruned(
    engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    """The run noted it; of a bundle that was copied there by hand nobody knows."""
    for name in registered("noted", "unknown"):
        (tmp_path / "store" / name / ".placed-by-asr-emotions").unlink()
        reject(engine, name, "worse")
    (tmp_path / "store" / "noted" / "report.html").write_text("a customer's words")
    noted = {"bundle": {"version": "noted", "location": str(tmp_path / "store" / "noted")}}
    with engine.begin() as connection:
        connection.execute(insert(training_runs).values(state="rejected", details=noted))
    assert prune(engine, keep=0) == ["noted"]
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["unknown"]


def test_a_deletion_that_breaks_off_is_finished_by_the_next_prune(
    engine: Engine, registered: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered("one")
    reject(engine, "one", "worse")

    def refuse(location: str, _version: str) -> None:
        (Path(location) / MANIFEST).unlink()
        raise UnusableLocation("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr("registry.prune.delete", refuse)
        with pytest.raises(UnusableLocation):
            prune(engine, keep=0)
    with pytest.raises(UnusableVersion, match="was pruned"):
        promote(engine, "one")
    assert prune(engine, keep=0) == ["one"]
    assert not (tmp_path / "store" / "one").exists()
    [row] = versions(engine)
    assert (row.location, row.metrics) == ("", {"at": 0, "rejected": "worse"})


def test_what_cannot_be_deleted_is_named_and_keeps_nothing_else_from_it(
    engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    names = registered("one", "two", "three")
    for name in names:
        reject(engine, name, "worse")
    manifest = tmp_path / "store" / "two" / MANIFEST
    whole = manifest.read_bytes()
    manifest.write_text("{")
    with engine.begin() as connection:
        moved = update(model_versions).where(model_versions.c.version == "three")
        connection.execute(moved.values(location="nowhere://store/three"))
    with pytest.raises(
        UnusableLocation, match=r"2 of 3 bundles .* three \(nowhere://.*\); two \(.*two: .*\)$"
    ) as refused:
        prune(engine, keep=0)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "store" / "one").exists()
    manifest.write_bytes(whole)
    with pytest.raises(UnusableLocation, match=r"1 of 2 bundles .* three \("):
        prune(engine, keep=0)
    assert not (tmp_path / "store" / "two").exists()


def test_a_bundle_whose_deletion_broke_off_and_that_was_put_anew_is_not_deleted(
    engine: Engine, registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered("one")
    reject(engine, "one", "worse")
    [there] = versions(engine)

    def refuse(_location: str, _version: str) -> None:
        raise UnusableLocation("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr("registry.prune.delete", refuse)
        with pytest.raises(UnusableLocation):
            prune(engine, keep=0)
    with engine.begin() as connection:
        add_anew(connection, there)
    assert prune(engine, keep=1) == []
    promote(engine, "one")


def test_what_a_bundle_calls_pruning_itself_is_no_place_to_delete(engine: Engine, tmp_path: Path) -> None:
    make_bundle(tmp_path / "made", version="one", metrics={"pruning": str(tmp_path / "made")})
    register(engine, tmp_path / "made")
    assert prune(engine, keep=0) == []
    promote(engine, "one")
