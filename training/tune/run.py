"""A bundle tuned to few labels of a user's own: its network, other thresholds and calibration, a version of its own."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
from msgspec.structs import replace

from registry.contents import files_of
from registry.write import ensure_free, now
from schemas.bundle import CARD, KNOWN_TEXTS, MANIFEST, ONNX, ONNX_INT8, Manifest, Tuning, version_of
from schemas.emotions import EMOTIONS
from training.data.datasets import load
from training.data.examples import Examples, fingerprint
from training.data.known_texts import KnownTexts, known_texts
from training.data.splits import identity
from training.data.text_forms import as_spoken
from training.errors import UnusableData, UnusableModel, UnusableOutput
from training.evaluate.predictor import Served, open_served
from training.label_files.reading import SUFFIXES
from training.tune.thresholds import PARTS, Labels, Trial, try_tuning

log = structlog.get_logger(__name__)

_FIGURES: Final = ("weighted_f1", "macro_f1", "mean_ece")

_CARD: Final = """
## Tuned

This is {version}: the network of {before}, whose card follows, with thresholds and calibration fitted to {rows:,} more
labels (convention: {convention}). By what was tuned on the other tenths of these labels, weighted F1 went from
{old[weighted_f1]:.3f} to {new[weighted_f1]:.3f}, and the mean calibration error from {old[mean_ece]:.3f} to
{new[mean_ece]:.3f}. What follows was measured before, with the thresholds of {before}.
"""


def tune_bundle(
    model: Path, data: Sequence[str], output: Path, *, convention: str | None = None
) -> tuple[Trial, Manifest | None]:
    """Tune a bundle to labels, and write it where that wins on labels that it was not tuned to.

    Args:
        model: folder of the bundle.
        data: tables, whose rows of training and validation count; of other sets those of validation.
        output: folder of the new bundle; must not exist.
        convention: of the labels; None stands for the bundle's default one.

    Returns:
        What came of it, and the new bundle's manifest, or None where nothing was won and nothing is written.

    Raises:
        UserError: the bundle, the labels or the output cannot be used.
    """
    ensure_free(output)
    served = open_served(model, convention)
    examples = join_sets(_read(data, convention or served.manifest.convention))
    trial = try_examples(served, examples)
    if not trial.won:
        return trial, None
    return trial, write_tuned(model, served, output, trial, examples)


def try_examples(served: Served, examples: Examples, *, seed: int = 0) -> Trial:
    """Tune a model's convention to labels, and try it, as `try_tuning` does.

    Raises:
        UnusableModel: the logits are no numbers.
        UnusableData: as `try_tuning`.
    """
    logits = served.logits([as_spoken(text) for text in examples.texts])
    if not np.isfinite(logits).all():
        raise UnusableModel("the model gives scores that are not numbers; its fit diverged. Name another bundle")
    groups = np.array(examples.dialogues or [identity(text) for text in examples.texts])
    labels = Labels(logits, examples.targets, examples.annotated, groups)
    return try_tuning(served.manifest.tuning(served.convention), labels, seed=seed)


def write_tuned(  # noqa: PLR0913 - the bundle that there is, and what becomes of it.
    folder: Path,
    served: Served,
    output: Path,
    trial: Trial,
    examples: Examples,
    *,
    taken: dict[str, Any] | None = None,
) -> Manifest:
    """Write the bundle, whole or not at all: another's files, with a manifest and a card of its own.

    Args:
        folder: the tuned bundle's folder.
        served: that bundle, by the convention that was tuned.
        output: folder to write; must not exist.
        trial: what came of the tuning.
        examples: the labels.
        taken: what a later retraining must know of the labels, where they are the table's; see
            `training.retrain.run_history`.

    Raises:
        UnusableOutput: the folder exists or cannot be written.
    """
    ensure_free(output)
    manifest, convention = served.manifest, served.convention or served.manifest.convention
    told = _told(manifest, trial, examples, convention)
    # What the network has learnt of the table holds, whoever tunes it.
    told["tuned"]["taken"] = taken or manifest.metrics.get("tuned", {}).get("taken")
    tuned = replace(
        _with(manifest, trial.after, convention),
        version=version_of(output.name, now()),
        created_at=now().isoformat(),
        metrics=manifest.metrics | told,
    )
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        known = known_texts(str(folder)) | KnownTexts.of(examples.texts)
        for name in files_of(str(folder)).keys() - {MANIFEST}:
            shutil.copyfile(folder / name, unfinished / name)
            (unfinished / name).chmod(0o644)
        _sign(unfinished, tuned.version)
        _retell(unfinished / CARD, manifest, tuned)
        (unfinished / KNOWN_TEXTS).write_bytes(known.encode())
        (unfinished / MANIFEST).write_bytes(tuned.encode())
        unfinished.rename(output)
    except OSError as error:
        raise UnusableOutput(f"{output} cannot be written: {error}. Free the disk or name another --output") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return tuned


def join_sets(sets: Sequence[Examples]) -> Examples:
    """Return the rows of several sets as one; rows of one session stay together, and so do rows of one text."""
    return Examples(
        source=", ".join(dict.fromkeys(each.source for each in sets)),
        language="ru",
        ids=[name for each in sets for name in each.ids],
        texts=[text for each in sets for text in each.texts],
        targets=np.concatenate([each.targets for each in sets]),
        annotated=np.concatenate([each.annotated for each in sets]),
        dialogues=[name for each in sets for name in each.dialogues or map(identity, each.texts)],
        chances=np.concatenate([np.ones(len(each)) if each.chances is None else each.chances for each in sets]),
    )


def _read(data: Sequence[str], convention: str) -> list[Examples]:
    tables = [name for name in data if Path(name).suffix.lower() in SUFFIXES]
    read = (*load(tables, "train", convention), *load(data, "validation", convention))
    sets = [each for each in read if each.language == "ru"]
    if not sets:
        raise UnusableData(f"{', '.join(data)}: no Russian labels there. Name a table with the columns text, emotions")
    for each in sets:
        if each.conventions != (convention,):
            raise UnusableData(
                f"{each.source} follows the convention {', '.join(each.conventions)}, and {convention} is to be tuned. "
                f"Name it with --convention, or give labels of {convention}"
            )
    return sets


def _told(old: Manifest, trial: Trial, examples: Examples, convention: str) -> dict[str, Any]:
    """Return what the metrics say of the tuning; other figures of `old` speak of the thresholds that it had."""
    before, after = trial.figures
    figures = {
        "measured_on": f"the labels that it was tuned to, each tenth by what was tuned on the other {PARTS - 1}",
        "as_served": after,
    }
    if convention != old.convention:
        others = old.metrics.get("others", {})
        figures = {"others": {**others, convention: {**others.get(convention, {}), **figures}}}
    return {
        **figures,
        "tuned": {
            "from": old.version,
            "convention": convention,
            "labels": trial.rows,
            "groups": trial.groups,
            "positives": dict(zip(EMOTIONS, trial.positives, strict=True)),
            "before": {name: before[name] for name in _FIGURES},
            "after": {name: after[name] for name in _FIGURES},
            "gain": trial.gain,
            "sure": trial.sure,
            "data_fingerprint": fingerprint([examples]),
        },
    }


def _with(old: Manifest, tuning: Tuning, convention: str) -> Manifest:
    if convention != old.convention:
        return replace(old, others={**old.others, convention: tuning})
    return replace(old, thresholds=tuning.thresholds, calibration=tuning.calibration)


def _sign(folder: Path, version: str) -> None:
    """Let the ONNX files say that they are this version's: the network, and so the file, is the one it was."""
    for name in (ONNX_INT8, ONNX):
        if not (folder / name).is_file():
            continue
        try:
            from registry.onnx_export import sign  # noqa: PLC0415 - a machine without ONNX can tune too.
        except ImportError:
            log.warning("the bundle's ONNX file is left out", file=name, advice="pip install 'asr-emotions[onnx]'")
            (folder / name).unlink()
            (folder / f"{name}.data").unlink(missing_ok=True)
            continue
        sign(folder / name, version)


def _retell(card: Path, old: Manifest, new: Manifest) -> None:
    """Say in the card what was tuned, before what it says of the network."""
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {new.version}\n"
    told = new.metrics["tuned"]
    section = _CARD.format(
        version=new.version,
        before=old.version,
        rows=told["labels"],
        convention=told["convention"],
        old=told["before"],
        new=told["after"],
    )
    lines = text.splitlines(keepends=True)
    title = next((at for at, line in enumerate(lines) if line.startswith("# ")), -1)
    card.write_text("".join([*lines[: title + 1], section, *lines[title + 1 :]]), encoding="utf-8")
