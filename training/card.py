"""The model card: what a bundle is, where it comes from, how good it is and what it cannot do."""

from collections.abc import Mapping
from typing import Any

from schemas.bundle import POOLED, Manifest
from schemas.emotions import EMOTIONS
from training.breakdowns import LIMITED_RATE

_LICENCES = {
    "ru_go_emotions": "machine translation of GoEmotions, `seara/ru_go_emotions`, MIT",
    "goemotions": "GoEmotions, English, `go_emotions`, Apache-2.0",
    "ru_izard_emotions": "machine-translated, `Djacon/ru-izard-emotions`, MIT",
    "cedr": "CEDR, native Russian, `sagteam/cedr_v1`, Apache-2.0",
    "xed": "XED, film subtitles, labels projected from English, github.com/Helsinki-NLP/XED, CC BY 4.0",
    "synthetic": "made from templates of our own, `training/augment`, Apache-2.0",
    "dialogues": "lines of dialogues and jokes, github.com/Koziev/NLP_Datasets, CC0, labelled by a student",
    "brighter": "BRIGHTER, native Russian, `brighter-dataset/BRIGHTER-emotion-categories`, CC BY 4.0",
}

_HEAD = """\
---
language: ru
license: mit
library_name: transformers
pipeline_tag: text-classification
base_model: {base}
---

# {name}

Says which of seven emotions a piece of transcribed Russian speech carries:
{emotions}.
A text can carry several, so each score is a probability of its own. {network}

```python
{first}from transformers import pipeline

classify = pipeline("text-classification", model="{name}", top_k=None, function_to_apply="sigmoid")
classify("ну сколько можно ждать я уже третий раз звоню")
```

An emotion is assigned where its score reaches its threshold in `manifest.json`. The scores are calibrated (Platt
scaling, folded into the output layer). The text is expected as `schemas.normalization.normalize` returns it (version
{normalizer}): lower case, е for ё. The worker cuts a text at {max_tokens} tokens; elsewhere give
`truncation=True, max_length={max_tokens}` for texts that may be longer.

Base encoder: {base}{base_licence}. Vocabulary cut to {vocabulary:,} pieces. Version {version}.

## Trained on

| set | rows | what, licence |
|---|---|---|
{sets}

{taught}
"""

_PLAIN = "An ordinary `AutoModelForSequenceClassification`;\nno remote code:"

_OURS = """\
The encoder has a head of its own, so that
transformers need the package `asr-emotions` to open it (no remote code); an export to ONNX needs nothing of it:"""

_BY_LABELS = "Each set taught an output head of its own, since annotators differ; the head that remains is {head}."

_BY_TEACHERS = """\
Translated and English GoEmotions rows were taught by scores, not labels: {teachers} teachers{encoders}
scored the English originals, each those that it had not seen in either language, and the mean of their scores became
the target of the translation too."""

_FIGURES = """
## How good it is

On {rows:,} rows ({measured_on}: lower case, no punctuation), none of them trained on.
Calibration and thresholds tuned on one half (by CRC-32 of the row's id), measured on the other, both ways:

| tuned on | weighted F1 there | **weighted F1 on the other half** | macro F1 there | **macro F1 on the other half** |
|---|---|---|---|---|
{halves}

As shipped (calibration and thresholds tuned on both halves, so these figures flatter a little):

| emotion | F1 | average precision | calibration error | threshold | rows |
|---|---|---|---|---|---|
{emotions}
| weighted / mean | {weighted_f1:.3f} (macro {macro_f1:.3f}) | {weighted_ap:.3f} | {mean_ece:.3f} | | |
{sets}
## Limits

- Most of what it learned from is written text, machine-translated from English comments; calls are another matter.
  Measure it on labelled transcripts of your own before you rely on it.
- It reads words, not voices: irony, tone and loudness do not reach it. Each segment is read alone.
- Fear and disgust are rare in the data and its weakest classes. "joy" includes gratitude, approval and care.
- It describes what a text expresses, not what a person feels. Not for decisions about individual people.
"""

_SETS = """
On each set's validation rows, with the thresholds above. Macro F1 is over the annotated emotions but neutral; in
brackets, with calibration and thresholds from the other half of the set itself. The changes are of weighted F1, which
thresholds that were chosen on the very rows flatter before the change.

| set | rows | weighted F1, ASR form | macro F1, ASR form | macro F1, written | written instead | 15 % word errors |
|---|---|---|---|---|---|---|
{rows}
"""

_CHANGES = ("written_change", "word_errors_change")
_BY_OTHER_HALF = "own_"


def card(name: str, manifest: Manifest, vocabulary: int) -> str:
    """Return README.md of a bundle.

    Args:
        name: of its folder.
        manifest: of the bundle; its metrics hold rows, cross_fitted, as_served, and perhaps the network's model type
            and `summary` as sets.
        vocabulary: pieces of the tokenizer.
    """
    metrics, base = manifest.metrics, manifest.base_model
    served, ours = metrics["as_served"], metrics.get("network") == POOLED
    head = _HEAD.format(
        name=name,
        max_tokens=manifest.max_tokens,
        network=_OURS if ours else _PLAIN,
        first="import networks  # Makes the network known to transformers.\n" if ours else "",
        version=manifest.version,
        normalizer=manifest.normalizer,
        base=base,
        base_licence=", MIT" if base == "intfloat/multilingual-e5-small" else "",
        vocabulary=vocabulary,
        emotions=", ".join(EMOTIONS),
        taught=_taught(metrics["settings"]),
        sets="\n".join(
            f"| {source} | {rows:,} | {_LICENCES.get(source, 'as given by the user')} |"
            for source, rows in metrics["rows"].items()
        ),
    )
    return head + _FIGURES.format(
        rows=served["rows"],
        measured_on=metrics.get("measured_on", "validation rows in ASR form"),
        halves="\n".join(map(_half, metrics["cross_fitted"])),
        sets=_sets(metrics.get("sets", {})),
        emotions="\n".join(_emotion(name, figures) for name, figures in served["emotions"].items()),
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
    changes = {"written_change": written}
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
        **{name: each["change"] for name, each in changes.items()},
        **{_BY_OTHER_HALF + name: each["change_by_other_half"] for name, each in changes.items()},
    }


def _taught(settings: Mapping[str, Any]) -> str:
    by_labels = _BY_LABELS.format(head="the served one" if settings.get("warm_start") else "GoEmotions'")
    teaching: Mapping[str, Any] = settings["teaching"]
    bases = teaching.get("bases", ())
    count = teaching["folds"] * teaching.get("seeds", 1) * (1 + len(bases))
    encoders = f", some of them of {', '.join(bases)}," if bases else ""
    return f"{_BY_TEACHERS.format(teachers=count, encoders=encoders)}\n{by_labels}" if count else by_labels


def _sets(summary: Mapping[str, Mapping[str, Any]]) -> str:
    return _SETS.format(rows="\n".join(_set(*pair) for pair in summary.items())) if summary else ""


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


def _emotion(name: str, figures: Mapping[str, Any]) -> str:
    return (
        f"| {name} | {figures['f1']:.3f} | {figures['average_precision']:.3f} | {figures['ece']:.3f} "
        f"| {figures['threshold']:.3f} | {figures['support']:,} |"
    )
