"""Who reads and writes the registry at the same time: one champion, and nobody waits for a store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from registered import Registered, registered_fixture, states
from services import engine_fixture
from sqlalchemy import Engine, text

from registry.contents import manifest_at
from registry.errors import UnusableVersion
from registry.lifecycle import champion, promote, reject, rollback, versions
from registry.prune import prune
from schemas.bundle import Manifest
from schemas.tables import model_versions
from training.database import connect

engine = engine_fixture(connect)
registered = registered_fixture()


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


@pytest.fixture
def during_a_look(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Does something between the look whether a bundle lies in its place and what follows from it."""

    def do(deed: Callable[[], object]) -> None:
        def look(location: str) -> Manifest:
            monkeypatch.setattr("registry.lifecycle.manifest_at", manifest_at)
            found = manifest_at(location)
            deed()
            return found

        monkeypatch.setattr("registry.lifecycle.manifest_at", look)

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
