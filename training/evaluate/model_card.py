"""The model card: what a bundle is, where it comes from, how good it is and what it cannot do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.bundle import POOLED, Manifest
from schemas.emotions import EMOTIONS
from training.evaluate.breakdowns import LIMITED_RATE
from training.evaluate.model_card_text import (
    BEFORE,
    BY_LABELS,
    BY_TEACHERS,
    BY_THRESHOLD,
    CONVENTIONS,
    EXCLUSIVE,
    FIGURES,
    HEAD,
    LIMITS,
    OURS,
    PLAIN,
    SETS,
    UNSEEN,
)

_LICENCES = {
    "ru_go_emotions": "machine translation of GoEmotions, `seara/ru_go_emotions`, MIT",
    "goemotions": "GoEmotions, English, `go_emotions`, Apache-2.0",
    "ru_izard_emotions": "machine-translated, `Djacon/ru-izard-emotions`, MIT",
    "cedr": "CEDR, native Russian, `sagteam/cedr_v1`, Apache-2.0",
    "xed": "XED, film subtitles, labels projected from English, github.com/Helsinki-NLP/XED, CC BY 4.0",
    "ru_calls": "invented calls, written and labelled for this project by language models, `training/data/calls`, CC0",
    "synthetic": "made from templates of our own, `training/augment`, Apache-2.0",
    "brighter": "BRIGHTER, native Russian, `brighter-dataset/BRIGHTER-emotion-categories`, CC BY 4.0",
}

_CHANGES = ("written_change", "word_errors_change")
_BY_OTHER_HALF = "own_"


_OWN = "as given by the user"


def public_name(name: str) -> str:
    """Return a hub name as it is, and of a folder only its own name: where it lies is nobody else's business."""
    path = Path(name).expanduser()
    return path.resolve().name if path.is_absolute() or path.is_dir() else name


def own_sets(manifest: Manifest) -> list[str]:
    """Return what a bundle has learnt, itself or before, that no public set is known to be: it may quote customers."""
    metrics = manifest.metrics
    if "rows" not in metrics:
        return ["sets that its manifest does not name"]
    own = {*metrics["rows"], *metrics.get("rows_before", ())} - _LICENCES.keys()
    return sorted(own) + (["the table of labels"] if metrics.get("settings", {}).get("taken") else [])


def card(name: str, manifest: Manifest, vocabulary: int) -> str:
    """Return README.md of a bundle.

    Args:
        name: of its folder.
        manifest: the manifest; its metrics hold rows, cross_fitted, as_served, perhaps the network's model type,
            `summary` as sets, and under others the same of further conventions by their names.
        vocabulary: pieces of the tokenizer.
    """
    metrics, base = manifest.metrics, public_name(manifest.base_model)
    ours = metrics.get("network") == POOLED
    head = HEAD.format(
        name=name,
        max_tokens=manifest.max_tokens,
        network=OURS if ours else PLAIN,
        first="import registry.pooled_head  # Makes the network known to transformers.\n" if ours else "",
        version=manifest.version,
        normalizer=manifest.normalizer,
        base=base,
        base_licence=", MIT" if base == "intfloat/multilingual-e5-small" else "",
        vocabulary=vocabulary,
        decided=_decided(manifest),
        emotions=", ".join(EMOTIONS),
        taught=_before(metrics) + _taught(metrics["settings"]),
        sets="\n".join(
            f"| {source} | {rows:,} | {_LICENCES.get(source, _OWN)} |" for source, rows in metrics["rows"].items()
        ),
    )
    others = metrics.get("others", {})
    figures = (
        _figures(name, manifest, metrics if name == manifest.convention else others.get(name, {}))
        for name in manifest.tunings
    )
    return head + "".join(figures) + LIMITS


def _decided(manifest: Manifest) -> str:
    said = [BY_THRESHOLD, *([EXCLUSIVE] if manifest.neutral == "exclusive" else [])]
    if manifest.others:
        first, other, *_ = manifest.tunings
        said.append(CONVENTIONS.format(count=len(manifest.tunings), first=first, other=other))
    return "\n".join(said)


def _figures(convention: str, manifest: Manifest, metrics: Mapping[str, Any]) -> str:
    """Return what is known of one convention; nothing where it was not measured."""
    if "as_served" not in metrics:
        return ""
    served, exclusive = metrics["as_served"], manifest.tuning(convention).neutral == "exclusive"
    return FIGURES.format(
        heading=f", convention {convention}" if manifest.others else "",
        rows=served["rows"],
        measured_on=metrics.get("measured_on", "validation rows in ASR form"),
        halves="\n".join(map(_half, metrics["cross_fitted"])),
        sets=_sets(metrics.get("sets", {})),
        unseen=UNSEEN.format(**metrics["unseen"]) if "unseen" in metrics else "",
        emotions="\n".join(
            _emotion(name, figures, unused=exclusive and name == EMOTIONS[-1])
            for name, figures in served["emotions"].items()
        ),
        **{key: served[key] for key in ("weighted_f1", "macro_f1", "weighted_ap", "mean_ece")},
    )


def summary(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the few figures of each set that a manifest keeps under `sets`, for its card.

    Args:
        figures: of `report.evaluate`.

    Returns:
        For each source: rows, weighted_f1 and macro_f1_emotions as served; the same written; `own`, the macro F1 with
        the other half's tuning; written_change and, where it was measured, word_errors_change (at 15 %), and both with
        the other half's tuning.
    """
    return {source: _summary(measured) for source, measured in figures.items()}


def _summary(measured: Mapping[str, Any]) -> dict[str, Any]:
    spoken, written = measured["as_served"], measured["written"]
    changes = {"written_change": written["change"]}
    for each in measured.get("word_errors", ()):
        if each["rate"] == LIMITED_RATE:
            changes["word_errors_change"] = each
    return {
        "rows": spoken["rows"],
        "weighted_f1": spoken["weighted_f1"],
        "macro_f1_emotions": spoken["macro_f1_emotions"],
        "own_macro_f1_emotions": measured["other_half"]["macro_f1_emotions"],
        "written_macro_f1_emotions": written["as_served"]["macro_f1_emotions"],
        "written_own_macro_f1_emotions": written["other_half"]["macro_f1_emotions"],
        **{name: each["as_served"]["change"] for name, each in changes.items()},
        **{_BY_OTHER_HALF + name: each["other_half"]["change"] for name, each in changes.items()},
    }


def _before(metrics: Mapping[str, Any]) -> str:
    return BEFORE.format(sets=", ".join(metrics["rows_before"])) if metrics.get("rows_before") else ""


def _taught(settings: Mapping[str, Any]) -> str:
    by_labels = BY_LABELS.format(head="the served one" if settings.get("warm_start") else "GoEmotions'")
    teaching: Mapping[str, Any] = settings["teaching"]
    bases = teaching.get("bases", ())
    count = teaching["folds"] * teaching.get("seeds", 1) * (1 + len(bases))
    encoders = f", some of them of {', '.join(map(public_name, bases))}," if bases else ""
    return f"{BY_TEACHERS.format(teachers=count, encoders=encoders)}\n{by_labels}" if count else by_labels


def _sets(summary: Mapping[str, Mapping[str, Any]]) -> str:
    return SETS.format(rows="\n".join(_set(*pair) for pair in summary.items())) if summary else ""


def _set(source: str, figures: Mapping[str, Any]) -> str:
    changes = (
        f"{100 * figures[name]:+.1f} ({100 * figures[_BY_OTHER_HALF + name]:+.1f})" if name in figures else ""
        for name in _CHANGES
    )
    return (
        f"| {source} | {figures['rows']:,} | {figures['weighted_f1']:.3f} "
        f"| {figures['macro_f1_emotions']:.3f} ({figures['own_macro_f1_emotions']:.3f}) "
        f"| {figures['written_macro_f1_emotions']:.3f} ({figures['written_own_macro_f1_emotions']:.3f}) "
        f"| {' | '.join(changes)} |"
    )


def _half(figures: Mapping[str, Any]) -> str:
    tuned, measured = figures["tuned"], figures["measured"]
    return (
        f"| half {figures['tuned_on_half']} | {tuned['weighted_f1']:.4f} | **{measured['weighted_f1']:.4f}** "
        f"| {tuned['macro_f1']:.4f} | **{measured['macro_f1']:.4f}** |"
    )


def _emotion(name: str, figures: Mapping[str, Any], *, unused: bool) -> str:
    threshold = "none" if unused else f"{figures['threshold']:.3f}"
    return (
        f"| {name} | {figures['f1']:.3f} | {figures['average_precision']:.3f} | {figures['ece']:.3f} "
        f"| {threshold} | {figures['support']:,} |"
    )
