"""Drift as a page of one file, in the style of the report."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pages.colours import COLOURS
from pages.render import render
from schemas.emotions import EMOTIONS
from training.evaluate.pages import Plot, plot
from training.evaluate.svg import ACCENT, INK, QUIET, svg
from training.monitor.drift import Change, Drift, Sample
from training.monitor.label_quality import Month

_ALARM: Final = COLOURS["anger"]
_POINTS: Final = 200
_DASHED: Final = (0, (4, 3))


def drift_page(drift: Drift, reference: Sample, window: Sample, months: Sequence[Month], champion: str | None) -> str:
    """Return the page.

    Args:
        drift: what `compare` found.
        reference: rows before.
        window: rows now.
        months: the champion's quality on the labels of each month, where it was measured.
        champion: version of the model that was measured on labels.
    """
    plots = [_effects(drift), _shares(drift)]
    if drift.model:
        plots.append(_scores(drift, reference, window))
    return render(
        "training/monitor/drift.html.jinja",
        drift=drift,
        plots=plots,
        quality=_quality(months) if months else None,
        months=months,
        champion=champion,
    )


def _effects(drift: Drift) -> Plot:
    ranked = sorted(drift.changes, key=lambda change: change.effect)
    drifted = [change.name for change in drift.changes if change.drifted]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for at, change in enumerate(ranked):
            colour = _ALARM if change.drifted else ACCENT
            axes.plot([0, change.effect], [at, at], color=colour, linewidth=2, alpha=0.4)
            axes.plot(change.effect, at, "o", color=colour, markersize=6)
        axes.axvline(drift.floor, color=INK, linewidth=0.8, linestyle=_DASHED)
        axes.set_yticks(range(len(ranked)), [change.name for change in ranked])
        axes.set(xlim=(0, None), ylim=(-0.7, len(ranked) - 0.3), xlabel="size of the change, D or h")
        axes.grid(visible=False, axis="y")

    return plot(
        f"{len(drifted)} of {len(ranked)} statistics have drifted" if drifted else "No statistic has drifted",
        svg(0.25 * len(ranked) + 0.6, draw),
        f"Dashed: the smallest change that matters, {drift.floor:g}. Red: beyond chance too. D is the largest distance "
        "of two distribution functions, h Cohen's distance of two shares.",
    )


def _shares(drift: Drift) -> Plot:
    """Draw the shares of rows before and now."""
    shares = [change for change in drift.changes if change.measure == "h"]
    most = max(shares, key=lambda change: abs(change.window - change.reference))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for at, change in enumerate(reversed(shares)):
            colour = _ALARM if change.drifted else ACCENT
            before, now = 100 * change.reference, 100 * change.window
            axes.plot([before, now], [at, at], color=colour, linewidth=4, alpha=0.35)
            axes.plot(before, at, "o", color=colour, markersize=8, fillstyle="none", markeredgewidth=1.4)
            axes.plot(now, at, "o", color=colour, markersize=8)
        axes.set_yticks(range(len(shares)), [change.name for change in reversed(shares)])
        axes.set(xlim=(0, None), ylim=(-0.7, len(shares) - 0.3), xlabel="% of the rows")
        axes.grid(visible=False, axis="y")

    return plot(
        f"{most.name.capitalize()} moved most: {100 * most.reference:.1f} % to {100 * most.window:.1f} %",
        svg(0.32 * len(shares) + 0.6, draw),
        "Ring: before. Dot: now. Red: drifted.",
    )


def _scores(drift: Drift, reference: Sample, window: Sample) -> Plot:
    """Draw the distribution of each emotion's score before and now."""
    both = [sample.scores[np.array(sample.models) == drift.model] for sample in (reference, window)]
    before, now = (scores[~np.isnan(scores).any(1)] for scores in both)
    of = {change.name.removeprefix("score of "): change for change in drift.changes}

    def panel(axes: Axes, at: int) -> None:
        shares = np.linspace(0, 1, _POINTS)
        axes.plot(np.quantile(before[:, at], shares), shares, color=QUIET, linewidth=1.2, linestyle=_DASHED)
        axes.plot(np.quantile(now[:, at], shares), shares, color=COLOURS[EMOTIONS[at]])
        axes.set_title(EMOTIONS[at], color=COLOURS[EMOTIONS[at]])
        axes.text(0.96, 0.05, f"D {of[EMOTIONS[at]].effect:.2f}", ha="right", fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, 4, sharex=True, sharey=True).flat
        for at, axes in enumerate(grid):
            if at < len(EMOTIONS):
                panel(axes, at)
            else:
                axes.set_axis_off()

    most: Change = max((of[emotion] for emotion in EMOTIONS), key=lambda change: change.effect)
    return plot(
        f"The {most.name} moved most (D {most.effect:.2f})",
        svg(4.5, draw),
        "Share of the rows whose score lies below. Dashed: before. Colour: now.",
    )


def _quality(months: Sequence[Month]) -> Plot:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for at, month in enumerate(months):
            axes.plot([at, at], month.interval, color=ACCENT, linewidth=5, alpha=0.35)
            axes.annotate(f"{month.weighted_f1:.2f}", (at, month.weighted_f1), (8, 0), textcoords="offset points")
        axes.plot(range(len(months)), [month.weighted_f1 for month in months], "o-", color=ACCENT, markersize=7)
        axes.set_xticks(range(len(months)), [f"{month.month}\n{month.rows:,} texts" for month in months])
        axes.set(xlim=(-0.5, len(months) - 0.3), ylabel="weighted F1")
        axes.grid(visible=False, axis="x")

    first, last = months[0], months[-1]
    return plot(
        f"Weighted F1 was {first.weighted_f1:.3f} in {first.month} and is {last.weighted_f1:.3f} in {last.month}",
        svg(2.8, draw),
        "Bars: 95 % intervals of 1,000 bootstrap samples.",
    )
