"""Whether a candidate replaces the champion: both are measured on the same rows, and every doubt is the champion's."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from training.errors import UnusableData, UnusableModel
from training.evaluate.paired_bootstrap import RESAMPLES, Rows
from training.retrain.checks import (
    Check,
    Compared,
    Limits,
    check_anchor,
    check_calibration,
    check_emotions,
    check_gain,
    check_public,
    smallest_gain,
)

_POINT: Final = 100
_AS_ASKED: Final = Limits()


class Anchor(NamedTuple):
    """The best champion so far, on the rows that judge: version, and rows with it in the champion's place."""

    version: str
    rows: Rows


class Verdict(msgspec.Struct, frozen=True):
    """Whether the candidate is promoted, and why.

    Attributes:
        promoted: whether every check that vetoes passed.
        checks: all of them, in a fixed order.
        rows: labelled texts that judged; 0 where the candidate was refused before any was looked at.
        public_rows: of the public holdout; 0 where there was none.
        resamples: bootstrap samples.
        seed: random seed for the samples.
        limits: what was asked.
        error: chance that this look promotes a candidate that is no better.
        shows: smallest gain in weighted F1 that these labels show in four of five cases; None where they show none.
        calls: that the rows come from; as many as rows where none is known.
    """

    promoted: bool
    checks: tuple[Check, ...]
    rows: int
    public_rows: int
    resamples: int
    seed: int
    limits: Limits
    error: float = 0.0
    shows: float | None = None
    calls: int = 0

    @property
    def looked(self) -> bool:
        """Whether labels were looked at; a candidate that costs too much is refused before, and uses up none."""
        return self.rows > 0

    @property
    def sound(self) -> bool:
        """Whether labels could tell everything, and nothing is worse: then the candidate can be the next anchor."""
        return self.promoted and not self.unsure

    @property
    def unsure(self) -> list[str]:
        """What nobody can tell for want of labels."""
        return [check.name.removeprefix("F1 of ") for check in self.checks if not check.tells]

    @property
    def gain(self) -> float:
        """What the candidate gains in weighted F1."""
        return self.checks[0].candidate - self.checks[0].champion

    @property
    def reason(self) -> str:
        """Return in a line why it was promoted or rejected."""
        failed = [check.name for check in self.checks if check.vetoes and not check.passed]
        if not self.looked:
            return f"rejected for {', '.join(failed)}, before any label was looked at"
        shows = "show no gain" if self.shows is None else f"can show {self.shows * _POINT:+.1f}"
        told = f"{self.gain * _POINT:+.1f} points; {self.rows} labels {shows}"
        open_ = f"; cannot tell {', '.join(self.unsure)}" if self.unsure else ""
        if failed:
            return f"rejected for {', '.join(failed)} ({told}){open_}"
        return f"surely better, and no worse in anything that can be told ({told}){open_}"

    def lines(self) -> list[str]:
        """Return the verdict for people to read."""
        public = f"{self.public_rows} public rows" if self.public_rows else "no public rows"
        head = f"{'promote' if self.promoted else 'reject'}: {self.reason} ({self.rows} held-out rows, {public})"
        spent = f"this look may err in {self.error:.2%} of cases, of {self.limits.error:.0%} in a year"
        return [head, *([spent] if self.looked else []), *(f"  {check.line()}" for check in self.checks)]

    def as_json(self) -> dict[str, Any]:
        """Return it in plain lists, numbers and strings, with the reason."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {**plain, "reason": self.reason}


def judge(  # noqa: PLR0913 - two models, the rows, and what else is asked of them.
    rows: Rows,
    *,
    error: float,
    anchor: Anchor | None = None,
    public: Rows | None = None,
    before: Sequence[Check] = (),
    limits: Limits = _AS_ASKED,
    seed: int = 0,
) -> Verdict:
    """Judge a candidate against the champion on rows that neither was fitted on.

    Args:
        rows: both models on the rows that judge.
        error: chance that a candidate which is no better is promoted; see `training.evaluate.error_budget`.
        anchor: the best champion so far, where it is another than the champion.
        public: both models on public rows, if there are any.
        before: checks that need no labels, and were passed.
        limits: what is asked.
        seed: random seed for the bootstrap samples.

    Raises:
        UnusableData: there is no row, or shapes do not agree.
        UnusableModel: the candidate's scores are not all numbers.
    """
    _require_sound(rows)
    compared = Compared.on(rows, seed)
    checks = [
        check_gain(compared, limits.margin, error),
        *check_emotions(compared, limits.fall),
        check_calibration(compared, limits.calibration),
    ]
    if anchor is not None:
        checks += check_anchor(Compared.on(anchor.rows, seed), limits.fall, anchor.version)
    checks += before
    if public is not None:
        checks.append(check_public(Compared.on(public, seed), veto=limits.public_veto))
    return Verdict(
        promoted=all(check.passed for check in checks if check.vetoes),
        checks=tuple(checks),
        rows=len(rows.targets),
        public_rows=len(public.targets) if public else 0,
        resamples=RESAMPLES,
        seed=seed,
        limits=limits,
        error=error,
        shows=smallest_gain(compared, limits.margin, error),
        calls=compared.calls,
    )


def refuse(before: Sequence[Check], limits: Limits = _AS_ASKED) -> Verdict:
    """Refuse a candidate for what needs no labels: they stay as new as they were."""
    return Verdict(False, tuple(before), rows=0, public_rows=0, resamples=0, seed=0, limits=limits)


def _require_sound(rows: Rows) -> None:
    shape = rows.targets.shape
    if not len(rows.targets):
        raise UnusableData("the holdout has no rows; label more texts")
    known = shape if rows.annotated is None else rows.annotated.shape
    if not shape == known == rows.champion.scores.shape == rows.candidate.scores.shape:
        raise UnusableData(f"scores, targets and annotated must all be rows x emotions: {shape}")
    if not np.isfinite(rows.candidate.scores).all():
        raise UnusableModel("the candidate gives scores that are not numbers; its fit diverged")
