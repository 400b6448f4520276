"""The model card says what the figures say, and where each set comes from."""

import numpy as np
import pytest
from manifests import manifest

from schemas.bundle import POOLED, Manifest
from schemas.emotions import EMOTIONS
from training.augment.templates import SOURCE as SYNTHETIC
from training.card import card
from training.evaluation import cross_fitted, measure
from training.examples import UNLABELLED
from training.sources import SOURCES

SETS = {
    "brighter": {
        "rows": 199,
        "weighted_f1": 0.65,
        "macro_f1_emotions": 0.66,
        "own_macro_f1_emotions": 0.7,
        "written_macro_f1_emotions": 0.75,
        "written_own_macro_f1_emotions": 0.78,
        "written_change": 0.094,
        "own_written_change": 0.081,
        "word_errors_change": -0.008,
        "own_word_errors_change": -0.006,
    }
}


def fitted(rows: dict[str, int], folds: int = 4, **metrics: object) -> Manifest:
    random = np.random.default_rng(0)
    targets = (random.random((80, len(EMOTIONS))) < 0.4).astype(np.float32)
    scores = ((random.random(targets.shape) + targets) / 2).astype(np.float32)
    figures = {
        "as_served": measure(scores, targets, np.full(len(EMOTIONS), 0.5, np.float32)),
        "cross_fitted": cross_fitted(scores, targets, np.arange(80) % 2),
        "rows": rows,
        "settings": {"teaching": {"folds": folds}},
    }
    return manifest(version="tiny-1", base_model="intfloat/multilingual-e5-small", metrics=figures | metrics)


@pytest.mark.parametrize("source", [*(source.name for source in SOURCES), SYNTHETIC, UNLABELLED])
def test_every_set_we_know_has_its_licence(source: str) -> None:
    [row] = [line for line in card("mine", fitted({source: 1234}), 24_246).splitlines() if "1,234" in line]
    assert "given by the user" not in row
    assert any(licence in row for licence in ("MIT", "Apache-2.0", "CC BY 4.0", "CC0"))


def test_a_set_of_ones_own_is_named_as_such() -> None:
    assert "| calls | 12 | as given by the user |" in card("mine", fitted({"calls": 12}), 100)


def test_what_opens_the_model_depends_on_its_network() -> None:
    assert "ordinary `AutoModelForSequenceClassification`" in card("mine", fitted({"cedr": 1}, network="bert"), 100)
    text = card("mine", fitted({"cedr": 1}, network=POOLED), 100)
    assert "import networks" in text
    assert "ordinary" not in text


def test_the_figures_are_those_of_the_fitted() -> None:
    made = fitted({"cedr": 1})
    text = card("mine", made, 24_246)
    first = made.metrics["cross_fitted"][0]["measured"]
    assert f"**{first['weighted_f1']:.4f}**" in text
    assert f"| joy | {made.metrics['as_served']['emotions']['joy']['f1']:.3f} |" in text
    assert "24,246 pieces" in text


def test_other_sets_and_conditions_are_told_where_they_were_measured() -> None:
    text = card("mine", fitted({"cedr": 1}, sets=SETS), 100)
    assert "| brighter | 199 | 0.650 | 0.660 (0.700) | 0.750 (0.780) | +9.4 (+8.1) | -0.8 (-0.6) |" in text
    assert "15 % word errors" not in card("mine", fitted({"cedr": 1}), 100)


def test_teachers_are_told_of_only_where_there_were_some() -> None:
    assert "4 teachers" in card("mine", fitted({"cedr": 1}), 100)
    assert "teachers" not in card("mine", fitted({"cedr": 1}, folds=0), 100)
    made = fitted({"cedr": 1})
    made.metrics["settings"] = {"teaching": {"folds": 4, "seeds": 2, "bases": ["some/english"]}}
    assert "16 teachers, some of them of some/english, scored" in " ".join(card("mine", made, 100).split())
