"""report.html: one file, no scripts, nothing loaded from elsewhere; each plot under a title that says what it shows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pages.colours import COLOURS
from pages.render import render
from schemas.bundle import Manifest
from schemas.emotions import EMOTIONS
from training.evaluate import plots
from training.evaluate.behaviour import NEEDED, NEEDED_EACH, Behaviour
from training.evaluate.breakdowns import BUDGET, LIMITED_RATE, Mistake
from training.evaluate.pages import Plot, plot

TARGET_ECE: Final = 0.025
"""Expected calibration error that no emotion should exceed."""


def page(  # noqa: PLR0913 - the parts of the page.
    manifest: Manifest,
    figures: Mapping[str, Any],
    worst: Mapping[str, tuple[list[Mistake], list[Mistake]]],
    history: Sequence[Mapping[str, float]] = (),
    *,
    verdict: Sequence[str] = (),
    behaviour: Behaviour | None = None,
) -> str:
    """Return the report.

    Args:
        manifest: the model's manifest.
        figures: of `report.evaluate` with an output: for each set.
        worst: for each set, what `breakdowns.mistakes` gives.
        history: what the Trainer logged; without it there is no learning curve.
        verdict: of the gate: what it says, and a line a check.
        behaviour: of the model on the lines that show one phenomenon each; without it there is no section on it.
    """
    # The set with the most rows says the most; a page of plots for each would bury that.
    main = max(figures, key=lambda source: int(figures[source]["as_served"]["rows"]))
    false_alarms, misses = worst[main]
    return render(
        "training/evaluate/report.html.jinja",
        manifest=manifest,
        verdict=verdict,
        behaviour=behaviour,
        enough=(NEEDED, NEEDED_EACH),
        main=main,
        figures=figures,
        tiles=_tiles(figures[main]),
        sections=_sections(main, figures, history),
        false_alarms=false_alarms,
        misses=misses,
        colours=COLOURS,
        emotions=EMOTIONS,
        fair=_fair,
        noise=_at_noise,
        when_written=_when_written,
        signed=_signed,
    )


def _fair(measured: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the figures of a set by the measure whose rows chose nothing."""
    found: Mapping[str, Any] = measured[measured["judged_by"]]
    return found


def _at_noise(measured: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what 15 % word errors change."""
    found: Mapping[str, Any] = next(each for each in measured["word_errors"] if each["rate"] == LIMITED_RATE)
    return _fair({**found, "judged_by": measured["judged_by"]})


def _when_written(measured: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what punctuation and case change."""
    return _fair({**measured["written"]["change"], "judged_by": measured["judged_by"]})


def _tiles(measured: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, value and explanation of the figures that are read first."""
    fair, noisy = _fair(measured), _at_noise(measured)
    worst = max(each["ece"] for each in fair["emotions"].values())
    low, high = measured["intervals"]["weighted_f1"]
    return [
        ("weighted F1", f"{fair['weighted_f1']:.3f}", f"95 % interval {low:.3f} to {high:.3f}"),
        ("macro F1", f"{fair['macro_f1']:.3f}", f"without neutral {fair['macro_f1_emotions']:.3f}"),
        ("worst calibration error", f"{worst:.3f}", f"target {TARGET_ECE:g} an emotion, mean {fair['mean_ece']:.3f}"),
        ("15 % word errors cost", _points(-noisy["change"]), f"points; may cost {100 * BUDGET:g}"),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _signed(change: float) -> str:
    return f"{100 * change:+.1f}".replace("-", "−")


def _points(change: float) -> str:
    return f"{100 * change:.1f}"


def _sections(
    main: str, figures: Mapping[str, Any], history: Sequence[Mapping[str, float]]
) -> list[tuple[str, list[Plot]]]:
    measured = figures[main]
    learning = plots.learning(history)
    sections = [
        ("Emotion by emotion", [_f1(measured), _curves(measured)]),
        ("Can its scores be taken for probabilities?", [_reliability(measured)]),
        ("What a recognizer does to it", [_noise(main, figures), _written(figures), _length(measured)]),
        ("Which emotions it mixes up", [_confusion(measured), _co_occurrence(measured)]),
    ]
    if learning:
        losses = [entry["loss"] for entry in history if "loss" in entry]
        finding = f"The loss went from {losses[0]:.3f} to {losses[-1]:.3f}"
        sections.append(("How it learned", [plot(finding, learning, "Pale: as logged; strong: smoothed.")]))
    return sections


def _f1(measured: Mapping[str, Any]) -> Plot:
    emotions = _fair(measured)["emotions"]
    ranked = sorted(emotions, key=lambda name: emotions[name]["f1"])
    best, weakest = ranked[-1], ranked[0]
    return plot(
        f"{best.capitalize()} is found best (F1 {emotions[best]['f1']:.2f}), {weakest} worst "
        f"({emotions[weakest]['f1']:.2f}, on {emotions[weakest]['support']:,} rows)",
        plots.f1_by_emotion(_fair(measured), measured["intervals"]),
        "Bar: 95 % interval of 1,000 bootstrap samples.",
    )


def _curves(measured: Mapping[str, Any]) -> Plot:
    at = {name: curve["at_threshold"] for name, curve in measured["curves"].items()}
    eager = max(at, key=lambda name: at[name]["recall"] - at[name]["precision"])
    return plot(
        f"{eager.capitalize()} is assigned most freely: {_percent(at[eager]['recall'])} of it is found, and "
        f"{_percent(at[eager]['precision'])} of what is found is right",
        plots.precision_recall(measured["curves"]),
        "Dot: the threshold. Thin lines: equal F1, named at the right.",
    )


def _reliability(measured: Mapping[str, Any]) -> Plot:
    emotions = _fair(measured)["emotions"]
    worst = max(emotions, key=lambda name: emotions[name]["ece"])
    error = emotions[worst]["ece"]
    return plot(
        f"{'Yes' if error <= TARGET_ECE else 'Not all'}: the worst, {worst}, is off by {error:.3f} in the mean; "
        f"the target is {TARGET_ECE:g}",
        plots.reliability(measured["reliability"], emotions),
        "On the dashed line a score of .7 is right seven times in ten. Bars: where the scores lie (square root of the "
        "rows); far right there are few, so the line is restless there.",
    )


def _noise(main: str, figures: Mapping[str, Any]) -> Plot:
    noisy = _at_noise(figures[main])
    low, high = (-100 * value for value in reversed(noisy["interval"]))
    within = -noisy["change"] <= BUDGET
    return plot(
        f"15 % word errors cost {_points(-noisy['change'])} points of weighted F1 ({low:.1f} to {high:.1f}), "
        f"{'within' if within else 'more than'} the {100 * BUDGET:g} they may",
        plots.word_errors({source: _by_rate(each) for source, each in figures.items()}, main),
        "Words dropped, doubled, inserted, merged, split and misheard at 5, 10, 15 and 25 %; each point at the word "
        "error rate that came out. Band: 95 % interval of the change, the same bootstrap samples before and after.",
    )


def _by_rate(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    by = measured["judged_by"]
    return [{"measured_rate": each["measured_rate"], **each[by]} for each in measured["word_errors"]]


def _written(figures: Mapping[str, Any]) -> Plot:
    changes = {source: _when_written(each) for source, each in figures.items()}
    worse = [source for source, each in changes.items() if each["change"] < 0]
    return plot(
        "Punctuation and case help on every set" if not worse else f"Written text scores lower on {', '.join(worse)}",
        plots.plot_written_form(changes),
        "The same rows with punctuation kept, against ASR form without. Right of the line: what recognizers that "
        "write punctuation gain. Bars: 95 % intervals.",
    )


def _length(measured: Mapping[str, Any]) -> Plot:
    groups = measured["by_length"]
    worst = min(groups, key=lambda group: group["weighted_f1"])
    return plot(
        f"Texts of {worst['words'].replace('-', ' to ').replace('+', ' words and more')} are hardest "
        f"({worst['weighted_f1']:.2f})",
        plots.by_length(groups),
        "Bars: 95 % intervals of bootstrap samples.",
    )


def _confusion(measured: Mapping[str, Any]) -> Plot:
    table = measured["confusion"]
    shares = {
        (row, column): count / sum(table[at])
        for at, row in enumerate(EMOTIONS)
        for column, count in zip(EMOTIONS, table[at], strict=True)
        if row != column and sum(table[at])
    }
    row, column = max(shares, key=lambda pair: shares[pair], default=(EMOTIONS[0], EMOTIONS[0]))
    return plot(
        f"{row.capitalize()} is most often taken for {column}: {_percent(shares.get((row, column), 0))} of its rows",
        plots.confusion(table),
        "Rows with one label only; per cent of the label's rows. The highest score decides, without thresholds: rare "
        "emotions seldom have it, and are assigned all the same.",
    )


def _co_occurrence(measured: Mapping[str, Any]) -> Plot:
    together = measured["co_occurrence"]
    gaps = {
        (row, column): together["assigned"][at][there] - together["labelled"][at][there]
        for at, row in enumerate(EMOTIONS)
        for there, column in enumerate(EMOTIONS)
        if row != column
    }
    row, column = max(gaps, key=lambda pair: abs(gaps[pair]))
    assigned, labelled = (together[by][EMOTIONS.index(row)][EMOTIONS.index(column)] for by in ("assigned", "labelled"))
    return plot(
        f"With {row} the model sees {column} in {_percent(assigned)} of the rows, the labels in {_percent(labelled)}",
        plots.co_occurrence(together["labelled"], together["assigned"]),
        "Per cent of the rows of the emotion at the left that carry the one below too.",
    )
