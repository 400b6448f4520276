"""A network's calibration, thresholds and figures in each convention that its bundle keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import structlog
from msgspec import structs

from schemas.bundle import Calibration, Manifest, Neutral, Tuning
from schemas.decisions import Floats, Mask, rule_of
from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.evaluate.metrics import cross_fitted, measure
from training.evaluate.thresholds import Aim, choose_thresholds, platt, probabilities
from training.learn.batches import block
from training.learn.network import fold_calibration, score

log = structlog.get_logger(__name__)

MAX_TOKENS: Final = 128
"""What the worker cuts texts at; the longest of 8,742 real transcript lines had 126."""

Measured = tuple[dict[str, Tuning], dict[str, dict[str, Any]]]
"""Of each convention: tuning, and metrics."""


@dataclass(frozen=True)
class Tuner:
    """Chooses calibration and thresholds, and measures what they give.

    Attributes:
        rules: What neutral means, by convention.
        aim: Whether thresholds are chosen for F1 or for a precision.
        precision: The precision, from 0 to 1, if that is the aim.
        base: Manifest of the bundle that a warm start goes on from; None for a fit from an encoder.
    """

    rules: Mapping[str, Neutral]
    aim: Aim
    precision: float
    base: Manifest | None

    def calibrate(
        self,
        model: Any,
        tokenizer: Any,
        rows: Mapping[str, Examples | None],
        tests: Sequence[Examples],
        *,
        fewest_positives: int,
    ) -> Measured:
        """Calibrate a network in place, choose thresholds, and measure.

        The figures are those of the weights as they will be written: rounded to float16.

        Args:
            model: Network with seven outputs for each convention.
            tokenizer: Tokenizer of the network.
            rows: Rows that tune each convention, in the order of the outputs; None keeps the base's tuning.
            tests: Sets that nobody learns from or tunes on; one of the source that tunes a convention measures it.
            fewest_positives: Positive rows that an emotion needs; one with fewer keeps the base's tuning.
        """
        network = _Network(model, tokenizer, list(rows))
        few = {name: self._too_few(examples, fewest_positives) for name, examples in rows.items()}
        # Calibrate every convention, then fold scales and biases into the output layer.
        raw = {name: network.logits(name, examples) for name, examples in rows.items() if examples is not None}
        calibration = {
            name: [Calibration()] * len(EMOTIONS) if examples is None else _calibration(raw[name], examples, few[name])
            for name, examples in rows.items()
        }
        fold_calibration(model, [each for name in rows for each in calibration[name]])
        # Choose thresholds on calibrated probabilities, and measure each half by the other's tuning.
        tunings, metrics = {}, {}
        for name, examples in rows.items():
            metrics[name] = {
                "cross_fitted": [],
                "folded_calibration": dict(zip(EMOTIONS, map(msgspec.to_builtins, calibration[name]), strict=True)),
                "kept_thresholds": [emotion for emotion, rare in zip(EMOTIONS, few[name], strict=True) if rare],
            }
            if examples is None:
                tunings[name] = self._base_tuning(name)
                continue
            scores = probabilities(network.logits(name, examples))
            thresholds = np.where(few[name], self._base_thresholds(name), self._thresholds(scores, examples, name))
            tunings[name] = self._tuning(thresholds, name)
            metrics[name] |= self._cross_fit(raw[name], examples, name)
            metrics[name]["as_served"] = measure(scores, examples.targets, rule_of(tunings[name]), examples.annotated)
            for unseen in tests:
                if (unseen.source, unseen.conventions) == (examples.source, (name,)):
                    scores = probabilities(network.logits(name, unseen))
                    metrics[name]["unseen"] = measure(scores, unseen.targets, rule_of(tunings[name]), unseen.annotated)
        return tunings, metrics

    def _thresholds(self, scores: Floats, examples: Examples, convention: str) -> Floats:
        return choose_thresholds(
            scores,
            examples.targets,
            self.aim,
            precision=self.precision,
            annotated=examples.annotated,
            neutral=self.rules[convention],
        )

    def _tuning(self, thresholds: Floats, convention: str) -> Tuning:
        return Tuning(
            thresholds=dict(zip(EMOTIONS, thresholds.astype(np.float32).tolist(), strict=True)),
            calibration={emotion: Calibration() for emotion in EMOTIONS},
            neutral=self.rules[convention],
        )

    def _base_tuning(self, convention: str) -> Tuning:
        """Return the thresholds and the rule of the base: no rows of this convention chose others."""
        tuning = self._tuning(self._base_thresholds(convention), convention)
        if self.base is None or convention not in self.base.tunings:
            return tuning
        return structs.replace(tuning, neutral=self.base.tuning(convention).neutral)

    def _base_thresholds(self, convention: str) -> Floats:
        """Return the base's thresholds, 7; those of its default convention if it lacks this one."""
        if self.base is None:
            return np.zeros(len(EMOTIONS), np.float32)
        return rule_of(self.base.tuning(convention if convention in self.base.tunings else None)).thresholds

    def _too_few(self, examples: Examples | None, fewest: int) -> Mask:
        """Return which emotions keep the base's tuning for want of validation rows: 7.

        Scores of a warm start are the base's, calibrated, until it learns; where few rows speak against it, the base's
        own tuning on many rows errs less than new tuning on few.
        """
        if self.base is None:
            return np.zeros(len(EMOTIONS), np.bool_)
        if examples is None:
            return np.ones(len(EMOTIONS), np.bool_)
        few: Mask = (examples.targets * examples.annotated).sum(0) < fewest
        return few

    def _cross_fit(self, logits: Floats, examples: Examples, convention: str) -> dict[str, Any]:
        neutral, known = self.rules[convention], examples.annotated
        halves = cross_fitted(logits, examples.targets, examples.parts(2), known, self.aim, neutral=neutral)
        for half in halves:
            log.info(
                "measured",
                convention=convention,
                tuned_on_half=half["tuned_on_half"],
                tuned=round(half["tuned"]["weighted_f1"], 4),
                weighted_f1=round(half["measured"]["weighted_f1"], 4),
                macro_f1=round(half["measured"]["macro_f1"], 4),
            )
        source = examples.source.removesuffix("validation")
        return {"measured_on": f"{source} validation in ASR form".lstrip(), "cross_fitted": halves}


def _calibration(logits: Floats, examples: Examples, few: Mask) -> list[Calibration]:
    fitted = platt(logits, examples.targets, examples.annotated)
    return [Calibration() if rare else new for rare, new in zip(few, fitted, strict=True)]


class _Network:
    """Gives logits of a convention as the bundle will."""

    def __init__(self, model: Any, tokenizer: Any, conventions: list[str]) -> None:
        self._model, self._tokenizer, self._conventions = model, tokenizer, conventions

    def logits(self, convention: str, examples: Examples) -> Floats:
        self._model.half().float()
        texts, width = [as_spoken(text) for text in examples.texts], len(EMOTIONS) * len(self._conventions)
        logits = score(self._model, self._tokenizer, texts, MAX_TOKENS, columns=width)
        return logits[:, block(self._conventions.index(convention))]
