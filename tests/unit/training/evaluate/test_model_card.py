"""The model card says what the figures say, and where each set comes from."""

from pathlib import Path

import numpy as np
import pytest
from manifests import manifest
from msgspec.structs import replace

from schemas.bundle import POOLED, Manifest
from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from training.data.augment.templates import SOURCE as SYNTHETIC
from training.data.examples import UNLABELLED
from training.data.public_sets import SOURCES
from training.evaluate.metrics import cross_fitted, measure
from training.evaluate.model_card import card

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
        "as_served": measure(scores, targets, Rule(np.full(len(EMOTIONS), 0.5, np.float32))),
        "cross_fitted": cross_fitted(scores, targets, np.arange(80) % 2),
        "rows": rows,
        "settings": {"teaching": {"folds": folds}},
    }
    return manifest(version="tiny-1", base_model="intfloat/multilingual-e5-small", metrics=figures | metrics)


@pytest.mark.parametrize("source", [*(source.name for source in SOURCES), SYNTHETIC])
def test_every_set_we_know_has_its_licence(source: str) -> None:
    [row] = [line for line in card("mine", fitted({source: 1234}), 24_246).splitlines() if "1,234" in line]
    assert "given by the user" not in row
    assert any(licence in row for licence in ("MIT", "Apache-2.0", "CC BY 4.0", "CC0"))


@pytest.mark.parametrize("own", ["calls", UNLABELLED])
def test_a_set_of_ones_own_is_named_as_such(own: str) -> None:
    """So are lines that a first student labelled: they may be anything."""
    assert f"| {own} | 12 | as given by the user |" in card("mine", fitted({own: 12}), 100)


def test_a_card_claims_no_licence_that_nobody_gave() -> None:
    text = card("mine", fitted({"calls": 12}), 100)
    assert "license: other\nlicense_name: none-given\n" in text
    assert "Nobody has given this model a licence." in text


def test_a_card_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    made = replace(fitted({"calls": 12}), base_model=str(tmp_path / "encoder"))
    made.metrics["settings"] = {"teaching": {"folds": 4, "bases": [str(tmp_path / "english")]}}
    text = card("mine", made, 100)
    assert str(tmp_path.parent) not in text
    assert "base_model: encoder\n" in text
    assert "some of them of english, scored" in " ".join(text.split())


def test_a_card_tells_what_its_base_had_learnt() -> None:
    assert "went on from a bundle that had learnt calls, cedr." in card(
        "mine", fitted({"cedr": 1}, rows_before=["calls", "cedr"]), 100
    )
    assert "went on" not in card("mine", fitted({"cedr": 1}), 100)


def test_what_opens_the_model_depends_on_its_network() -> None:
    assert "ordinary `AutoModelForSequenceClassification`" in card("mine", fitted({"cedr": 1}, network="bert"), 100)
    text = card("mine", fitted({"cedr": 1}, network=POOLED), 100)
    assert "import registry.pooled_head" in text
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


def test_what_neutral_means_is_told() -> None:
    made = fitted({"cedr": 1})
    plain, exclusive = (card("mine", replace(made, neutral=rule), 100) for rule in ("independent", "exclusive"))
    assert "`neutral` is assigned exactly where no other emotion is." in exclusive
    assert "exactly where no other" not in plain
    [row] = [line for line in exclusive.splitlines() if line.startswith("| neutral |")]
    assert "| none |" in row


def test_each_convention_has_its_outputs_and_its_figures() -> None:
    made, other = fitted({"cedr": 1}), fitted({"cedr": 1})
    other.metrics["as_served"]["emotions"]["joy"]["f1"] = 0.123
    made.metrics["others"] = {"public": {name: other.metrics[name] for name in ("as_served", "cross_fitted")}}
    text = card("mine", replace(made, convention="calls", others={"public": made.tuning()}), 100)
    assert "named `public:anger` and so on" in text
    first, second = (
        text.index("## How good it is, convention calls"),
        text.index("## How good it is, convention public"),
    )
    assert first < text.index(f"| joy | {made.metrics['as_served']['emotions']['joy']['f1']:.3f} |") < second
    assert second < text.index("| joy | 0.123 |") < text.index("## Limits")
    assert "conventions" not in card("mine", fitted({"cedr": 1}), 100)
