"""Drift as a file for the textfile collector of Prometheus' node exporter."""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from training.monitor.drift import Drift
from training.monitor.label_quality import Month
from training.monitor.run_metrics import write_textfile


def write_metrics(file: Path, drift: Drift, months: Sequence[Month]) -> None:
    """Write the figures of a comparison for the textfile collector.

    Raises:
        UnusableOutput: the file cannot be written.
    """
    write_textfile(file, drift_registry(drift, months))


def drift_registry(drift: Drift, months: Sequence[Month]) -> CollectorRegistry:
    """Return the figures of a comparison as metrics.

    Args:
        drift: changes between two stretches of results.
        months: the champion's quality on the labels of each month; none where it was not measured.
    """
    registry = CollectorRegistry()

    def gauge(name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"emotion_{name}", told, labels, registry=registry)

    gauge("drift_found", "1 where anything has drifted").set(drift.found)
    gauge("drift_compared_timestamp_seconds", "When the stretches were compared").set_to_current_time()
    rows = gauge("drift_rows", "Results that were compared", "stretch")
    calls = gauge("drift_calls", "Calls of these results", "stretch")
    value = gauge("drift_value", "Mean or share of a statistic", "statistic", "stretch")
    effect = gauge("drift_effect", "Size of a change: D or Cohen's h", "statistic", "measure")
    p_value = gauge("drift_p_value", "Chance of such a change where nothing has changed", "statistic")
    drifted = gauge("drift_statistic_found", "1 where a statistic has drifted", "statistic")
    rows.labels("reference").set(drift.reference_rows)
    rows.labels("window").set(drift.window_rows)
    calls.labels("reference").set(drift.reference_calls)
    calls.labels("window").set(drift.window_calls)
    for change in drift.changes:
        value.labels(change.name, "reference").set(change.reference)
        value.labels(change.name, "window").set(change.window)
        effect.labels(change.name, change.measure).set(change.effect)
        p_value.labels(change.name).set(change.p_value)
        drifted.labels(change.name).set(change.drifted)
    if months:
        labels = gauge("labels_rows", "Labelled texts of a month that judge the champion", "month")
        weighted = gauge("labels_weighted_f1", "The champion's weighted F1 on the labels of a month", "month")
        f1 = gauge("labels_f1", "The champion's F1 on the labels of a month", "month", "emotion")
        for month in months:
            labels.labels(month.month).set(month.rows)
            weighted.labels(month.month).set(month.weighted_f1)
            for emotion, value_of in month.f1.items():
                f1.labels(month.month, emotion).set(value_of)
    return registry
