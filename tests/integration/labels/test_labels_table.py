"""Labels in a real Postgres: stored once, replaced by later ones, counted."""

from datetime import timedelta

import pytest
from labelling import NOON, emotions_in, label
from sqlalchemy import Engine, text

from training.labels.table import Stored, listed, stats, store


def test_importing_twice_changes_nothing(engine: Engine) -> None:
    labels = [label("да", "joy"), label("да", "joy", by="boris"), label("нет", "anger", at=NOON)]
    assert store(engine, labels) == Stored(new=3, changed=0, as_before=0)
    before = listed(engine, limit=10)
    assert store(engine, labels) == Stored(new=0, changed=0, as_before=3)
    assert listed(engine, limit=10) == before


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
    [found] = listed(engine, annotator="boris", limit=10)
    assert found.emotions == ("fear",)
    assert [row.origin for row in listed(engine, emotion="anger", origin="survey", limit=10)] == ["survey"]


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
    for nonsense in ("('нет', '{rage}', 'sql', '')", "('', '{joy}', 'sql', '')"):
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
