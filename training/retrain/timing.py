"""Champion and candidate are timed in turns on one load, as a worker on this machine would run them."""

import operator
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np
import structlog
import torch

from registry.contents import files_of
from schemas.bundle import CONFIG, KNOWN_TEXTS, TOKENIZER
from schemas.decisions import Floats
from training.data.text_forms import as_spoken
from training.evaluate.predictor import Served
from training.retrain.costs import REPEATS, Costs
from training.retrain.onnx_files import by_onnx, of_both

log = structlog.get_logger(__name__)

LOAD: Final = 128
"""Texts of the load that both are timed on."""

_SERVED_FILES: Final = ("*.safetensors", "tokenizer.json")


def measure_costs(
    champion: tuple[Served, Path], candidate: tuple[Served, Path], texts: Sequence[str]
) -> tuple[Costs, Costs]:
    """Time both models in turns, each with its bundle's folder, as a worker on this machine would run them."""
    load = [as_spoken(text) for text in islice(cycle(texts), LOAD)]
    runs = _as_run(champion, candidate)
    if _of_one_shape(champion[1], candidate[1]):
        # Both take as long, so what a busy machine adds to one of them must not count against it.
        runs = runs[:1]
    times = np.array([[_seconds(run, load) for run in runs] for _ in range(REPEATS)])
    old, new = (
        Costs(tuple(times[:, at].tolist()), _megabytes(folder))
        for at, (_, folder) in zip((0, -1), (champion, candidate), strict=True)
    )
    return old, new


def _of_one_shape(champion: Path, candidate: Path) -> bool:
    """Whether network, vocabulary and files are alike; weights may differ."""
    files = (files_of(str(folder)).keys() - {KNOWN_TEXTS} for folder in (champion, candidate))
    return operator.eq(*files) and all(
        (champion / name).read_bytes() == (candidate / name).read_bytes() for name in (CONFIG, TOKENIZER)
    )


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
