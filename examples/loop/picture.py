"""The demo's picture: the flow through the swap, F1 on the held-out labels and the scores of the same calls."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from schemas.emotions import EMOTIONS

_BEFORE: Final = "#8a8a8a"
_AFTER: Final = "#0072b2"
_BIN_S: Final = 5


def draw(  # noqa: PLR0913 - what there is to see.
    file: Path,
    *,
    versions: tuple[str, str],
    moments: Sequence[tuple[datetime, str]],
    marks: Mapping[str, datetime],
    checks: Sequence[Any],
    same_texts: tuple[int, Mapping[str, tuple[float, float]]],
    headline: str,
) -> None:
    """Draw it.

    Args:
        file: where to.
        versions: the model before and the one after.
        moments: when each row was stored, and by which of them.
        marks: what happened when.
        checks: the gate's, as `training.retrain.gate.Check`.
        same_texts: how many texts both scored, and the mean scores of each emotion before and after.
        headline: what came of it.
    """
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle(headline, fontsize=12, fontweight="bold")
    axes = figure.subplot_mosaic([["flow", "flow"], ["f1", "scores"]], height_ratios=(1, 1.3))
    left, right = axes["f1"], axes["scores"]
    _flow(axes["flow"], versions, moments, marks)
    _f1(left, checks)
    texts, scores = same_texts
    _pairs(right, scores)
    right.set(title=f"mean score of the {texts} texts that both models scored", xlabel="probability")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False, fontsize=8)
    figure.savefig(file, dpi=130)


def _flow(
    axes: Axes, versions: tuple[str, str], moments: Sequence[tuple[datetime, str]], marks: Mapping[str, datetime]
) -> None:
    start = min(moment for moment, _ in moments)
    bins = {version: Counter[int]() for version in versions}
    for moment, version in moments:
        bins[version][int((moment - start).total_seconds() // _BIN_S)] += 1
    length = 1 + max(max(counts, default=0) for counts in bins.values())
    heights = [[bins[version][at] / _BIN_S for at in range(length)] for version in versions]
    seconds = [at * _BIN_S for at in range(length)]
    below = [0.0] * length
    for version, height, colour in zip(versions, heights, (_BEFORE, _AFTER), strict=True):
        axes.bar(seconds, height, _BIN_S, below, align="edge", color=colour, alpha=0.8, label=version)
        below = height
    most = max(map(sum, zip(*heights, strict=True)))
    for at, (what, moment) in enumerate(marks.items()):
        place = (moment - start).total_seconds()
        axes.axvline(place, color="black", linewidth=0.8, linestyle="--")
        axes.text(place, most * (1.42 - 0.12 * (at % 4)), f" {what}", fontsize=8, va="top")
    axes.set(title="rows stored, by the model that made them", xlabel="seconds", ylabel="rows a second")
    axes.set(ylim=(0, most * 1.5))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _f1(axes: Axes, checks: Sequence[Any]) -> None:
    named = {check.name.removeprefix("F1 of "): check for check in checks if "F1" in check.name}
    names = [*(emotion for emotion in EMOTIONS if emotion in named), "weighted F1"]
    for name in names:
        check = named[name]
        low, high = check.interval
        at = len(names) - 1 - names.index(name)
        axes.plot([check.champion + low, check.champion + high], [at, at], color=_AFTER, linewidth=6, alpha=0.2)
    _pairs(axes, {name: (named[name].champion, named[name].candidate) for name in names})
    axes.plot([], [], color=_AFTER, linewidth=6, alpha=0.2, label="95 % of the change")
    axes.set(title="F1 on the held-out labels", xlabel="F1", xlim=(0, 1))


def _pairs(axes: Axes, pairs: Mapping[str, tuple[float, float]]) -> None:
    places = range(len(pairs))[::-1]
    for at, (before, after) in zip(places, pairs.values(), strict=True):
        axes.annotate("", (after, at), (before, at), arrowprops={"arrowstyle": "-", "color": _AFTER})
    befores, afters = zip(*pairs.values(), strict=True)
    axes.plot(befores, list(places), "o", color=_BEFORE, markersize=8, label="before")
    axes.plot(afters, list(places), "o", color=_AFTER, markersize=8, label="after")
    axes.set_yticks(list(places), list(pairs))
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
