"""A tuning for people to read: before and after, emotion by emotion."""

from rich.table import Table

from schemas.emotions import EMOTIONS
from training.tune.thresholds import SURE, Trial, on_its_scale


def as_table(trial: Trial) -> Table:
    """Lay a tuning out for a terminal; both thresholds are of the bundle's scores as they were, to be comparable."""
    title = f"{trial.rows:,} labels, each tenth by what was tuned on the other nine"
    table = Table(title=title, title_justify="left")
    table.add_column("emotion")
    for head in ("labels", "threshold", "tuned", "F1", "tuned"):
        table.add_column(head, justify="right")
    table.add_column("")
    old, new = (figures["emotions"] for figures in trial.figures)
    for emotion, positives, moved in zip(
        EMOTIONS, trial.positives, on_its_scale(trial.after, trial.before), strict=True
    ):
        decides = emotion != EMOTIONS[-1] or trial.before.neutral == "independent"
        thresholds = (f"{at:.3f}" if decides else "" for at in (trial.before.thresholds[emotion], moved))
        f1 = (f"{each[emotion]['f1']:.3f}" if emotion in each else "" for each in (old, new))
        said = "" if positives else "stays: no label"
        table.add_row(emotion, str(positives), *thresholds, *f1, said)
    return table


def lines(trial: Trial) -> list[str]:
    """Return the whole in lines, as the gate puts it."""
    old, new = trial.figures
    change, (low, high) = new["weighted_f1"] - old["weighted_f1"], trial.gain
    mark = "pass" if trial.won else "FAIL"
    gained = f"{change:+.4f} [{low:+.4f}, {high:+.4f}], in {trial.sure:.1%} of bootstrap samples; asked: {SURE:.0%}"
    return [
        f"{mark}  weighted F1: {old['weighted_f1']:.4f} -> {new['weighted_f1']:.4f}, {gained}",
        f"      macro F1: {old['macro_f1']:.4f} -> {new['macro_f1']:.4f}",
        f"      mean calibration error: {old['mean_ece']:.4f} -> {new['mean_ece']:.4f}",
    ]
