"""Pairs of models to judge: simulated ones, and the released model with weakened copies of it on real texts."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import ndtr

from registry.load import load_bundle
from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from training.data.datasets import load
from training.data.text_forms import as_spoken
from training.evaluate.metrics import f1_in_samples, from_other_half
from training.evaluate.paired_bootstrap import Rows, Scores
from training.evaluate.thresholds import choose_thresholds
from training.learn.network import score

SHARES = np.array([0.13, 0.025, 0.025, 0.25, 0.08, 0.13, 0.4])
"""Of the rows that carry each emotion; about those of ru_go_emotions, with more neutral, as in calls."""

SIGNAL, CHANCE = 2.8, 1.0
"""Variances of what a text shows of an emotion, and of what nobody can know. Weighted F1 of the champion is .66."""

WITHIN = 0.3
"""Correlation of two rows of one call, in what they show and in what a model overlooks."""

BLUR, OWN = 0.5, 0.15
"""Variances of what blurs the sight of both models, and of each alone. Two equal ones differ in 5 % of the answers,
as the released model and its weakened copy do that lies two points below it."""

WEAKENED = ((0.2, 2), (0.3, 1), (0.3, 2), (0.4, 1))
"""Copies of the released model: noise added to each matrix, in standard deviations of its weights, and the seed."""


class Population(NamedTuple):
    """Rows to draw labels from, and models that have scored them: champion, another as good, and a better one."""

    champion: Scores
    equal: Scores
    better: Scores
    targets: np.ndarray
    call: np.ndarray

    def rows(self, candidate: Scores, at: np.ndarray, *, calls: bool = True, weights: np.ndarray | None = None) -> Rows:
        """Return these rows for the gate, with their calls where they are to be known."""
        group = np.unique(self.call[at], return_inverse=True)[1] if calls else None
        both = (take(model, at) for model in (self.champion, candidate))
        return Rows(*both, self.targets[at], None, group, weights)


def take(model: Scores, at: np.ndarray) -> Scores:
    """Return the scores of some rows."""
    limits = model.rule.thresholds
    return Scores(model.scores[at], Rule(limits[at] if limits.ndim > 1 else limits, model.rule.neutral))


def weighted_f1(model: Scores, targets: np.ndarray) -> float:
    """Return weighted F1 on all rows."""
    assigned, present = model.rule.assign(model.scores), targets > 0
    counts = [each.sum(0)[None].astype(float) for each in (assigned & present, assigned, present)]
    return float(f1_in_samples(*counts)[1][0])


def simulated(gain: float, *, rows: int = 100_000, to_a_call: int = 20, seed: int = 0) -> Population:
    """Make texts, their labels and three models.

    Args:
        gain: in weighted F1, of the better model.
        rows: texts.
        to_a_call: texts of each call.
        seed: of all that is drawn.
    """
    random = np.random.default_rng(seed)
    call = np.arange(rows) // to_a_call

    def normal(count: int) -> np.ndarray:
        return random.normal(size=(count, len(EMOTIONS))).astype(np.float32)

    def alike_in_calls() -> np.ndarray:
        return np.sqrt(WITHIN) * normal(call[-1] + 1)[call] + np.sqrt(1 - WITHIN) * normal(rows)

    shown = np.sqrt(SIGNAL) * alike_in_calls()
    spread = np.sqrt(SIGNAL + CHANCE)
    often = np.array([brentq(lambda bias, share=share: ndtr(bias / spread) - share, -9, 9) for share in SHARES])
    targets = (often + shown + np.sqrt(CHANCE) * normal(rows) > 0).astype(np.float32)
    blur, *own = (alike_in_calls() for _ in range(3))

    def model(own: np.ndarray, sight: float = 1.0) -> Scores:
        noise = sight * (BLUR + OWN)
        seen = shown + np.sqrt(sight) * (np.sqrt(BLUR) * blur + np.sqrt(OWN) * own)
        kept = SIGNAL / (SIGNAL + noise)
        scores = ndtr((often + kept * seen) / np.sqrt(CHANCE + kept * noise)).astype(np.float32)
        return Scores(scores, Rule(choose_thresholds(scores[:20_000], targets[:20_000])))

    champion, equal = map(model, own)
    base = weighted_f1(champion, targets)
    sight = brentq(lambda sight: weighted_f1(model(own[1], sight), targets) - base - gain, 0.2, 1.1, xtol=1e-3)
    return Population(champion, equal, model(own[1], sight), targets, call)


def real(model: Path, data: Path, keep: Path) -> tuple[dict[str, Scores], np.ndarray]:
    """Return the released model and its weakened copies on ru_go_emotions' validation rows, and the labels.

    Scores are computed once and kept. Thresholds of each row come from the half that it is not in.
    """
    [examples] = load([str(data / "ru_go_emotions")], "validation")
    half, scored = examples.parts(2), {}
    for noise, seed in ((0.0, 0), *WEAKENED):
        name = f"noise {noise}, seed {seed}" if noise else "released"
        logits = kept(
            keep / f"{model.name}-{noise}-{seed}.npy", lambda at=(noise, seed): logits_of(model, examples.texts, *at)
        )
        scored[name] = Scores(*from_other_half(logits, examples.targets, half, examples.annotated))
    return scored, examples.targets


def kept(file: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return what a file keeps; what is not there yet is made."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, make())
    return np.load(file)


def logits_of(model: Path, texts: list[str], noise: float, seed: int) -> np.ndarray:
    """Return what a bundle says by the public convention, with noise on its matrices."""
    network, tokenizer, manifest = load_bundle(model)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if weights.ndim == 2 and "embed" not in name:
                weights.add_(noise * weights.std() * torch.randn(weights.shape, generator=random))
    spoken = [as_spoken(text) for text in texts]
    outputs = score(network, tokenizer, spoken, manifest.max_tokens, columns=len(manifest.outputs))
    return outputs[:, manifest.columns("public")]
