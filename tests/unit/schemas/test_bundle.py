"""A bundle that this version must not serve is refused, and the message says what to do."""

import math
from typing import Any

import msgspec
import pytest

from schemas.bundle import Calibration, Manifest, Tuning, UnusableBundle, read_manifest
from schemas.emotions import EMOTIONS
from schemas.model_files import read_config
from schemas.normalization import NORMALIZER

GOOD = Manifest(
    version="small-1",
    labels=EMOTIONS,
    thresholds=dict.fromkeys(EMOTIONS, 0.4),
    calibration=dict.fromkeys(EMOTIONS, Calibration(scale=1.2, bias=-0.1)),
    normalizer=NORMALIZER,
    base_model="encoder",
    data_fingerprint="abc",
    metrics={"weighted_f1": 0.66},
    created_at="2026-03-02T12:00:00Z",
)


def changed(**fields: Any) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(GOOD) | fields)


def test_a_manifest_survives_writing_and_reading() -> None:
    assert read_manifest(GOOD.encode()) == GOOD


def test_a_manifest_is_written_for_people_to_read() -> None:
    assert GOOD.encode().startswith(b'{\n  "version": "small-1",\n')


def test_calibration_is_the_identity_where_nothing_is_said() -> None:
    assert Calibration() == Calibration(scale=1.0, bias=0.0)


@pytest.mark.parametrize(
    "labels",
    [("positive", "negative"), EMOTIONS[:-1], (*EMOTIONS, "trust"), EMOTIONS[::-1]],
    ids=["foreign", "one missing", "one more", "other order"],
)
def test_foreign_labels_are_refused_with_both_lists_and_the_remedy(labels: tuple[str, ...]) -> None:
    with pytest.raises(UnusableBundle, match="emotion-training fit") as refusal:
        read_manifest(changed(labels=labels))
    assert ", ".join(labels) in str(refusal.value)
    assert ", ".join(EMOTIONS) in str(refusal.value)


def test_a_missing_threshold_is_refused() -> None:
    with pytest.raises(UnusableBundle):
        read_manifest(changed(thresholds={"anger": 0.4}))


def test_a_missing_calibration_is_refused_with_the_remedy() -> None:
    with pytest.raises(UnusableBundle, match=r"calibrates anger, .*Export the bundle again"):
        read_manifest(changed(calibration={"anger": Calibration()}))


def test_a_foreign_normalizer_is_refused_with_both_versions_and_the_remedy() -> None:
    with pytest.raises(UnusableBundle, match="fit the model again") as refusal:
        read_manifest(changed(normalizer="ru-asr-0"))
    assert "ru-asr-0" in str(refusal.value)
    assert NORMALIZER in str(refusal.value)


TUNED = Tuning(thresholds=dict.fromkeys(EMOTIONS, 0.3), calibration=GOOD.calibration)
BOTH = msgspec.structs.replace(GOOD, convention="calls", neutral="exclusive", others={"public": TUNED})


def test_a_manifest_that_names_no_convention_follows_the_public_one_with_independent_neutral() -> None:
    old = {name: value for name, value in msgspec.to_builtins(GOOD).items() if name not in {"convention", "neutral"}}
    read = read_manifest(msgspec.json.encode({name: value for name, value in old.items() if name != "others"}))
    assert read == GOOD
    assert list(read.tunings) == ["public"]
    assert read.tuning() == Tuning(thresholds=GOOD.thresholds, calibration=GOOD.calibration, neutral="independent")


def test_a_bundle_of_two_conventions_names_the_outputs_of_each() -> None:
    assert read_manifest(BOTH.encode()) == BOTH
    assert BOTH.outputs == [*EMOTIONS, *(f"public:{emotion}" for emotion in EMOTIONS)]
    assert BOTH.tuning() == BOTH.tuning("calls")
    assert BOTH.tuning().neutral == "exclusive"
    assert BOTH.tuning("public") == TUNED
    assert [BOTH.outputs[BOTH.columns(name)][0] for name in (None, "calls", "public")] == [
        "anger",
        "anger",
        "public:anger",
    ]


def test_a_convention_that_a_bundle_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(UnusableBundle, match=r"small-1 knows no convention 'forum': name one of calls, public"):
        BOTH.tuning("forum")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"convention": "Calls"}, "cannot be read"),
        ({"convention": "calls:2"}, "cannot be read"),
        ({"neutral": "sometimes"}, "cannot be read"),
        ({"convention": "calls", "others": {"calls": TUNED}}, "the convention calls twice"),
        ({"others": {"calls": {"thresholds": {}, "calibration": GOOD.calibration}}}, "has thresholds of nothing"),
        ({"others": {"calls": {"thresholds": GOOD.thresholds, "calibration": {}}}}, "calibrates nothing"),
    ],
)
def test_a_manifest_whose_conventions_are_not_in_order_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UnusableBundle, match=f"{said}.*Export the bundle again"):
        read_manifest(changed(**fields))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        changed(version=""),
        changed(thresholds=dict.fromkeys(EMOTIONS, 1.01)),
        changed(thresholds=dict.fromkeys(EMOTIONS, -0.01)),
        changed(thresholds=dict.fromkeys(EMOTIONS, math.nan)),
        changed().replace(b"0.4", b"NaN"),
        changed().replace(b"1.2", b"1e999"),
        changed(max_tokens=4),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_remedy(content: bytes) -> None:
    with pytest.raises(UnusableBundle, match=r"manifest\.json cannot be read: .* Export the bundle again"):
        read_manifest(content)


def configured(**fields: Any) -> bytes:
    return msgspec.json.encode({"model_type": "bert", "id2label": dict(enumerate(EMOTIONS))} | fields)


def test_a_config_gives_the_token_that_fills_up_rows() -> None:
    assert read_config(configured(pad_token_id=1), GOOD).pad_token_id == 1
    assert read_config(configured(pad_token_id=None), GOOD).pad_token_id is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"id2label": {0: EMOTIONS[1], 1: EMOTIONS[0], **dict(enumerate(EMOTIONS[2:], 2))}}, "disgust, anger, fear"),
        ({"id2label": dict(enumerate(EMOTIONS[:-1]))}, "surprise \\(id2label\\)"),
        ({"id2label": {0: "LABEL_0", 1: "LABEL_1"}}, "LABEL_0, LABEL_1"),
        ({"id2label": {}}, "nothing"),
        ({"num_labels": 6}, "neutral"),
    ],
    ids=["shuffled", "one missing", "without names", "none", "another number"],
)
def test_a_model_whose_outputs_are_not_the_emotions_in_their_order_is_refused(
    fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnusableBundle, match=f"outputs .*{named}.*export the bundle again"):
        read_config(configured(**fields), GOOD)


def test_the_outputs_of_a_config_must_be_those_of_all_conventions_of_the_manifest() -> None:
    both = configured(id2label=dict(enumerate(BOTH.outputs)), num_labels=14)
    assert read_config(both, BOTH).num_labels == 14
    for content, served in ((configured(), BOTH), (both, GOOD)):
        with pytest.raises(UnusableBundle, match=r"outputs .*export the bundle again"):
            read_config(content, served)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", configured(id2label={"first": "anger"})])
def test_what_is_no_config_is_refused_with_the_remedy(content: bytes) -> None:
    with pytest.raises(UnusableBundle, match=r"config\.json cannot be read: .* Export the bundle again"):
        read_config(content, GOOD)
