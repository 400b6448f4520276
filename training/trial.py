"""Champion and candidate before the gate: scored on the same rows, timed on the same load.

On public rows both get calibration and thresholds anew, each row by what was tuned on the half it is not in. A champion
may have been tuned on those very rows, as the released one on ru_go_emotions; so what is compared is how well either
ranks them, whoever saw them before.
"""

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np
import structlog
import torch

from training.augmentation import as_spoken
from training.errors import UnusableData, UnusableModel
from training.evaluation import from_other_half
from training.examples import Examples
from training.gate import Costs, Limits, Verdict, judge
from training.onnx_files import by_onnx, of_both
from training.paired import Rows, Scores
from training.served import Served, open_served
from training.thresholds import Floats

log = structlog.get_logger(__name__)

LOAD: Final = 128
"""Texts of the load that both are timed on."""

REPEATS: Final = 5
"""In turn for both. The fastest counts: other work on the machine only ever adds to a time."""

_SERVED_FILES: Final = ("*.safetensors", "tokenizer.json")


def try_out(  # noqa: PLR0913 - two models, the rows, and what is asked.
    champion: Path, candidate: Path, holdout: Examples, public: Sequence[Examples], *, limits: Limits, seed: int
) -> Verdict:
    """Judge a candidate's bundle against the champion's.

    Args:
        champion: folder of its bundle.
        candidate: the same.
        holdout: rows that neither has learnt.
        public: sets whose validation rows judge too, together.
        limits: what is asked.
        seed: of the bootstrap samples.

    Raises:
        UnusableData: there are no rows.
        UnusableModel: a bundle cannot be opened, or its scores are no numbers.
    """
    old, new = open_served(champion), open_served(candidate)
    verdict = judge(
        _scores(old, holdout),
        _scores(new, holdout),
        holdout.targets,
        holdout.annotated,
        costs=_costs((old, champion), (new, candidate), holdout.texts),
        public=_rows(old, new, public),
        limits=limits,
        seed=seed,
    )
    for line in verdict.lines():
        log.info(line.strip())
    return verdict


def russian(sets: Sequence[Examples]) -> list[Examples]:
    """Return the sets that can judge.

    Raises:
        UnusableData: there are some, and none is Russian.
    """
    found = [examples for examples in sets if examples.language == "ru"]
    if sets and not found:
        raise UnusableData("none of the public sets has Russian validation rows: ru_go_emotions and brighter have some")
    return found


def _scores(model: Served, examples: Examples) -> Scores:
    return Scores(model.scores(_logits(model, [examples])), model.thresholds)


def _logits(model: Served, sets: Sequence[Examples]) -> Floats:
    logits = np.concatenate([model.logits([as_spoken(text) for text in examples.texts]) for examples in sets])
    if not np.isfinite(logits).all():
        raise UnusableModel(f"{model.manifest.version} gives scores that are not numbers; its fit diverged")
    return logits


def _rows(old: Served, new: Served, public: Sequence[Examples]) -> Rows | None:
    if not public:
        return None
    targets, annotated = (np.concatenate([getattr(each, name) for each in public]) for name in ("targets", "annotated"))
    half = np.concatenate([examples.parts(2) for examples in public])
    before, after = (Scores(*from_other_half(_logits(model, public), targets, half, annotated)) for model in (old, new))
    return Rows(before, after, targets, annotated)


def _costs(champion: tuple[Served, Path], candidate: tuple[Served, Path], texts: Sequence[str]) -> tuple[Costs, Costs]:
    load = [as_spoken(text) for text in islice(cycle(texts), LOAD)]
    runs = _as_run(champion, candidate)
    times = np.array([[_seconds(run, load) for run in runs] for _ in range(REPEATS)]).min(0)
    old, new = (
        Costs(float(seconds), _megabytes(folder))
        for seconds, (_, folder) in zip(times, (champion, candidate), strict=True)
    )
    return old, new


def _as_run(*both: tuple[Served, Path]) -> list[Callable[[Sequence[str]], Floats]]:
    """Return what a worker on this machine would run of each: ONNX on a CPU where all have a file for it, or torch."""
    file = None if torch.cuda.is_available() else of_both(*(folder for _, folder in both))
    log.info("both are timed", by=file or "torch")
    return [by_onnx(folder / file) if file else model.logits for model, folder in both]


def _seconds(run: Callable[[Sequence[str]], Floats], load: Sequence[str]) -> float:
    start = time.perf_counter()
    run(load)
    return time.perf_counter() - start


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for pattern in _SERVED_FILES for file in folder.glob(pattern)) / 1e6
