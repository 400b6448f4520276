"""Labels in a real Postgres: stored once, replaced by later ones, counted."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from labelling import NOON, add_results, emotions_in, label
from places import ROOT
from sqlalchemy import Engine, func, select, text, update

from schemas.tables import labelled_texts
from training.label_files.label import Label
from training.labels.table import Stored, list_labels, stats, store

LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)


def came_in_long_ago(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(labelled_texts).values(imported_at=LONG_AGO))


def moments(engine: Engine) -> list[datetime]:
    """Return when each label came in, in the order of their texts."""
    with engine.connect() as connection:
        return list(connection.scalars(select(labelled_texts.c.imported_at).order_by("text")))


def test_importing_twice_changes_nothing(engine: Engine) -> None:
    labels = [label("да", "joy"), label("да", "joy", by="boris"), label("нет", "anger", at=NOON)]
    assert store(engine, labels) == Stored(new=3, changed=0, as_before=0)
    before = list_labels(engine, limit=10)
    assert store(engine, labels) == Stored(new=0, changed=0, as_before=3)
    assert list_labels(engine, limit=10) == before


def test_a_label_comes_in_when_it_is_stored_whenever_it_was_given(engine: Engine) -> None:
    with engine.connect() as connection:
        before = connection.execute(select(func.now())).scalar_one()
    store(engine, [label("да", "joy", at=LONG_AGO), label("нет", "anger")])
    assert min(moments(engine)) > before


@pytest.mark.parametrize(
    ("again", "new"),
    [
        (label("да", "joy", at=NOON), False),
        (label("да", "joy"), False),
        (label("да", "joy", at=NOON + timedelta(hours=1)), False),
        (label("да", "fear", at=NOON - timedelta(hours=1)), False),
        (label("да", "fear", at=NOON), True),
        (label("да", "fear"), True),
        (label("да", "joy", annotated=("anger", "joy"), at=NOON + timedelta(hours=1)), True),
    ],
)
def test_a_label_comes_in_again_where_it_says_something_else(engine: Engine, again: Label, *, new: bool) -> None:
    """Who only saves the same answer again gives a retraining nothing new to learn."""
    store(engine, [label("да", "joy", at=NOON)])
    came_in_long_ago(engine)
    store(engine, [again])
    assert (moments(engine) != [LONG_AGO]) is new


@pytest.mark.parametrize("at", [None, NOON])
def test_a_source_that_is_named_later_is_added_and_the_label_stays_as_old_as_it_was(
    engine: Engine, at: datetime | None
) -> None:
    store(engine, [label("да", "joy", at=at, transcript_id="1")])
    came_in_long_ago(engine)
    [before] = list_labels(engine, limit=10)
    again = [label("да", "joy", at=at, transcript_id="1", source="taxi")]
    assert store(engine, again) == Stored(new=0, changed=1, as_before=0)
    [after] = list_labels(engine, limit=10)
    assert (after.source, after.labelled_at, moments(engine)) == ("taxi", before.labelled_at, [LONG_AGO])
    assert store(engine, again) == Stored(new=0, changed=0, as_before=1)


def test_the_documented_statement_that_corrects_a_label_brings_it_in_again(engine: Engine) -> None:
    document = (ROOT / "docs" / "labelling.md").read_text(encoding="utf-8")
    start = document.index("    INSERT INTO labelled_texts")
    insert = document[start : document.index("\n\n", start)]
    with engine.begin() as connection:
        connection.exec_driver_sql(insert)
    came_in_long_ago(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(insert.replace("{anger}", "{fear}"))
    assert emotions_in(engine) == [("fear",)]
    assert moments(engine) != [LONG_AGO]


@pytest.mark.parametrize("together", [True, False])
def test_a_later_label_of_the_same_annotator_wins_in_whatever_order_they_come(together: bool, engine: Engine) -> None:
    later, earlier = label("да", "fear", at=NOON + timedelta(hours=1)), label("да", "joy", at=NOON)
    for batch in [[later, earlier]] if together else [[later], [earlier]]:
        store(engine, batch)
    assert emotions_in(engine) == [("fear",)]


def test_a_label_without_a_time_is_of_now(engine: Engine) -> None:
    store(engine, [label("да", "joy", at=NOON)])
    assert store(engine, [label("да", "fear")]).changed == 1
    assert emotions_in(engine) == [("fear",)]


def test_of_three_answers_the_last_counts_even_where_it_repeats_the_first(engine: Engine) -> None:
    times = [NOON + timedelta(hours=hour) for hour in range(3)]
    answers = [label("да", name, at=at) for name, at in zip(("joy", "fear", "joy"), times, strict=True)]
    for answer in (answers[0], answers[2], answers[1]):
        store(engine, [answer])
    assert emotions_in(engine) == [("joy",)]


def test_labels_of_different_annotators_and_origins_stand_beside_each_other(engine: Engine) -> None:
    store(engine, [label("да", "joy"), label("да", "fear", by="boris"), label("да", "anger", origin="survey")])
    assert len(emotions_in(engine)) == 3
    [found] = list_labels(engine, annotator="boris", limit=10)
    assert found.emotions == ("fear",)
    assert [row.origin for row in list_labels(engine, emotion="anger", origin="survey", limit=10)] == ["survey"]


def test_thousands_of_labels_go_in(engine: Engine) -> None:
    labels = [label(f"текст {at}", "joy") for at in range(5_000)]
    assert store(engine, labels) == Stored(5_000, 0, 0)
    assert store(engine, labels) == Stored(0, 0, 5_000)


def test_labels_by_plain_sql_count_too_and_nonsense_is_refused(engine: Engine) -> None:
    store(engine, [label("да", "joy")])
    columns = "INSERT INTO labelled_texts (text, emotions, origin, annotator) VALUES"
    with engine.begin() as connection:
        connection.execute(text(f"{columns} ('нет', '{{anger}}', 'sql', 'boris')"))
    found = stats(engine)
    assert (found.labels, found.texts, found.origins) == (2, 2, {"sql": 1, "table": 1})
    assert found.emotions["anger"] == found.emotions["joy"] == 1
    for nonsense in ("('нет', '{rage}', 'sql', '')", "('', '{joy}', 'sql', '')", "('да', '{joy}', '', '')"):
        with pytest.raises(Exception, match="violates check constraint"), engine.begin() as connection:
            connection.execute(text(f"{columns} {nonsense}"))


def test_agreement_is_krippendorffs(engine: Engine) -> None:
    """Source of the figure: alpha = 1 - (n - 1) * o / (n0 * n1), nominal, two coders, o = disagreeing pairs * 2."""
    given = [("joy", "joy"), ("joy", "anger"), ("anger", "anger"), ("anger", "anger")]
    for at, pair in enumerate(given):
        store(engine, [label(f"{at}", name, by=by) for name, by in zip(pair, ("anna", "boris"), strict=True)])
    store(engine, [label("один", "fear")])
    found = stats(engine)
    assert found.doubly == 4
    assert found.alpha["joy"] == pytest.approx(1 - 7 * 2 / (2 * 3 * 5))
    assert found.alpha["fear"] is None


def test_one_annotator_with_two_origins_does_not_agree_with_himself(engine: Engine) -> None:
    store(engine, [label("да", "joy", at=NOON), label("да", "fear", origin="survey", at=NOON + timedelta(1))])
    found = stats(engine)
    assert (found.labels, found.doubly, found.emotions["joy"]) == (1, 0, 0)


def test_who_was_not_asked_for_an_emotion_does_not_disagree_about_it(engine: Engine) -> None:
    for words, emotion in (("да", "joy"), ("нет", "anger")):
        asked = ("anger", "joy")
        store(engine, [label(words, emotion), label(words, emotion, by="boris", annotated=asked)])
    store(engine, [label("ой", "disgust", "joy"), label("ой", "joy", by="boris", annotated=("anger", "joy"))])
    assert stats(engine).alpha["joy"] == 1.0
    assert stats(engine).alpha["disgust"] is None


def test_an_empty_table_has_stats(engine: Engine) -> None:
    found = stats(engine)
    assert (found.labels, found.doubly, set(found.alpha.values())) == (0, 0, {None})


def test_a_label_knows_the_call_of_its_transcript_and_keeps_it(engine: Engine) -> None:
    add_results(engine, ("где заказ", {}), ("пропал", {}))
    about = {"transcript_id": "call-0", "source": "hotline"}
    store(engine, [label("где заказ", "anger", **about), label("пропал", "fear", session_id="mine")])
    sessions = {each.text: each.session_id for each in list_labels(engine, limit=9)}
    assert sessions == {"где заказ": "call", "пропал": "mine"}
    store(engine, [label("пропал", "joy", session_id="another"), label("где заказ", "joy", session_id="another")])
    assert {each.text: (each.session_id, each.emotions) for each in list_labels(engine, limit=9)} == {
        "где заказ": ("call", ("joy",)),
        "пропал": ("mine", ("joy",)),
    }


def test_a_label_without_a_session_gets_the_one_that_a_later_import_names(engine: Engine) -> None:
    store(engine, [label("раз", "joy", at=NOON), label("два", "joy")])
    named = [label("раз", "joy", at=NOON, session_id="call-1"), label("два", "joy", session_id="call-2")]
    assert store(engine, named) == Stored(new=0, changed=2, as_before=0)
    assert store(engine, named) == Stored(new=0, changed=0, as_before=2)
    sessions = {each.text: each.session_id for each in list_labels(engine, limit=9)}
    assert sessions == {"раз": "call-1", "два": "call-2"}


def test_how_a_text_was_drawn_comes_in_with_its_label_or_later(engine: Engine) -> None:
    store(engine, [label("раз", "joy", drawn_by="uncertain", relative_chance=2.5), label("два", "joy")])
    store(engine, [label("раз", "fear"), label("два", "joy", drawn_by="random", relative_chance=1.0)])
    draws = {each.text: (each.drawn_by, each.relative_chance, each.emotions) for each in list_labels(engine, limit=9)}
    assert draws == {"раз": ("uncertain", 2.5, ("fear",)), "два": ("random", 1.0, ("joy",))}
