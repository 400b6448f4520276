"""The holdout: what is held out stays so, whatever comes later."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services import PATIENCE_S

from schemas.normalization import normalize
from training.data.splits import is_held_out

TEXTS = st.text(alphabet="абвгдеёжзиклмнопрстуЯЖ ,.!?-эм", max_size=40) | st.text(max_size=30)
SHARES = st.floats(0, 1)


@given(TEXTS, SHARES)
def test_a_text_and_its_normalized_form_are_on_one_side(text: str, share: float) -> None:
    assert is_held_out(text, share) == is_held_out(normalize(text), share)


@given(st.lists(st.sampled_from(["я", "не", "знаю", "что", "это", "такое"]), min_size=1), SHARES)
def test_case_marks_and_fillers_move_no_text(words: list[str], share: float) -> None:
    plain = " ".join(words)
    for form in (plain.upper(), f"{plain}!", ", ".join(words), f"ээээ {plain}", f" {'  '.join(words)} "):
        assert is_held_out(form, share) == is_held_out(plain, share), form


@given(TEXTS, SHARES, SHARES)
def test_a_larger_share_holds_out_all_that_a_smaller_one_did(text: str, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert is_held_out(text, larger) or not is_held_out(text, smaller)


@given(TEXTS)
def test_nothing_and_all_are_shares_too(text: str) -> None:
    assert not is_held_out(text, 0)
    assert is_held_out(text, 1)


@given(st.sets(TEXTS), st.sets(TEXTS))
def test_new_labels_only_add_to_the_holdout(first: set[str], later: set[str]) -> None:
    before = {text for text in first if is_held_out(text)}
    after = {text for text in first | later if is_held_out(text)}
    assert before <= after
    assert after - before <= later


def test_the_share_is_met() -> None:
    texts = [f"клиент номер {number} недоволен" for number in range(5_000)]
    assert sum(map(is_held_out, texts)) / len(texts) == pytest.approx(0.2, abs=0.02)
    assert sum(is_held_out(text, 0.05) for text in texts) / len(texts) == pytest.approx(0.05, abs=0.01)


def test_the_sides_are_those_of_every_other_process_and_release() -> None:
    texts = ["да", "нет", "алло", "ужас", "плохо", "ладно", "я не понимаю", "?!", ""]
    sides = [False, False, False, True, False, True, False, False, False]
    assert [is_held_out(text) for text in texts] == sides
    code = f"from training.data.splits import is_held_out; print([is_held_out(text) for text in {texts!r}])"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert again.stdout.strip() == str(sides)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="must be 0 to 1"):
        is_held_out("да", share)
