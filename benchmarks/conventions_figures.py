"""The figures of a network that serves two conventions: on calls, under exclusive neutral, and on the public sets."""

from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression

NEUTRAL: Final = 6
COLUMNS: Final = (
    "what",
    "calls: macro F1",
    "exact",
    "worst ECE",
    "F1 of anger, disgust, fear, joy, sadness, surprise, neutral",
    "ru_go: weighted",
    "macro",
    "BRIGHTER: own",
    "halves",
    "CEDR: own",
    "halves",
)
Array = np.ndarray[Any, Any]


def title() -> str:
    """Return the head of the table."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def f1(assigned: Array, gold: Array) -> Array:
    """Return F1 of each column."""
    hits = (assigned & gold).sum(0)
    return 2 * hits / np.maximum(assigned.sum(0) + gold.sum(0), 1)


def best_threshold(scores: Array, gold: Array) -> float:
    """Return the threshold of best F1."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(gold[order])
    at = int(np.argmax(2 * hits / (np.arange(1, len(order) + 1) + gold.sum())))
    return float((scores[order[at]] + (scores[order[at + 1]] if at + 1 < len(order) else 0)) / 2)


def independent(scores: Array, gold: Array) -> Array:
    """Return a threshold for each column, each of its best F1."""
    return np.array([best_threshold(scores[:, at], gold[:, at]) for at in range(scores.shape[1])])


def exclusive(scores: Array, thresholds: Array) -> Array:
    """Return what is assigned: emotions at or above their thresholds; neutral where there is none."""
    emotions = scores[:, :NEUTRAL] >= thresholds[:NEUTRAL]
    return np.concatenate([emotions, ~emotions.any(1, keepdims=True)], axis=1)


def exclusive_thresholds(scores: Array, gold: Array) -> Array:
    """Choose six thresholds, one after the other, for macro F1 and exact match under exclusive neutral."""
    chosen = independent(scores[:, :NEUTRAL], gold[:, :NEUTRAL])

    def worth(thresholds: Array) -> float:
        assigned = exclusive(scores, thresholds)
        return float(f1(assigned, gold).mean() + (assigned == gold).all(1).mean())

    for _ in range(3):
        for at in range(NEUTRAL):
            tried = np.unique(np.quantile(scores[:, at], np.linspace(0.5, 0.998, 80)))
            options = [np.where(np.arange(NEUTRAL) == at, value, chosen) for value in tried]
            chosen = max([chosen, *options], key=worth)
    return chosen


def calibrated(logits: Array, gold: Array, others: Array) -> Array:
    """Return the probabilities of others, by Platt's scaling of each column."""
    found = []
    for at in range(logits.shape[1]):
        fitted = LogisticRegression(C=1e3).fit(logits[:, at : at + 1], gold[:, at])
        found.append(fitted.predict_proba(others[:, at : at + 1])[:, 1])
    return np.stack(found, 1)


def calibration_error(scores: Array, gold: Array, bins: int = 10) -> float:
    """Return the expected calibration error of a column."""
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [abs((scores[place == at] - gold[place == at]).sum()) for at in range(bins)]
    return float(sum(gaps) / len(scores))


def on_calls(rows: dict[str, Array], calls: Array, logits: Array) -> tuple[float, float, float, Array]:
    """Return macro F1, exact match, worst calibration error and F1 of each, on the tenth that nobody learnt from."""
    gold = rows["gold"].astype(bool)
    tuning = calls & (rows["part"] == 1)
    held = calls & (rows["part"] == 0)
    seen = calibrated(logits[tuning], gold[tuning], logits[tuning])
    unseen = calibrated(logits[tuning], gold[tuning], logits[held])
    assigned = exclusive(unseen, exclusive_thresholds(seen, gold[tuning]))
    each = f1(assigned, gold[held])
    worst = max(calibration_error(unseen[:, at], gold[held][:, at]) for at in range(7))
    return float(each.mean()), float((assigned == gold[held]).all(1).mean()), worst, each


def on_halves(logits: Array, gold: Array, half: Array) -> tuple[Array, Array]:
    """Return F1 of each column, all rows each by the thresholds of the other half, and how often each occurs."""
    assigned = np.zeros(gold.shape, bool)
    for one in (0, 1):
        thresholds = independent(logits[half != one], gold[half != one])
        assigned[half == one] = logits[half == one] >= thresholds
    return f1(assigned, gold), gold.sum(0)


def figures(name: str, rows: dict[str, Array], sets: tuple[str, ...], logits: dict[str, Array]) -> str:
    """Return a line of the table.

    Args:
        name: what the line calls the network.
        rows: what is known of each row.
        sets: names of the sets, by number.
        logits: of each row, n x 7 or 14, in both forms; NaN where there is none.
    """
    of = {kind: rows["set"] == at for at, kind in enumerate(sets)}
    gold, half = rows["gold"].astype(bool), rows["part"] % 2
    macro, exact, worst, each = on_calls(rows, of["calls"], logits["spoken"][:, -7:])
    dev = of["ru_go_dev"]
    public, support = on_halves(logits["spoken"][dev][:, :7], gold[dev], half[dev])
    cells = [name, f"{macro:.3f}", f"{exact:.3f}", f"{worst:.3f}", " ".join(f"{value:.2f}" for value in each)]
    cells += [f"{(public * support).sum() / support.sum():.4f}", f"{public.mean():.4f}"]
    for kind, columns in (("brighter_dev", [0, 1, 2, 3, 4, 5]), ("cedr_dev", [0, 2, 3, 4, 5])):
        said, told = logits["written"][of[kind]][:, columns], gold[of[kind]][:, columns]
        own = f1(said >= independent(said, told), told).mean()
        other, _ = on_halves(said, told, half[of[kind]])
        cells += [f"{own:.3f}", f"{other.mean():.3f}"]
    return f"| {' | '.join(cells)} |"
