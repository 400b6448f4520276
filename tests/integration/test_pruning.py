"""Bundles of old versions go; nothing that may be promoted again, and nothing by halves for good."""

from pathlib import Path

import pytest
from bundles import make_bundle
from registered import Registered, registered_fixture
from services import engine_fixture
from sqlalchemy import Engine, update

from registry.errors import UnusableLocation
from registry.locations import manifest_at
from schemas.bundle import MANIFEST
from schemas.tables import model_versions
from training.database import connect
from training.registry import UnusableVersion, add_anew, promote, prune, register, reject, rollback, versions

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


def test_pruning_spares_a_folder_that_holds_another_version_by_now(engine: Engine, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_bundle(tmp_path / "made", version=name)
        register(engine, tmp_path / "made")
    reject(engine, "one", "written over")
    assert prune(engine, keep=0) == ["one"]
    assert manifest_at(str(tmp_path / "made")).version == "two"


def test_a_deletion_that_breaks_off_is_finished_by_the_next_prune(
    engine: Engine, registered: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered("one")
    reject(engine, "one", "worse")

    def refuse(location: str, _version: str) -> None:
        (Path(location) / MANIFEST).unlink()
        raise UnusableLocation("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr("training.registry.delete", refuse)
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
        patch.setattr("training.registry.delete", refuse)
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
