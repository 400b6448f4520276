"""What `emotion-training tune` brings by the number of labels, by simulation: sets drawn, tuned to, and tried.

    OMP_NUM_THREADS=1 python benchmarks/tuning.py --model models/ru-emotions-small --data FOLDER --keep FOLDER

The folder of the data holds the public sets as published. Of each case, a user's set of 50 to 1,000 rows is drawn many
times, by whole dialogues where there are some. What comes of it is measured on all other rows. Scores are computed once
for each set and kept.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from schemas.bundle import Tuning
from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from training.data.datasets import load
from training.data.examples import Examples, fingerprint
from training.data.text_forms import as_spoken
from training.evaluate.metrics import measure
from training.evaluate.predictor import open_served
from training.evaluate.thresholds import choose_thresholds
from training.tune.thresholds import Labels, Trial, apply_tuning, try_tuning

SIZES = (50, 100, 200, 500, 1000)
OTHERS = 0.4
"""Share of the rows that must be left to measure on."""

AS_THE_GATE = 0.975
"""Share of bootstrap samples that gain where the gate is sure."""

TILT = {"joy": 0.25, "neutral": 0.4}
"""Share of the rows that stay in the case of other shares."""

HEAD = (
    "case",
    "labels",
    "weighted F1 as it is",
    "unshrunk",
    "tuned",
    "kept",
    "at 97.5 %",
    "**as kept**",
    "worst",
    "harmed",
    "emotion by emotion",
    "harmed",
    "macro F1, as kept",
    "ECE, as kept",
)


def cases(model: Path, data: Path, keep: Path) -> Iterator[tuple[str, Labels]]:
    """Yield the name of each case, and the rows that a user's labels are drawn from."""
    sets = [
        ("cedr", load([str(data / "cedr")], "validation")),
        ("ru_go_emotions", load([str(data / "ru_go_emotions")], "validation")),
        ("calls", load(["calls"], "validation") + load(["calls"], "test")),
    ]
    for name, parts in sets:
        groups = [group for part in parts for group in part.dialogues or part.ids]
        targets, annotated = (np.concatenate([getattr(part, of) for part in parts]) for of in ("targets", "annotated"))
        rows = Labels(logits_of(model, parts, keep), targets, annotated, np.array(groups))
        yield name, rows
        if name == "ru_go_emotions":
            shares = np.prod([np.where(column(targets, each), share, 1) for each, share in TILT.items()], axis=0)
            yield f"{name}, other shares", rows.take(np.random.default_rng(0).random(len(shares)) < shares)


def column(targets: np.ndarray, emotion: str) -> np.ndarray:
    """Return which rows carry an emotion."""
    return targets[:, EMOTIONS.index(emotion)] > 0


def logits_of(model: Path, parts: list[Examples], keep: Path) -> np.ndarray:
    """Return the logits of the texts in ASR form, n x 7, from the folder where they are kept if they are there."""
    served = open_served(model)
    file = keep / f"{served.manifest.version}-{fingerprint(parts)[:16]}.npy"
    if not file.exists():
        keep.mkdir(parents=True, exist_ok=True)
        np.save(file, served.logits([as_spoken(text) for part in parts for text in part.texts]))
    return np.load(file)


def drawn(random: np.random.Generator, groups: np.ndarray, size: int) -> np.ndarray:
    """Return a mask of whole groups that together hold the wanted number of rows or more."""
    names, group = np.unique(groups, return_inverse=True)
    order = random.permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(np.bincount(group)[order]), size)) + 1
    return np.isin(group, order[:enough])


def unshrunk(before: Tuning, rows: Labels) -> Rule:
    """Return the thresholds of best F1 on the labels alone."""
    scores = apply_tuning(before, rows.logits).scores
    chosen = choose_thresholds(scores, rows.targets, annotated=rows.annotated, neutral=before.neutral)
    return Rule(chosen, before.neutral)


def by_emotion(trial: Trial) -> Tuning:
    """Return what is tuned where the emotion's own F1 rises on rows that were not tuned on."""
    old, new = (figures["emotions"] for figures in trial.figures)
    risen = {emotion for emotion in old if new[emotion]["f1"] > old[emotion]["f1"]}
    mixed = {
        name: {
            emotion: getattr(trial.after if emotion in risen else trial.before, name)[emotion]
            for emotion in trial.before.thresholds
        }
        for name in ("thresholds", "calibration")
    }
    return replace(trial.before, **mixed)


def once(before: Tuning, rows: Labels, mine: np.ndarray, seed: int) -> list[float]:
    """Tune to some rows, and measure all others; return the figures of a line."""
    user, others = rows.take(mine), rows.take(~mine)
    trial = try_tuning(before, user, seed=seed)

    def measured(tuning: Tuning, rule: Rule | None = None) -> np.ndarray:
        scores, own = apply_tuning(tuning, others.logits)
        figures = measure(scores, others.targets, rule or own, others.annotated)
        return np.array([figures[name] for name in ("weighted_f1", "macro_f1", "mean_ece")])

    as_it_is, tuned = measured(before), measured(trial.after)
    free, each = measured(before, unshrunk(before, user)), measured(by_emotion(trial))
    kept = tuned if trial.won else as_it_is
    changes = [(other - as_it_is)[0] for other in (free, tuned, each)]
    return [as_it_is[0], *changes, trial.won, trial.sure >= AS_THE_GATE, *(kept - as_it_is)]


def line(case: str, size: int, runs: np.ndarray) -> str:
    """Return a line of the table."""
    as_it_is, free, tuned, each, won, surely, kept, macro, ece = runs.T
    cells = [
        case,
        f"{size:,}",
        f"{as_it_is.mean():.3f}",
        *(f"{change.mean():+.3f}" for change in (free, tuned)),
        *(f"{share.mean():.0%}" for share in (won, surely)),
        f"**{kept.mean():+.3f}**",
        f"{kept.min():+.3f}",
        f"{(kept < 0).mean():.0%}",
        f"{each.mean():+.3f}",
        f"{(each < 0).mean():.0%}",
        f"{macro.mean():+.3f}",
        f"{ece.mean():+.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Draw, tune, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--only", default="", help="cases whose names begin so")
    parser.add_argument("--draws", type=int, default=25)
    parser.add_argument("--neutral", choices=("exclusive", "independent"), help="instead of the bundle's rule")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    before = open_served(given.model).manifest.tuning()
    before = replace(before, neutral=given.neutral or before.neutral)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name, rows in cases(given.model, given.data, given.keep):
        if not name.startswith(given.only):
            continue
        for size in SIZES:
            if size > (1 - OTHERS) * len(rows.groups):
                continue
            random = np.random.default_rng(size)
            runs = [once(before, rows, drawn(random, rows.groups, size), at) for at in range(given.draws)]
            print(line(name, size, np.array(runs, float)), flush=True)


if __name__ == "__main__":
    main()
