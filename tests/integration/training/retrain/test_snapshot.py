"""The labels in the table, as a retraining takes them."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from services import engine_fixture
from sqlalchemy import Engine, text

from schemas.emotions import EMOTIONS
from training.data.datasets import load
from training.data.known_texts import KnownTexts
from training.data.leakage import find_leaks
from training.data.splits import split_of
from training.data.tables import read_table
from training.database import connect
from training.errors import UnusableData
from training.label_files.label import Label
from training.labels.table import store
from training.retrain.cross_fitting import FEWEST, write_folds
from training.retrain.run_history import Learnt
from training.retrain.snapshot import REFUSED, Snapshot, take

PLACES = ["москве", "туле", "казани", "омске", "уфе", "перми", "сочи", "твери", "пскове", "чите"]
THINGS = ["заказ", "мастер", "договор", "счет", "курьер", "ответ", "тариф", "адрес", "номер", "возврат"]
TEXTS = [f"где {thing} в {place}" for thing in THINGS for place in PLACES]


engine = engine_fixture(connect)


def label(words: str, *emotions: str, origin: str = "calls", **fields: object) -> Label:
    return Label(text=words, emotions=emotions or ("anger",), origin=origin, **fields)  # type: ignore[arg-type] - the test's own.


def taken(
    engine: Engine,
    folder: Path,
    *,
    apart: str = "",
    learnt: str = "",
    known: Sequence[str] = (),
    public: str = "",
    network: bool = False,
) -> Snapshot:
    sets = load([public], "validation") if public else []
    champion = Learnt(datetime(2026, 1, 1, tzinfo=UTC), [learnt], network=network, texts=KnownTexts.of(known))
    return take(engine, folder, judges=lambda source: source not in {apart, learnt}, learnt=champion, public=sets)


def choosing(snapshot: Snapshot) -> set[str]:
    [examples] = load(snapshot.data, "validation")
    return set(examples.texts)


def test_each_text_is_on_its_side_and_the_holdout_only_grows(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS[:50]])
    before = taken(engine, tmp_path / "before")
    store(engine, [label(words, "joy", annotator="anna") for words in TEXTS])
    after = taken(engine, tmp_path / "after")
    held_out = {snapshot.folder.name: set(snapshot.judging_rows().texts) for snapshot in (before, after)}
    assert held_out["before"] < held_out["after"]
    assert held_out["after"] == {words for words in TEXTS if split_of(words) == "holdout"}
    for snapshot in (before, after):
        [teaching] = load(snapshot.data, "train")
        assert {split_of(words) for words in teaching.texts} == {"train"}
        assert {split_of(words) for words in choosing(snapshot)} == {"validation"}
    assert before.fingerprint != after.fingerprint


def test_each_annotator_teaches_and_only_their_last_word(engine: Engine, tmp_path: Path) -> None:
    [words, *others] = [words for words in TEXTS if split_of(words) == "train"]
    early = datetime(2026, 1, 1, tzinfo=UTC)
    said = [
        label(words, "anger", annotator="anna", labelled_at=early),
        label(words, "fear", annotator="anna", origin="desk"),
        label(words, "joy", "neutral", annotator="boris", annotated=("joy", "neutral")),
    ]
    store(engine, [*said, *(label(other) for other in (*others, *TEXTS))])
    of_it = {}
    for examples in load(taken(engine, tmp_path / "snapshot").data, "train"):
        rows = [at for at, there in enumerate(examples.texts) if there == words]
        of_it[examples.source] = [
            ({EMOTIONS[place] for place in np.flatnonzero(examples.targets[at])}, int(examples.annotated[at].sum()))
            for at in rows
        ]
    assert of_it["desk"] == [({"fear"}, 7)]
    assert sorted(of_it["calls"], key=str) == sorted([({"joy", "neutral"}, 2), ({"anger"}, 7)], key=str)


def test_the_last_word_on_a_text_counts_however_it_was_spelled(engine: Engine, tmp_path: Path) -> None:
    [first, second, *others] = [words for words in TEXTS if split_of(words) == "train"]
    early = datetime(2026, 1, 1, tzinfo=UTC)
    said = [
        label(first, "anger", annotator="anna", labelled_at=early + timedelta(days=1)),
        label(f"{first.capitalize()}!", "joy", annotator="anna", labelled_at=early),
        label(second, "anger", labelled_at=early),
        label(second.upper(), "fear", labelled_at=early + timedelta(days=1)),
    ]
    store(engine, [*said, *(label(words, origin="desk") for words in (*others, *TEXTS))])
    [calls, _] = load(taken(engine, tmp_path / "snapshot").data, "train")
    of_it = {words: EMOTIONS[np.flatnonzero(row)[0]] for words, row in zip(calls.texts, calls.targets, strict=True)}
    assert of_it == {first: "anger", second.upper(): "fear"}
    assert len(calls) == 2


def test_what_the_champion_learnt_whole_teaches_and_does_not_judge(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS[:60]] + [label(words, origin="cedr") for words in TEXTS[60:]])
    snapshot = taken(engine, tmp_path / "snapshot", learnt="cedr")
    assert set(snapshot.teaching) == {"calls", "cedr"}
    assert set(snapshot.judging_rows().texts) == {words for words in TEXTS[:60] if split_of(words) == "holdout"}
    assert snapshot.apart == sum(split_of(words) != "train" for words in TEXTS[60:])


def test_what_the_champion_learnt_whole_does_not_judge_under_another_origin_either(
    engine: Engine, tmp_path: Path
) -> None:
    """However it is spelled, and though Anna's word on it is another one by now."""
    again = [words for words in TEXTS[60:] if split_of(words) != "train"]
    early = datetime(2026, 1, 1, tzinfo=UTC)
    known = [label(words, origin="cedr", annotator="anna", labelled_at=early) for words in TEXTS[60:]]
    spelled = [words if at % 2 else f"{words.upper()}!" for at, words in enumerate(again)]
    store(engine, [*known, *(label(words, annotator="anna") for words in spelled)])
    store(engine, [label(words) for words in TEXTS[:60]])
    snapshot = taken(engine, tmp_path / "snapshot", learnt="cedr")
    assert set(snapshot.judging_rows().texts) == {words for words in TEXTS[:60] if split_of(words) == "holdout"}
    assert choosing(snapshot) == {words for words in TEXTS[:60] if split_of(words) == "validation"}
    assert snapshot.apart == len(again)


def test_a_text_that_the_champions_bundle_names_neither_judges_nor_chooses_whatever_its_origin_and_spelling(
    engine: Engine, tmp_path: Path
) -> None:
    """A champion fitted on own.csv knows the rows, though they were imported from another file."""
    store(engine, [label(f"{words.capitalize()}!", origin="table") for words in TEXTS])
    snapshot = taken(engine, tmp_path / "snapshot", known=TEXTS[60:])
    assert {words.lower().strip("!") for words in snapshot.judging_rows().texts} == {
        words for words in TEXTS[:60] if split_of(words) == "holdout"
    }
    assert {words.lower().strip("!") for words in choosing(snapshot)} == {
        words for words in TEXTS[:60] if split_of(words) == "validation"
    }
    assert snapshot.apart == sum(split_of(words) != "train" for words in TEXTS[60:])
    [teaching] = load(snapshot.data, "train")
    assert len(teaching) == sum(split_of(words) == "train" for words in TEXTS), "they still teach"


def test_what_only_does_not_judge_keeps_no_other_origin_from_judging(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words, origin=origin) for words in TEXTS for origin in ("calls", "pilot")])
    snapshot = taken(engine, tmp_path / "snapshot", apart="pilot")
    assert set(snapshot.judging_rows().texts) == {words for words in TEXTS if split_of(words) == "holdout"}


def test_no_row_chooses_that_is_near_to_one_that_judges(engine: Engine, tmp_path: Path) -> None:
    """Thresholds that were tuned on a text flatter the model that is judged on nearly the same text."""
    held_out = [words for words in TEXTS if split_of(words) == "holdout"]
    turned = [" ".join(order) for words in held_out for order in permutations(words.split())]
    near = {words for words in turned if split_of(words) == "validation"}
    store(engine, [label(words) for words in (*TEXTS, *near)])
    snapshot = taken(engine, tmp_path / "snapshot")
    assert near
    assert choosing(snapshot) == {words for words in TEXTS if split_of(words) == "validation"}
    with (snapshot.folder / REFUSED).open(encoding="utf-8", newline="") as lines:
        refused = [(row["source"], row["text"]) for row in csv.DictReader(lines)]
    assert sorted(refused) == sorted(("validation", words) for words in near)
    assert (snapshot.refused, snapshot.holdout) == (len(near), len(held_out))


def test_no_row_teaches_that_is_near_to_one_that_judges(engine: Engine, tmp_path: Path) -> None:
    sides = {name: [words for words in TEXTS if split_of(words) == name] for name in ("train", "validation", "holdout")}
    near = [f"{words} {words}" for name in ("validation", "holdout") for words in sides[name]]
    near = [words for words in near if split_of(words) == "train"]
    public = tmp_path / "public.csv"
    public.write_text(f"text,emotions,split\n{sides['train'][0]},anger,validation\n", encoding="utf-8")
    store(engine, [label(words) for words in (*TEXTS, *near)])
    snapshot = taken(engine, tmp_path / "snapshot", public=str(public))
    [teaching] = load(snapshot.data, "train")
    assert near
    assert not {*near, sides["train"][0]} & set(teaching.texts)
    assert snapshot.refused == len(near) + 1
    assert len((snapshot.folder / REFUSED).read_text(encoding="utf-8").splitlines()) == snapshot.refused + 1


def test_a_snapshot_that_is_there_is_taken_again(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS[:50]])
    first = taken(engine, tmp_path / "snapshot")
    store(engine, [label(words) for words in TEXTS])
    assert taken(engine, tmp_path / "snapshot") == first
    assert taken(engine, tmp_path / "another").fingerprint != first.fingerprint


def test_equal_labels_have_equal_fingerprints_in_whatever_order_they_came(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS])
    first = taken(engine, tmp_path / "first")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM labelled_texts"))
    store(engine, [label(words) for words in reversed(TEXTS)])
    assert taken(engine, tmp_path / "second").fingerprint == first.fingerprint


def test_texts_that_say_nothing_and_english_ones_are_left_out(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS])
    first = taken(engine, tmp_path / "first")
    store(engine, [label("   "), label("you are great", origin="goemotions")])
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO labelled_texts (text, emotions, annotated, origin) VALUES ('ага', '{}', '{}', 'sql')")
        )
    assert taken(engine, tmp_path / "second").fingerprint == first.fingerprint


def test_without_labels_that_judge_there_is_no_snapshot(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS if split_of(words) != "holdout"])
    with pytest.raises(UnusableData, match="no labels are there to judge"):
        taken(engine, tmp_path / "snapshot")


def test_the_files_are_tables_that_fit_reads(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words, origin="a/b c") for words in TEXTS])
    snapshot = taken(engine, tmp_path / "snapshot")
    [name] = snapshot.teaching
    assert name.startswith("a_b_c-")
    assert read_table(snapshot.folder / f"{name}.jsonl", "train")
    assert read_table(snapshot.folder / "holdout.jsonl", "train") is None


def call(number: int) -> str:
    return f"call-{number}"


def test_a_call_teaches_or_chooses_or_judges_and_never_two_of_these(engine: Engine, tmp_path: Path) -> None:
    of_call = {words: call(at // 4) for at, words in enumerate(TEXTS)}
    store(engine, [label(words, session_id=of_call[words]) for words in TEXTS])
    snapshot = taken(engine, tmp_path / "snapshot")
    parts = {
        "holdout": snapshot.judging_rows(),
        "validation": snapshot.chooses(),
        "train": snapshot.teachers(["calls"])[0],
    }
    for name, examples in parts.items():
        assert set(examples.texts) == {words for words in TEXTS if split_of(words, of_call[words]) == name}
        assert examples.dialogues == [of_call[words] for words in examples.texts]
    assert {split_of(words) for words in parts["train"].texts} == {"train", "validation", "holdout"}


def test_a_text_of_several_calls_stays_where_it_was_labelled_first(engine: Engine, tmp_path: Path) -> None:
    """Else a champion that has learnt it would be judged on it."""
    calls = [call(number) for number in range(100)]
    sides = {
        name: [each for each in calls if split_of("", each) == name] for name in ("train", "validation", "holdout")
    }
    store(engine, [label(words, session_id=calls[at]) for at, words in enumerate(TEXTS)])
    teaching = [words for at, words in enumerate(TEXTS) if split_of("", calls[at]) == "train"]
    before = taken(engine, tmp_path / "before")
    again = [label(words, annotator="boris", session_id=sides["holdout"][0]) for words in teaching]
    store(engine, again)
    after = taken(engine, tmp_path / "after")
    assert set(after.judging_rows().texts) == set(before.judging_rows().texts)
    assert after.teaching == before.teaching
    assert after.apart == len(teaching)


def test_what_somebody_picked_in_an_unknown_way_only_teaches(engine: Engine, tmp_path: Path) -> None:
    picked, drawn, weighted = TEXTS[:30], TEXTS[30:60], TEXTS[60:]
    corrected = [label(words, transcript_id=f"t-{words}") for words in picked]
    by_chance = [label(words, transcript_id=f"t-{words}", relative_chance=1.0) for words in drawn]
    store(engine, [*corrected, *by_chance, *(label(words, relative_chance=2.5) for words in weighted)])
    snapshot = taken(engine, tmp_path / "snapshot")
    judging = snapshot.judging_rows()
    assert set(judging.texts) == {words for words in (*drawn, *weighted) if split_of(words) == "holdout"}
    assert judging.chances is not None
    assert judging.chances.tolist() == [2.5 if words in weighted else 1.0 for words in judging.texts]
    assert set(picked) & set(snapshot.teachers(["calls"])[0].texts)


def test_what_the_champion_has_not_learnt_can_judge_by_turns(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS])
    first = taken(engine, tmp_path / "first")
    assert set(first.by_turns().texts) == {words for words in TEXTS if split_of(words) != "holdout"}
    second = taken(engine, tmp_path / "second", known=TEXTS[:50], network=True)
    assert set(second.by_turns().texts) == {words for words in TEXTS[50:] if split_of(words) != "holdout"}
    assert second.fresh == len(second.by_turns())
    assert taken(engine, tmp_path / "third", network=True).fresh == 0, "nobody knows what such a champion has learnt"


def test_no_fold_learns_a_call_or_a_text_that_it_is_judged_on(engine: Engine, tmp_path: Path) -> None:
    near = [f"{words} {words}" for words in TEXTS]
    store(engine, [label(words, session_id=call(at // 3)) for at, words in enumerate(TEXTS)])
    store(engine, [label(words, session_id=call(50 + at)) for at, words in enumerate(near)])
    snapshot = taken(engine, tmp_path / "snapshot")
    folds = write_folds(snapshot, tmp_path / "folds", 4)
    judged = [words for fold in folds for words in fold.rows.texts]
    assert sorted(judged) == sorted(snapshot.by_turns().texts), "each judges once"
    for fold in folds:
        learnt = [*load(fold.data, "train"), *load(fold.data, "validation")]
        assert not {name for rows in learnt for name in rows.dialogues or ()} & set(fold.rows.dialogues or ())
        assert not find_leaks(learnt[0], [fold.rows])
        assert sum(map(len, learnt)) > 10


def test_few_new_labels_are_not_worth_folds(engine: Engine, tmp_path: Path) -> None:
    store(engine, [label(words) for words in TEXTS])
    snapshot = taken(engine, tmp_path / "snapshot")
    assert snapshot.fresh < FEWEST
    assert write_folds(snapshot, tmp_path, 4) == []
    assert write_folds(snapshot._replace(fresh=FEWEST), tmp_path, 0) == []
