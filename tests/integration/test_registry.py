"""The model registry: one champion at any time, always a complete bundle, and a way back."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from bundles import make_bundle
from services import Postgres, engine_fixture
from sqlalchemy import Engine, select, text, update

from registry.errors import BrokenBundle, UnusableLocation
from registry.locations import manifest_at
from registry.versions import by_version, candidate
from schemas.bundle import MANIFEST, Manifest
from schemas.tables import model_versions, training_runs
from training.cli import main
from training.database import UnusableDatabase, connect
from training.errors import UnusableModel
from training.registry import (
    UnusableVersion,
    add_anew,
    champion,
    promote,
    prune,
    register,
    reject,
    rollback,
    versions,
)

Registered = Callable[..., list[str]]


engine = engine_fixture(connect)


@pytest.fixture
def registered(engine: Engine, tmp_path: Path) -> Registered:
    """Registers bundles of the given versions, copied into the store `tmp_path / "store"`."""

    def register_all(*names: str) -> list[str]:
        for at, name in enumerate(names):
            folder = tmp_path / f"made-{name}"
            make_bundle(folder, version=name, created_at=f"2026-01-0{at + 1}T00:00:00Z", metrics={"at": at})
            register(engine, folder, str(tmp_path / "store"))
        return list(names)

    return register_all


def states(engine: Engine) -> dict[str, str]:
    return {row.version: row.state for row in versions(engine)}


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
    with pytest.raises(UnusableModel, match="cannot name a folder"):
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
        told = [note.payload for note in listener.notifies(timeout=30, stop_after=2)]
        # The champion's own promotion changes nothing, so it is not told; what comes next is.
        promote(engine, "one")
        told += [note.payload for note in listener.notifies(timeout=30, stop_after=1)]
    assert told == ["one", "two", "one"]
    assert states(engine) == {"one": "champion", "two": "retired"}
    one, two = sorted(versions(engine))
    assert one.promoted_at
    assert two.promoted_at
    assert one.promoted_at > two.promoted_at


def test_a_reader_sees_the_champion_while_a_promotion_is_under_way(engine: Engine, registered: Registered) -> None:
    registered("one", "two")
    promote(engine, "one")
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE model_versions IN SHARE ROW EXCLUSIVE MODE"))
        connection.execute(model_versions.update().values(state="retired"))
        seen = champion(engine)
        connection.rollback()
    assert seen is not None
    assert seen.version == "one"


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


def test_concurrent_promotions_leave_exactly_one_champion(engine: Engine, registered: Registered) -> None:
    names = registered(*"abcdef")
    start = Barrier(len(names))

    def promote_together(name: str) -> None:
        start.wait()
        promote(engine, name)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(promote_together, names))
    rows = versions(engine)
    assert sorted(row.state for row in rows) == ["champion"] + ["retired"] * 5
    latest = max(rows, key=lambda row: row.promoted_at.timestamp() if row.promoted_at else 0)
    assert latest.state == "champion"


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


def test_a_rejection_keeps_its_reason_and_spares_the_champion(engine: Engine, registered: Registered) -> None:
    registered("one", "two")
    promote(engine, "one")
    reject(engine, "two", "joy fell by 3 points")
    assert states(engine)["two"] == "rejected"
    assert versions(engine)[0].metrics == {"at": 1, "rejected": "joy fell by 3 points"}
    with pytest.raises(UnusableVersion, match="one is the champion"):
        reject(engine, "one", "no")


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


@pytest.fixture
def during_a_look(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Does something between the look whether a bundle lies in its place and what follows from it."""

    def do(deed: Callable[[], object]) -> None:
        def look(location: str) -> Manifest:
            monkeypatch.setattr("training.registry.manifest_at", manifest_at)
            found = manifest_at(location)
            deed()
            return found

        monkeypatch.setattr("training.registry.manifest_at", look)

    return do


def test_a_promotion_and_a_rollback_do_not_ask_the_store_while_others_wait(
    engine: Engine, registered: Registered, during_a_look: Callable[[Callable[[], object]], None]
) -> None:
    registered("one", "two", "three")
    promote(engine, "one")
    during_a_look(lambda: promote(engine, "two"))
    promote(engine, "three")
    assert states(engine) == {"one": "retired", "two": "retired", "three": "champion"}
    during_a_look(lambda: reject(engine, "one", "worse"))
    assert rollback(engine) == "two"


def test_what_is_pruned_during_the_look_is_not_promoted(
    engine: Engine, registered: Registered, during_a_look: Callable[[Callable[[], object]], None]
) -> None:
    registered("one")
    reject(engine, "one", "worse")
    during_a_look(lambda: prune(engine, keep=0))
    with pytest.raises(UnusableVersion, match="pruned meanwhile"):
        promote(engine, "one")
    assert states(engine) == {"one": "rejected"}


def test_a_rollback_takes_no_later_promotion_back(
    engine: Engine, registered: Registered, during_a_look: Callable[[Callable[[], object]], None]
) -> None:
    registered("one", "two", "three")
    for name in ("one", "two"):
        promote(engine, name)
    during_a_look(lambda: promote(engine, "three"))
    with pytest.raises(UnusableVersion, match="changed meanwhile"):
        rollback(engine)
    assert states(engine) == {"one": "retired", "two": "retired", "three": "champion"}


def test_bundles_may_lie_behind_a_url(engine: Engine, tmp_path: Path) -> None:
    make_bundle(tmp_path / "made", version="one")
    register(engine, tmp_path / "made", "memory://registry/")
    promote(engine, "one")
    assert versions(engine)[0].location == "memory://registry/one"


def test_a_database_without_tables_or_rights_or_life_is_told_in_one_line(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE ROLE stranger LOGIN PASSWORD 'right'")
    empty = own_postgres.url(own_postgres.create_database())
    stranger = own_postgres.url().replace("postgres@", "stranger:{}@")
    cases = {
        empty: "lacks what training needs.*emotion-worker migrate",
        stranger.format("wrong"): "refuses us.*password authentication failed",
        stranger.format("right"): "refuses us.*permission denied",
        own_postgres.url("nowhere"): 'refuses us.*"nowhere" does not exist',
    }
    for url, complaint in cases.items():
        with pytest.raises(UnusableDatabase, match=complaint) as refused:
            versions(connect(url))
        assert "\n" not in str(refused.value)
    own_postgres.stop()
    with pytest.raises(UnusableDatabase, match="Postgres is away"):
        versions(connect(own_postgres.url()))


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINING_DATABASE_URL", raising=False)
    monkeypatch.setenv("WORKER_DATABASE_URL", "postgres://user@second/worker")
    assert connect().url.host == "second"
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://user@first/training?sslmode=require")
    assert connect().url.host == "first"
    assert connect("postgresql+psycopg://user@given/one").url.host == "given"
    for wrong in ("mysql://user:secret@host/one", "postgresql://user:secret@host:port/one"):
        with pytest.raises(UnusableDatabase, match="postgresql://") as refused:
            connect(wrong)
        assert "secret" not in str(refused.value)
    monkeypatch.delenv("TRAINING_DATABASE_URL")
    monkeypatch.delenv("WORKER_DATABASE_URL")
    with pytest.raises(UnusableDatabase, match="set TRAINING_DATABASE_URL"):
        connect()


def test_the_commands_do_all_of_it(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
    monkeypatch.setenv("TRAINING_MODEL_STORE", str(tmp_path / "store"))

    def said(*command: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(command))
        answer = capsys.readouterr()
        return answer.err if ended.value.code else answer.out

    for name in ("one", "two"):
        make_bundle(tmp_path / name, version=name, metrics={"as_served": {"weighted_f1": 0.61234}})
        assert said("models", "register", str(tmp_path / name)) == f"{name} is a candidate\n"
        assert said("models", "promote", name).startswith(f"{name} is the champion")
    assert said("models", "promote", "tow") == "emotion-training: there is no version tow; the nearest is two\n"
    assert said("models", "rollback").startswith("one is the champion again")
    head, one, two = said("models", "list").splitlines()
    assert head.split() == ["version", "state", "weighted", "F1", "created", "promoted", "location"]
    assert one.split()[:3] == ["one", "champion", "0.6123"]
    assert two.split()[:2] == ["two", "retired"]
    assert two.endswith(str(tmp_path / "store" / "two"))
    assert said("models", "prune", "--keep", "0") == ""
    (tmp_path / "store" / "two" / MANIFEST).unlink()
    broken = said("models", "promote", "two")
    assert broken.startswith("emotion-training: ")
    assert broken.endswith(f"holds no complete bundle: {MANIFEST} is missing. Copy it there anew\n")


def test_a_run_is_shown_with_every_number_and_verdict(
    engine: Engine, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
    details = {"gate": {"gain": [0.004, 0.021], "verdict": "радость не упала"}}
    rejected = {"state": "rejected", "model_version": "two", "reason": "no gain", "details": details}
    with engine.begin() as connection:
        connection.execute(training_runs.insert().values(state="running"))
        connection.execute(training_runs.insert().values(rejected))
        numbers = connection.execute(select(training_runs.c.id).order_by("id")).scalars().all()

    def said(*command: str) -> str:
        with pytest.raises(SystemExit):
            main(["runs", *command])
        answer = capsys.readouterr()
        return answer.out + answer.err

    head, second, first = said("list").splitlines()
    assert head.split() == ["run", "state", "model", "started", "finished", "reason"]
    assert second.split()[:3] == [str(numbers[1]), "rejected", "two"]
    assert second.endswith("no gain")
    assert first.split()[:3] == [str(numbers[0]), "running", "-"]
    shown = said("show", str(numbers[1]))
    assert "state: rejected\nmodel version: two\nreason: no gain\n" in shown
    assert json.loads(shown[shown.index("{") :]) == details
    assert said("show", "999") == f"emotion-training: there is no run 999; the latest is {numbers[1]}\n"


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
