"""What becomes of labels before they teach and judge; `test_snapshot.py` takes them from the table."""

from operator import attrgetter

from hypothesis import example, given
from hypothesis import strategies as st

from schemas.emotions import EMOTIONS
from training.data.splits import SHARE, VALIDATION, identity, is_held_out, split_of
from training.labels.latest_labels import LearnableLabel, one_a_text, source_of

ALL = frozenset(EMOTIONS)
TEXTS = ["это безобразие", "Это безобразие!", "спасибо вам", "ну где мой заказ"]


def label(text: str, *emotions: str, annotated: frozenset[str] = ALL) -> LearnableLabel:
    return LearnableLabel("calls", identity(text), text, frozenset(emotions), annotated)


def test_a_text_is_judged_once_however_it_is_spelled() -> None:
    rows = list(one_a_text(sorted(label(text, "anger") for text in TEXTS)))
    assert len(rows) == 3
    assert [row.identity for row in rows] == sorted({identity(text) for text in TEXTS})


def test_an_emotion_is_there_where_half_of_those_who_could_give_it_gave_it() -> None:
    few = frozenset({"anger", "neutral"})
    [row] = one_a_text(
        [
            label("да", "anger", "fear"),
            label("да", "anger", "fear"),
            label("да", "joy"),
            label("да", "neutral", annotated=few),
            label("да", "anger", annotated=few),
        ]
    )
    # anger 3 of 5, fear 2 of 3, joy 1 of 3, neutral 1 of 5.
    assert row.emotions == {"anger", "fear"}
    assert row.annotated == ALL


def test_what_nobody_could_give_is_unknown() -> None:
    [row] = one_a_text([label("да", "joy", annotated=frozenset({"joy", "fear"}))])
    assert row.annotated == {"joy", "fear"}


@given(st.lists(st.sampled_from(TEXTS), min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_the_labels_changes_nothing(texts: list[str], chance: object) -> None:
    labels = [label(text, EMOTIONS[at % 7]) for at, text in enumerate(texts)]
    shuffled = list(labels)
    chance.shuffle(shuffled)  # type: ignore[attr-defined] - hypothesis' random.
    one, other = (sorted(each, key=attrgetter("identity")) for each in (labels, shuffled))
    assert list(one_a_text(one)) == list(one_a_text(other))


@given(st.text(max_size=250), st.text(max_size=250))
@example("", "unknown")
def test_each_origin_has_a_file_of_its_own(one: str, other: str) -> None:
    names = source_of(one), source_of(other)
    assert (names[0] == names[1]) == (one == other)
    for name in names:
        assert name
        assert len(name.encode()) < 255
        assert "/" not in name
        assert "\0" not in name
        assert name not in {"validation", "holdout", "dialogues", "synthetic", "parallel"}


def test_the_names_of_public_sets_are_their_own() -> None:
    for name in ("ru_go_emotions", "cedr", "label-studio", "table"):
        assert source_of(name) == name


@given(st.text(max_size=40))
def test_a_text_has_one_side(text: str) -> None:
    assert (split_of(text) == "holdout") == is_held_out(text)


def test_a_tenth_chooses_thresholds() -> None:
    sides = [split_of(f"клиент номер {number} недоволен") for number in range(5_000)]
    assert abs(sides.count("validation") / 5_000 - VALIDATION) < 0.02
    assert abs(sides.count("holdout") / 5_000 - SHARE) < 0.02
