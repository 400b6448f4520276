"""The report's plots, each as an <svg> element."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pages.colours import COLOURS
from schemas.emotions import EMOTIONS
from training.evaluate.breakdowns import BUDGET, LIMITED_RATE
from training.evaluate.svg import ACCENT, INK, QUIET, svg

_SERIES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
_MANY_POINTS: Final = 60
_DASHED: Final = (0, (4, 3))


def f1_by_emotion(measured: Mapping[str, Any], intervals: Mapping[str, Any]) -> str:
    """Draw the F1 of each emotion with its interval, best at the top."""
    names = sorted(measured["emotions"], key=lambda name: measured["emotions"][name]["f1"])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for at, name in enumerate(names):
            row, colour = measured["emotions"][name], COLOURS[name]
            axes.plot(intervals["emotions"][name], [at, at], color=colour, linewidth=5, alpha=0.35)
            axes.plot(row["f1"], at, "o", color=colour, markersize=8)
            axes.annotate(f"{row['f1']:.2f}", (row["f1"], at), (0, 9), textcoords="offset points", ha="center")
            axes.text(1.01, at, f"{row['support']:,}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.text(1.01, len(names) - 0.35, "rows", transform=axes.get_yaxis_transform(), fontsize=8, color=QUIET)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.3), xlabel="F1")
        axes.grid(visible=False, axis="y")

    return svg(0.42 * len(names) + 0.7, draw)


def precision_recall(curves: Mapping[str, Any]) -> str:
    """Draw the precision-recall curve of each emotion, with its threshold marked, over lines of equal F1."""

    def panel(axes: Axes, name: str) -> None:
        curve, recall = curves[name], np.linspace(0.01, 1, _MANY_POINTS)
        for f1 in (0.2, 0.4, 0.6, 0.8):
            along = recall[recall > f1 / (2 - f1)]
            axes.plot(along, f1 * along / (2 * along - f1), color=QUIET, linewidth=0.6, alpha=0.45)
            axes.text(1.015, f1 / (2 - f1), f".{f1 * 10:.0f}", fontsize=6.5, color=QUIET, va="center")
        axes.plot(curve["recall"], curve["precision"], color=COLOURS[name])
        here = curve["at_threshold"]
        axes.plot(here["recall"], here["precision"], "o", color=COLOURS[name], markersize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))

    return _panels(list(curves), panel, "recall", "precision")


def reliability(diagrams: Mapping[str, Any], emotions: Mapping[str, Any]) -> str:
    """Draw how often an emotion is there against how likely the model says it is; bars say where the scores lie."""

    def panel(axes: Axes, name: str) -> None:
        bins = diagrams[name]
        said, there = [each["score"] for each in bins], [each["share"] for each in bins]
        rows = np.array([each["rows"] for each in bins])
        axes.bar(said, 0.25 * np.sqrt(rows / rows.max()), width=0.06, color=COLOURS[name], alpha=0.22)
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=_DASHED)
        axes.plot(said, there, color=COLOURS[name], marker="o", markersize=4)
        axes.text(0.04, 0.97, f"error {emotions[name]['ece']:.3f}", va="top", fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))

    return _panels(list(diagrams), panel, "score", "share")


def _panels(names: Sequence[str], panel: Callable[[Axes, str], None], x: str, y: str) -> str:
    """Draw small panels, four in a row, one an emotion."""
    lines = -(-len(names) // 4)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(lines, 4, squeeze=False, sharex=True, sharey=True).flat
        for at, axes in enumerate(grid):
            if at >= len(names):
                axes.set_axis_off()
                continue
            panel(axes, names[at])
            axes.set_title(names[at], color=COLOURS[names[at]])
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.tick_params(labelbottom=at + 4 >= len(names), labelleft=at % 4 == 0)
            axes.set_xlabel(x if at + 4 >= len(names) else "")
            axes.set_ylabel(y if at % 4 == 0 else "")

    return svg(2.25 * lines, draw)


def co_occurrence(labelled: Sequence[Sequence[float]], assigned: Sequence[Sequence[float]]) -> str:
    """Draw side by side how often a row of one emotion carries another, by its labels and by the model."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, table, title in ((left, labelled, "by the labels"), (right, assigned, "by the model")):
            shares = np.array(table)
            np.fill_diagonal(shares, np.nan)
            _heat(axes, shares, highest=0.5)
            axes.set_title(title)
            axes.set_xlabel("also carry")
        left.set_ylabel("of the rows with")

    return svg(3.6, draw)


def confusion(table: Sequence[Sequence[int]]) -> str:
    """Draw, of the rows with one label, which emotion has the highest score."""
    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)

    def draw(figure: Figure) -> None:
        axes, note = figure.subplots(1, 2, width_ratios=(3, 1))
        _heat(axes, shares, highest=1.0)
        axes.set(xlabel="highest score", ylabel="labelled")
        note.set_axis_off()
        for at, name in enumerate(EMOTIONS):
            note.text(0, 1 - (at + 0.5) / len(EMOTIONS), f"{name}: {counts[at].sum():,} rows", va="center", fontsize=8)

    return svg(3.7, draw)


def _heat(axes: Axes, shares: Any, highest: float) -> None:
    """Fill a 7 x 7 table with percentages; the deeper, the more."""
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row, values in enumerate(shares):
        for column, share in enumerate(values):
            if np.isnan(share):
                continue
            depth = 0.04 + 0.66 * min(share / highest, 1)
            axes.add_patch(Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, color=ACCENT, alpha=depth))
            axes.text(column + 0.5, row + 0.52, f"{share:.0%}".rstrip("%"), ha="center", va="center", fontsize=8)
    middles = np.arange(len(EMOTIONS)) + 0.5
    axes.set_xticks(middles, EMOTIONS, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, EMOTIONS)
    axes.tick_params(length=0)
    axes.set(xlim=(0, len(EMOTIONS)), ylim=(len(EMOTIONS), 0))


def word_errors(by_source: Mapping[str, Sequence[Mapping[str, Any]]], main: str) -> str:
    """Draw how weighted F1 falls with the word error rate, in points, and what it may cost; with intervals for one."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for (source, rates), colour in zip(by_source.items(), _SERIES, strict=False):
            rate = [100 * each["measured_rate"] for each in rates]
            style: Any = {"linewidth": 2.4, "zorder": 3} if source == main else {"linewidth": 1.2, "alpha": 0.8}
            changes = [100 * each["change"] for each in rates]
            axes.plot(rate, changes, "o-", color=colour, markersize=5, label=source, **style)
            if source == main:
                low, high = zip(*(each["interval"] for each in rates), strict=True)
                axes.fill_between(rate, 100 * np.array(low), 100 * np.array(high), color=colour, alpha=0.2, linewidth=0)
        axes.axhline(-100 * BUDGET, color=INK, linewidth=0.8, linestyle=_DASHED)
        axes.text(0, -100 * BUDGET - 0.12, "most that 15 % may cost", fontsize=8, va="top")
        axes.axvline(100 * LIMITED_RATE, color=INK, linewidth=0.8, linestyle=_DASHED)
        axes.set(xlabel="word errors, % of the words", ylabel="change of weighted F1, points")
        axes.legend(loc="lower left")

    return svg(3.1, draw)


def by_length(groups: Sequence[Mapping[str, Any]]) -> str:
    """Draw weighted F1 by the words of a text, with intervals."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for at, group in enumerate(groups):
            axes.plot([at, at], group["interval"], color=ACCENT, linewidth=5, alpha=0.35)
            axes.plot(at, group["weighted_f1"], "o", color=ACCENT, markersize=8)
            text = f"{group['weighted_f1']:.2f}"
            axes.annotate(text, (at, group["weighted_f1"]), (9, 0), textcoords="offset points", va="center")
        labels = [f"{group['words'].replace('-', '–')}\n{group['rows']:,} rows" for group in groups]
        axes.set_xticks(range(len(groups)), labels)
        lowest = min(group["interval"][0] for group in groups)
        highest = max(group["interval"][1] for group in groups)
        axes.set(xlim=(-0.5, len(groups) - 0.4), ylim=(max(0, lowest - 0.05), min(1, highest + 0.05)))
        axes.set(xlabel="words of the text", ylabel="weighted F1")
        axes.grid(visible=False, axis="x")

    return svg(2.7, draw)


def plot_written_form(by_source: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw what punctuation and case change, for each set, in points of weighted F1."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        names = list(by_source)[::-1]
        axes.axvline(0, color=INK, linewidth=0.8)
        for at, name in enumerate(names):
            each = by_source[name]
            axes.plot([100 * value for value in each["interval"]], [at, at], color=ACCENT, linewidth=5, alpha=0.35)
            axes.plot(100 * each["change"], at, "o", color=ACCENT, markersize=8)
            value = (100 * each["change"], at)
            axes.annotate(f"{value[0]:+.1f}", value, (0, 9), textcoords="offset points", ha="center")
        axes.set_yticks(range(len(names)), names)
        axes.set(ylim=(-0.5, len(names) - 0.3), xlabel="written minus spoken, points of weighted F1")
        axes.grid(visible=False, axis="y")

    return svg(0.5 * len(by_source) + 0.75, draw)


def learning(history: Sequence[Mapping[str, float]]) -> str:
    """Draw the loss by step, raw and smoothed, and the learning rate where it is known."""
    losses = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry and "step" in entry]
    rates = [(entry["step"], entry["learning_rate"]) for entry in history if "learning_rate" in entry]
    measured = [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(2.2, 1))
        steps, values = np.array(losses).T
        left.plot(steps, values, color=ACCENT, linewidth=1, alpha=0.35)
        window = 2 * (len(values) // 40) + 1
        if window > 1:
            middles = steps[window // 2 : -(window // 2)]
            left.plot(middles, np.convolve(values, np.full(window, 1 / window), "valid"), color=ACCENT)
        if measured:
            left.plot(*np.array(measured).T, "o-", color=COLOURS["anger"], markersize=4, label="validation")
            left.legend()
        left.set(xlabel="step", ylabel="loss")
        if rates:
            right.plot(*np.array(rates).T, color=COLOURS["disgust"])
            right.set(xlabel="step", ylabel="learning rate")
            right.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        else:
            right.set_axis_off()

    return svg(2.6, draw) if losses else ""
