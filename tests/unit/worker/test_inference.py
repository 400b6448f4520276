"""The model's stage: poison, thresholds, and what needs no model."""

import weakref

import msgspec
import numpy as np
import pytest
from fakes import POISON, StubClassifier, scores_of
from hypothesis import given
from hypothesis import strategies as st
from makers import bad_record, chunk_of, partition, record, utterances
from numpy.typing import NDArray
from structlog.testing import capture_logs

from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from worker.batching import read
from worker.claims import Claim
from worker.errors import TooManyDeadLetters
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Rejected, Utterance, all_parts
from worker.stages import Inference


def inference(classifier: StubClassifier, most_in_a_row: int | None = None) -> Inference:
    return Inference(Serving(classifier), Metrics(), most_in_a_row)


@given(st.sets(st.integers(0, 255), min_size=3, max_size=3))
def test_poison_three_bad_texts_in_256_are_found_in_at_most_49_calls_and_the_rest_is_scored(bad: set[int]) -> None:
    classifier = StubClassifier()
    texts = [f"{POISON} {number}" if number in bad else f"текст {number}" for number in range(256)]
    chunk = chunk_of(utterances(texts))
    inference(classifier)(chunk)
    assert classifier.calls <= 2 * 3 * 8 + 1
    assert [item.record.offset for item in chunk.utterances] == [at for at in range(256) if at not in bad]
    assert [item.record.offset for item in chunk.rejected] == sorted(bad)
    assert {item.stage for item in chunk.rejected} == {"classify"}
    for item in chunk.utterances:
        assert item.scores == pytest.approx(scores_of(item.text))
    assert chunk.next_offsets == {partition(0): 256}


def call(offset: int, *texts: str) -> Utterance:
    return read(record(offset, "", segments=[{"text": text} for text in texts]))


def test_a_call_with_one_bad_segment_is_rejected_whole_and_its_neighbours_are_scored() -> None:
    calls = [call(0, "да", "[шум]", "нет"), call(1, "да", f"{POISON} 1", f"{POISON} 2"), call(2, "ну", "ладно")]
    chunk = chunk_of(calls)
    inference(StubClassifier(), most_in_a_row=1)(chunk)
    assert [(item.record.offset, item.stage) for item in chunk.rejected] == [(1, "classify")]
    assert [item.record.offset for item in chunk.utterances] == [0, 2]
    for part in all_parts(chunk.utterances):
        assert part.scores == (pytest.approx(scores_of(part.text)) if part.text else None)


def test_a_model_that_rejects_everything_is_no_matter_of_a_few_texts() -> None:
    with pytest.raises(TooManyDeadLetters):
        inference(StubClassifier(), most_in_a_row=10)(chunk_of(utterances([POISON] * 256)))


def test_what_the_decoder_rejected_stays_beside_what_the_model_rejects() -> None:
    undecoded = Rejected(bad_record(2), "decode", ValueError())
    chunk = chunk_of(utterances(["да", POISON]), [undecoded])
    inference(StubClassifier())(chunk)
    assert [(item.record.offset, item.stage) for item in chunk.rejected] == [(2, "decode"), (1, "classify")]


def test_emotions_are_those_at_or_above_their_own_threshold() -> None:
    class Fixed(StubClassifier):
        rule = Rule(np.array([0.9, 0.5, 0.5, 0.2, 0.5, 0.5, 0.5], np.float32))

        def classify(self, texts: list[str]) -> NDArray[np.float32]:
            return np.tile(np.array([0.8, 0.5, 0.4, 0.25, 0, 0, 1], np.float32), (len(texts), 1))

    chunk = chunk_of(utterances(["да"]))
    inference(Fixed())(chunk)
    assert chunk.utterances[0].emotions == ["disgust", "joy", "neutral"]
    assert chunk.utterances[0].scores == pytest.approx([0.8, 0.5, 0.4, 0.25, 0, 0, 1])


@given(st.lists(st.floats(0, 1, width=32), min_size=7, max_size=7))
def test_every_set_of_emotions_is_named_rightly(scores: list[float]) -> None:
    class Fixed(StubClassifier):
        def classify(self, texts: list[str]) -> NDArray[np.float32]:
            return np.array([scores for _ in texts], np.float32)

    chunk = chunk_of(utterances(["да"]))
    inference(Fixed())(chunk)
    expected = [emotion for emotion, score in zip(EMOTIONS, scores, strict=True) if score >= 0.5]
    assert chunk.utterances[0].emotions == expected


def test_empty_texts_get_no_call_and_no_scores() -> None:
    classifier = StubClassifier()
    chunk = chunk_of(utterances(["", "[laughter]"]))
    inference(classifier)(chunk)
    assert classifier.calls == 0
    assert [(item.scores, item.emotions) for item in chunk.utterances] == [(None, None)] * 2


def test_empty_texts_keep_their_place_between_others() -> None:
    classifier = StubClassifier()
    chunk = chunk_of(utterances(["да", "", "нет"]))
    inference(classifier)(chunk)
    assert classifier.calls == 1
    assert [item.scores is None for item in chunk.utterances] == [False, True, False]
    assert chunk.utterances[2].scores == pytest.approx(scores_of("нет"))


def test_what_was_said_in_another_language_costs_no_forward_pass_and_says_why_it_has_no_scores() -> None:
    seen = []

    class Watched(StubClassifier):
        def classify(self, texts: list[str]) -> NDArray[np.float32]:
            seen.append(texts)
            return super().classify(texts)

    told = ["kk", None, "ru-RU", "klingon", "kk-KZ"]
    chunk = chunk_of(utterances(["раз", "два", "три", "четыре", "пять"]))
    for item, language in zip(chunk.utterances, told, strict=True):
        item.transcript = msgspec.structs.replace(item.transcript, language=language)
    metrics = Metrics()
    with capture_logs() as logs:
        stage = Inference(Serving(Watched()), metrics, None)
        for _ in range(2):
            stage(chunk)
    metrics.stored(chunk)
    assert [item.not_scored for item in chunk.utterances] == ["language", None, None, "language", "language"]
    assert [item.scores is None for item in chunk.utterances] == [True, False, False, True, True]
    assert seen == [["два", "три"]] * 2
    assert metrics.registry.get_sample_value("emotion_not_scored_total", {"reason": "language"}) == 3
    assert [log["language"] for log in logs if log["log_level"] == "warning"] == ["kk", "klingon", "kk-KZ"]


def test_a_model_of_another_language_takes_its_own_and_leaves_russian() -> None:
    class Kazakh(StubClassifier):
        language = "kk"

    chunk = chunk_of(utterances(["да"] * 2))
    for item, language in zip(chunk.utterances, ["kk-KZ", "ru"], strict=True):
        item.transcript = msgspec.structs.replace(item.transcript, language=language)
    inference(Kazakh())(chunk)
    assert [item.not_scored for item in chunk.utterances] == [None, "language"]


def test_one_model_classifies_a_whole_chunk_and_the_next_chunk_has_the_new_one() -> None:
    class Replaced(StubClassifier):
        version = "old"

        def classify(self, texts: list[str]) -> NDArray[np.float32]:
            serving.classifier = New()
            return super().classify(texts)

    class New(StubClassifier):
        version = "new"

    old = Replaced()
    serving = Serving(old)
    stage = Inference(serving, Metrics(), None)
    chunks = [chunk_of(utterances(["да", POISON, "нет"])) for _ in range(2)]
    for chunk in chunks:
        stage(chunk)
    assert [chunk.model_version for chunk in chunks] == ["old", "new"]
    assert old.calls == 5


def test_a_model_that_was_replaced_is_freed() -> None:
    serving = Serving(StubClassifier())
    old = weakref.ref(serving.classifier)
    stage = Inference(serving, Metrics(), None)
    stage(chunk_of(utterances(["да", POISON])))
    serving.classifier = StubClassifier()
    assert old() is None


def test_claims_pass_the_model_by() -> None:
    claims = (Claim(partition(0), 5, None),)
    assert inference(StubClassifier())(claims) is claims
