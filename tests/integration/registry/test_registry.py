"""The model registry: one champion at any time, always a complete bundle, and a way back."""

import shutil
from pathlib import Path

import psycopg
import pytest
from bundles import make_bundle
from registered import Registered, registered_fixture, states
from services import PATIENCE_S, engine_fixture
from sqlalchemy import Engine, update

from registry.contents import checksum, manifest_at
from registry.errors import BrokenBundle, UnusableVersion
from registry.lifecycle import champion, promote, reject, rollback, versions
from registry.publish import register
from registry.versions import by_version, candidate
from schemas.bundle import MANIFEST
from schemas.tables import model_versions
from training.database import connect
from training.errors import UnusableModel

engine = engine_fixture(connect)
registered = registered_fixture()


def test_a_registered_bundle_is_a_candidate_with_what_its_manifest_says(engine: Engine, tmp_path: Path) -> None:
    make_bundle(tmp_path / "made", version="one", metrics={"as_served": {"weighted_f1": 0.5}}, base_model="base")
    assert register(engine, tmp_path / "made", str(tmp_path / "store")) == "one"
    [row] = versions(engine)
    assert (row.version, row.state, row.location) == ("one", "candidate", str(tmp_path / "store" / "one"))
    assert (row.metrics, row.base_model) == ({"as_served": {"weighted_f1": 0.5}}, "base")
    assert (row.data_fingerprint, row.created_at.isoformat(), row.promoted_at) == (
        "none",
        "2026-01-01T00:00:00+00:00",
        None,
    )
    assert manifest_at(row.location).version == "one"
    assert champion(engine) is None


def test_without_a_store_a_bundle_stays_where_it_is(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "made", version="one")
    monkeypatch.chdir(tmp_path)
    register(engine, Path("made"))
    assert versions(engine)[0].location == str(tmp_path / "made")


def test_a_version_is_registered_once(engine: Engine, registered: Registered, tmp_path: Path) -> None:
    registered("one")
    with pytest.raises(UnusableVersion, match="one is registered already, as candidate"):
        register(engine, tmp_path / "made-one", str(tmp_path / "another store"))
    assert not (tmp_path / "another store").exists()


def test_an_incomplete_bundle_is_not_registered(engine: Engine, tmp_path: Path) -> None:
    make_bundle(tmp_path / "made")
    (tmp_path / "made" / MANIFEST).unlink()
    with pytest.raises(BrokenBundle, match=f"{MANIFEST} is missing"):
        register(engine, tmp_path / "made")
    make_bundle(tmp_path / "astray", version="../astray")
    with pytest.raises(BrokenBundle, match="version"):
        register(engine, tmp_path / "astray", str(tmp_path / "store"))
    assert versions(engine) == []


def test_a_promotion_retires_the_champion_and_tells_who_listens(
    engine: Engine, registered: Registered, postgres_url: str
) -> None:
    registered("one", "two")
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as listener:
        listener.execute("LISTEN model_promoted")
        for name in ("one", "two", "two"):
            promote(engine, name)
        told = [note.payload for note in listener.notifies(timeout=PATIENCE_S, stop_after=2)]
        # The champion's own promotion changes nothing, so it is not told; what comes next is.
        promote(engine, "one")
        told += [note.payload for note in listener.notifies(timeout=PATIENCE_S, stop_after=1)]
    assert told == ["one", "two", "one"]
    assert states(engine) == {"one": "champion", "two": "retired"}
    one, two = sorted(versions(engine))
    assert one.promoted_at
    assert two.promoted_at
    assert one.promoted_at > two.promoted_at


def test_the_newest_candidate_is_found_and_each_version_by_its_name(engine: Engine, registered: Registered) -> None:
    registered("one", "two", "three")
    promote(engine, "three")
    with engine.connect() as connection:
        found, one, none = candidate(connection), by_version(connection, "one"), by_version(connection, "four")
    assert (found and found.version, one and one.state, none) == ("two", "candidate", None)
    for name in ("two", "one"):
        reject(engine, name, "worse")
    with engine.connect() as connection:
        assert candidate(connection) is None


def test_an_unknown_version_is_refused_with_the_nearest(engine: Engine, registered: Registered) -> None:
    with pytest.raises(UnusableVersion, match="nor any other: register"):
        promote(engine, "mine-2026")
    registered("mine-20260101", "other")
    with pytest.raises(UnusableVersion, match="no version mine-2026; the nearest is mine-20260101"):
        promote(engine, "mine-2026")


@pytest.mark.parametrize("name", [MANIFEST, "model.safetensors"])
def test_an_incomplete_bundle_is_not_promoted(
    name: str, engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    registered("one", "two")
    promote(engine, "one")
    (tmp_path / "store" / "two" / name).unlink()
    with pytest.raises(BrokenBundle, match=f"{name} is missing"):
        promote(engine, "two")
    assert states(engine) == {"one": "champion", "two": "candidate"}


def test_a_place_that_holds_another_bundle_by_now_is_not_promoted(
    engine: Engine, registered: Registered, tmp_path: Path
) -> None:
    registered("one")
    make_bundle(tmp_path / "store" / "one", version="another")
    with pytest.raises(UnusableModel, match="holds another, not one"):
        promote(engine, "one")


def test_a_rollback_brings_the_champion_before_back_and_a_second_takes_it_back(
    engine: Engine, registered: Registered
) -> None:
    with pytest.raises(UnusableVersion, match="no champion came before"):
        rollback(engine)
    for name in registered("one", "two", "three"):
        promote(engine, name)
    assert rollback(engine) == "two"
    assert states(engine) == {"one": "retired", "two": "champion", "three": "retired"}
    assert rollback(engine) == "three"


def test_the_first_promotion_is_rolled_back_to_the_released_bundle_which_served_before_it(
    engine: Engine, registered: Registered, released: Path
) -> None:
    promote(engine, *registered("one"))
    assert rollback(engine) == "released"
    assert states(engine) == {"one": "retired", "released": "champion"}
    row = next(row for row in versions(engine) if row.version == "released")
    assert (row.location, row.checksum) == (str(released), checksum(str(released)))
    assert rollback(engine) == "one"


def test_a_released_bundle_that_was_registered_before_keeps_its_row(
    engine: Engine, registered: Registered, released: Path, tmp_path: Path
) -> None:
    register(engine, released, str(tmp_path / "store"))
    promote(engine, *registered("one"))
    assert rollback(engine) == "released"
    assert {row.version: (row.state, row.location) for row in versions(engine)} == {
        "one": ("retired", str(tmp_path / "store" / "one")),
        "released": ("champion", str(tmp_path / "store" / "released")),
    }


def test_a_rejected_or_missing_released_bundle_is_not_rolled_back_to(
    engine: Engine, registered: Registered, released: Path
) -> None:
    register(engine, released)
    reject(engine, "released", "worse")
    promote(engine, *registered("one"))
    with pytest.raises(UnusableVersion, match="no champion came before"):
        rollback(engine)
    shutil.rmtree(released)
    with pytest.raises(UnusableVersion, match="no champion came before"):
        rollback(engine)
    assert states(engine) == {"one": "champion", "released": "rejected"}


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle that comes with the code, as the registry finds it."""
    make_bundle(tmp_path / "released", version="released")
    for user in ("registry.released", "registry.lifecycle"):
        monkeypatch.setattr(f"{user}.released_model", lambda: tmp_path / "released")
    return tmp_path / "released"


def test_a_rejection_keeps_its_reason_and_spares_the_champion(engine: Engine, registered: Registered) -> None:
    registered("one", "two")
    promote(engine, "one")
    reject(engine, "two", "joy fell by 3 points")
    assert states(engine)["two"] == "rejected"
    assert versions(engine)[0].metrics == {"at": 1, "rejected": "joy fell by 3 points"}
    with pytest.raises(UnusableVersion, match="one is the champion"):
        reject(engine, "one", "no")


def test_bundles_may_lie_behind_a_url(engine: Engine, tmp_path: Path) -> None:
    make_bundle(tmp_path / "made", version="one")
    register(engine, tmp_path / "made", "memory://registry/")
    promote(engine, "one")
    assert versions(engine)[0].location == "memory://registry/one"


def test_the_released_bundle_can_be_promoted_wherever_it_was_registered(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of another machine names a folder that is not there; here it lies beside the code."""
    monkeypatch.setattr("registry.released.released_model", lambda: tmp_path / "here")
    make_bundle(tmp_path / "here", version="one")
    register(engine, tmp_path / "here")
    with engine.begin() as connection:
        connection.execute(update(model_versions).values(location="/of/another/machine"))
    promote(engine, "one")
    assert states(engine) == {"one": "champion"}
