"""What a worker begins with: the champion, or what stands in for it where it cannot be served."""

import pytest
from follower import Loaded, Rig, failing, lines_fixture, rig_fixture, said
from services import wait_for

from registry.lifecycle import promote
from registry.versions import ModelVersion
from worker.errors import Away, ConfigurationError
from worker.records import Classifier
from worker.swap.follower import Load, Refusal, load_champion

rig = rig_fixture()
lines = lines_fixture()


def released() -> Classifier:
    return Loaded("released")


def test_a_worker_begins_with_the_champion_and_waits_for_it_where_it_is_away(rig: Rig) -> None:
    assert load_champion(rig.engine, rig.load, released).classifier.version == "released"
    rig.register("one", "two")
    for name in ("one", "two"):
        promote(rig.registry, name)
    classifier, refusal = load_champion(rig.engine, rig.load, failing(AssertionError("what was released is loaded")))
    assert (classifier.version, refusal) == ("two", None)
    with pytest.raises(Away, match="the store is away"):
        load_champion(rig.engine, failing(Away("the store is away")), released)


def refusing(*versions: str, error: Exception) -> Load:
    def load(row: ModelVersion) -> Classifier:
        if row.version in versions:
            raise error
        return Loaded(row.version)

    return load


@pytest.mark.parametrize("error", [ConfigurationError("cut short."), ZeroDivisionError("cut short")])
def test_a_worker_begins_with_the_champion_before_where_the_champion_cannot_be_served_and_then_with_the_released_one(
    rig: Rig, lines: list[dict[str, object]], error: Exception
) -> None:
    rig.register("one", "two")
    for name in ("one", "two"):
        promote(rig.registry, name)
    for broken, serving in ((("two",), "one"), (("one", "two"), "released")):
        classifier, refusal = load_champion(rig.engine, refusing(*broken, error=error), released)
        assert (classifier.version, refusal) == (serving, Refusal("two", type(error)))
        [line] = said(lines, "the champion cannot be served: another model stands in")
        assert (line["champion"], line["serving"], line["error"]) == ("two", serving, "cut short")
        assert "models rollback" in str(line["remedy"])
        lines.clear()


def test_where_nothing_at_all_can_be_served_the_worker_ends_with_what_is_wrong_with_the_champion(rig: Rig) -> None:
    rig.register("one")
    promote(rig.registry, "one")
    broken = failing(ConfigurationError("cut short."))
    with pytest.raises(ConfigurationError, match=r"champion one cannot be served: cut short\. Or roll back .*WORKER_M"):
        load_champion(rig.engine, broken, broken)


def test_a_champion_that_was_refused_at_the_start_is_tried_again_and_not_told_of_again(
    rig: Rig, lines: list[dict[str, object]]
) -> None:
    rig.register("one")
    promote(rig.registry, "one")
    loads, rig.load = rig.load, failing(ConfigurationError("cut short"))
    rig.start(0.05, Refusal("one", ConfigurationError))
    wait_for(lambda: (rig.figure("emotion_model_swap_failures_total") or 0) >= 2, what="two tries")
    assert rig.figure("emotion_model_behind") == 1
    assert said(lines, "cannot be served") == []
    rig.load = loads
    rig.wait_for("one")
