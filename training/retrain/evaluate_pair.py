"""Champion and candidate before the gate: scored on the same rows, timed on one load.

On public rows both get calibration and thresholds again, each row by the half it is not in. A champion
may have been tuned on those very rows, as the released one on ru_go_emotions; so what is compared is how well either
ranks them, whoever saw them before. There both follow the convention of those rows, where both know it; on labels that
users gave each follows its default one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog

from schemas.decisions import Floats, Rule
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.errors import UnusableData, UnusableModel
from training.evaluate.metrics import from_other_half
from training.evaluate.paired_bootstrap import Rows, Scores
from training.evaluate.predictor import Served, open_served
from training.retrain.checks import Limits, check_conventions, check_costs
from training.retrain.gate import Anchor, Verdict, judge, refuse
from training.retrain.timing import measure_costs

log = structlog.get_logger(__name__)

_AS_ASKED = Limits()


def try_out(  # noqa: PLR0913 - the models, the rows, and what is asked.
    champion: Path,
    candidate: Path,
    holdout: Examples,
    public: Sequence[Examples] = (),
    *,
    folds: Sequence[tuple[Path, Examples]] = (),
    anchor: Path | None = None,
    limits: Limits = _AS_ASKED,
    error: float | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge a candidate's bundle against the champion's.

    What needs no labels comes first. A candidate that fails there is not judged on any, so that none is used up.

    Args:
        champion: folder of the champion's bundle.
        candidate: folder of the candidate's bundle.
        holdout: rows that neither has learnt.
        public: sets on whose validation rows both are compared too, together.
        folds: more rows that judge, and with each the bundle that was fitted as the candidate was, but without them.
        anchor: folder of the best champion so far, where it is another.
        limits: what is asked.
        error: chance that a candidate which is no better is promoted; None takes that of a year, for a single look.
        seed: random seed for the bootstrap samples.

    Raises:
        UnusableData: there are no rows.
        UnusableModel: a bundle cannot be opened, or its scores are no numbers.
    """
    old, new = open_served(champion), open_served(candidate)
    costs = measure_costs((old, champion), (new, candidate), holdout.texts)
    before = [
        *check_costs(*costs, limits.growth),
        check_conventions(old.manifest.tunings, new.manifest.tunings),
    ]
    if not all(check.passed for check in before):
        verdict = refuse(before, limits)
    else:
        judging = [holdout, *(rows for _, rows in folds)]
        candidates = [new, *(open_served(folder) for folder, _ in folds)]
        rows = _rows_of(old, candidates, judging)
        verdict = judge(
            rows,
            error=limits.error if error is None else error,
            anchor=_anchor(anchor, rows, judging),
            public=_rows(old, new, public),
            before=before,
            limits=limits,
            seed=seed,
        )
    for line in verdict.lines():
        log.info(line.strip())
    return verdict


def _rows_of(old: Served, candidates: Sequence[Served], judging: Sequence[Examples]) -> Rows:
    """Return the rows that judge: each set scored by the champion, and by the candidate that has not seen it."""
    calls = [name for rows in judging for name in rows.dialogues or rows.ids]
    chances = np.concatenate([np.ones(len(rows)) if rows.chances is None else rows.chances for rows in judging])
    return Rows(
        _scores([old] * len(judging), judging),
        _scores(candidates, judging),
        np.concatenate([rows.targets for rows in judging]),
        np.concatenate([rows.annotated for rows in judging]),
        np.unique(calls, return_inverse=True)[1],
        1 / chances,
    )


def _anchor(folder: Path | None, rows: Rows, judging: Sequence[Examples]) -> Anchor | None:
    if folder is None:
        return None
    served = open_served(folder)
    return Anchor(served.manifest.version, rows._replace(champion=_scores([served] * len(judging), judging)))


def russian(sets: Sequence[Examples]) -> list[Examples]:
    """Return the sets that can judge.

    Raises:
        UnusableData: there are some, and none is Russian.
    """
    found = [examples for examples in sets if examples.language == "ru"]
    if sets and not found:
        raise UnusableData("none of the public sets has Russian validation rows: ru_go_emotions and brighter have some")
    return found


def _scores(models: Sequence[Served], sets: Sequence[Examples]) -> Scores:
    """Return what each model says of its set, with its own thresholds."""
    scores = [model.scores(_logits(model, [rows])) for model, rows in zip(models, sets, strict=True)]
    limits = [np.tile(model.rule.thresholds, (len(rows), 1)) for model, rows in zip(models, sets, strict=True)]
    return Scores(np.concatenate(scores), Rule(np.concatenate(limits), models[0].rule.neutral))


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
    convention = _followed(old, new, public)
    before, after = (
        Scores(*from_other_half(_logits(model, public), targets, half, annotated, neutral=model.rule.neutral))
        for model in (old.following(convention), new.following(convention))
    )
    return Rows(before, after, targets, annotated)


def _followed(old: Served, new: Served, public: Sequence[Examples]) -> str | None:
    """Return the convention that all sets follow, where both models know it; else None, for the default one of each."""
    followed = {name for examples in public for name in examples.conventions}
    known = followed & old.manifest.tunings.keys() & new.manifest.tunings.keys()
    return known.pop() if len(followed) == 1 and known else None
