"""What a bundle is, as its manifest and the registry tell it, and what two bundles differ in."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from registry.contents import manifest_at
from registry.errors import UnusableVersion
from registry.released import named_folder
from registry.versions import PRUNED, ModelVersion
from schemas.bundle import MANIFEST, Manifest
from schemas.emotions import EMOTIONS
from training.database import find_version

Facts = dict[str, dict[str, Any]]
"""A title, and under it names and values."""

_FIGURES: Final = {
    "rows": "rows",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "macro_f1_emotions": "macro F1 without neutral",
    "weighted_ap": "weighted average precision",
    "exact_match": "exact match",
    "mean_ece": "mean calibration error",
}
_MEASURES: Final = {"as_served": "figures as served", "unseen": "figures on unseen rows"}


def facts(name: str) -> Facts:
    """Return what is known of a model.

    Args:
        name: a bundle's folder, small, tiny, or a version of the registry.

    Raises:
        RegistryError: there is no such version, its bundle was pruned, or it cannot be read.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    folder = named_folder(name)
    if (folder / MANIFEST).is_file():
        return dict(_of_manifest(manifest_at(str(folder))))
    row = find_version(name)
    if row.location == PRUNED:
        raise UnusableVersion(f"the bundle of {row.version} was pruned: only `models list` knows of it")
    return {"registry": _of_row(row), **dict(_of_manifest(manifest_at(row.location)))}


def differences(a: Facts, b: Facts) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Return the values that differ, by title and name; None where one model has none."""
    found = {}
    for title in dict.fromkeys([*a, *b]):
        one, other = a.get(title, {}), b.get(title, {})
        names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
        if names:
            found[title] = {name: (one.get(name), other.get(name)) for name in names}
    return found


def _of_row(row: ModelVersion) -> dict[str, Any]:
    return {
        "state": row.state,
        "promoted": row.promoted_at.isoformat(" ", "seconds") if row.promoted_at else None,
        "location": row.location,
        "checksum": row.checksum,
    }


def _of_manifest(manifest: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    metrics = manifest.metrics
    yield (
        "bundle",
        {
            "version": manifest.version,
            "made": manifest.created_at,
            "base model": manifest.base_model,
            "network": metrics.get("network"),
            "data fingerprint": manifest.data_fingerprint,
            "normalizer": manifest.normalizer,
            "longest text in tokens": manifest.max_tokens,
            "conventions": ", ".join(manifest.tunings),
        },
    )
    yield "rows it has learnt", dict(metrics.get("rows", {}))
    yield "settings", dict(_flat(metrics.get("settings", {})))
    for convention, tuning in manifest.tunings.items():
        ending = f", convention {convention}"
        yield f"thresholds{ending}", {"neutral is": tuning.neutral, **_by_emotion(tuning.thresholds)}
        calibration = {name: (each.scale, each.bias) for name, each in tuning.calibration.items()}
        yield f"calibration, scale and bias{ending}", _by_emotion(calibration)
        own = metrics if convention == manifest.convention else metrics.get("others", {}).get(convention, {})
        for measure, title in _MEASURES.items():
            if measure in own:
                yield f"{title}{ending}", dict(_figures(own[measure]))


def _figures(measured: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, title in _FIGURES.items():
        yield title, measured.get(name)
    for emotion, each in measured.get("emotions", {}).items():
        yield f"F1 of {emotion}", each["f1"]


def _by_emotion(values: Mapping[str, Any]) -> dict[str, Any]:
    return {emotion: values[emotion] for emotion in EMOTIONS}


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting under the name by which --set knows it."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
