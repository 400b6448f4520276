"""What a retraining is told; docs/retraining.md says what each figure is for."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.bundle import Manifest
from training.fit.settings import FitSettings, Taken
from training.recipes import merge_recipe, validate_settings
from training.retrain.checks import Limits
from training.settings import OTHER, Augmentation, Learning, Network, Teaching

_CHAMPIONS = "retrain"
"""The recipe on which a retraining from the champion stands."""

_ON_LIMITS = Limits()


class GateSettings(BaseModel):
    """What is asked of a candidate; see `training.retrain.checks.Limits`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    margin: float = _ON_LIMITS.margin
    """What the lower bound of the gain in weighted F1 must lie above."""
    error: float = Field(default=_ON_LIMITS.error, gt=0, lt=0.5)
    """Chance, in a year, that a candidate no better than the champion is promoted."""
    fall: float = Field(default=_ON_LIMITS.fall, ge=0)
    """F1 that an emotion may lose; where labels are enough, they must show that it lost no more."""
    growth: float = Field(default=_ON_LIMITS.growth, gt=0)
    """Factor by which latency and size may grow."""
    calibration: float = Field(default=_ON_LIMITS.calibration, ge=0)
    """Mean calibration error that may be added beyond doubt."""
    public_veto: bool = _ON_LIMITS.public_veto
    """Refuse a candidate whose weighted F1 on the sets of `public` falls beyond noise."""

    def limits(self) -> Limits:
        """Return them as the gate takes them."""
        return Limits(**self.model_dump())


class RetrainSettings(BaseModel):
    """How to retrain."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    store: str | None = None
    """Folder or URL of the bundles, by `--store` or TRAINING_MODEL_STORE too; without it, the folder `models` in
    `work`."""
    work: Path = Path("runs")
    """Folder for what a run has on the disk, the last snapshot and the reports; by `--work` or TRAINING_WORK too."""
    name: str = Field(default="retrained", pattern=r"^[\w.-]{1,80}$")
    """Name of the bundles; a version is this and the time."""
    start: Literal["champion", "base"] = "champion"
    """What a run goes on from: the champion, or the encoder of `base`, fitted from its beginning."""
    base: str = "intfloat/multilingual-e5-small"
    """Hub name or folder of the encoder for `start: base`."""
    champion: Path | None = None
    """Bundle to begin with while the registry has no champion; without it, the released one."""
    min_labels: int = Field(default=300, ge=1)
    """New labels that make a retraining worth while."""
    folds: int = Field(default=4, ge=0)
    """More fits, each without its part of the new labels, so that these judge too; 0 for none."""
    tune: bool = True
    """Let the champion be a candidate too, with thresholds and calibration fitted to the labels."""
    public: tuple[str, ...] = ()
    """Sets on whose published validation rows both models are compared too: folders, files or hub names; by `--public`,
    or by TRAINING_PUBLIC with spaces between, too."""
    gate: GateSettings = GateSettings()
    """What is asked of a candidate."""
    fewest_positives: int = Field(default=FitSettings.model_fields["fewest_positives"].default, ge=0)
    """Validation rows that an emotion must have, or it keeps its threshold and calibration."""
    aim: Literal["f1", "precision"] = "f1"
    """What thresholds are chosen for."""
    precision: float = Field(default=0.8, ge=0, le=1)
    """Precision that thresholds reach, where precision is the aim."""
    report_to: tuple[str, ...] = ()
    """Services that the Trainer reports to."""
    seed: int = 0
    """Random seed for initial weights, row order, augmentation and bootstrap samples."""
    network: Network = Network()
    """Pooling and head for `start: base`, as for `fit`."""
    learning: Learning = Learning()
    """How the network learns, as for `fit`; for `start: champion`, on top of the recipe `retrain`."""
    teaching: Teaching = Teaching()
    """How networks teach it, as for `fit`; for `start: champion`, on top of the recipe `retrain`."""
    augmentation: Augmentation = Augmentation()
    """Forms of Russian texts, as for `fit`; for `start: champion`, on top of the recipe `retrain`."""

    @property
    def bundles(self) -> str:
        """Folder or URL of the bundles."""
        return self.store or str(self.work / "models")

    def to_fit(
        self, data: tuple[str, ...], taken: Taken, *, champion: Path, manifest: Manifest, output: Path
    ) -> FitSettings:
        """Return how the candidate is fitted.

        Args:
            data: files of the snapshot.
            taken: what a later run must know of them.
            champion: folder of its bundle.
            manifest: that bundle's manifest; labels follow the convention that it serves by default.
            output: folder of the candidate.
        """
        warm = self.start == "champion"
        return FitSettings(
            data=data,
            base=str(champion) if warm else self.base,
            base_name=manifest.base_model if warm else None,
            output=output,
            taken=taken,
            warm_start=warm,
            measured=("validation",),
            convention=manifest.convention,
            neutral={name: tuning.neutral for name, tuning in manifest.tunings.items()} | {OTHER: manifest.neutral},
            **{name: getattr(self, name) for name in FitSettings.model_fields.keys() & _SHARED},
        )


_SHARED = RetrainSettings.model_fields.keys() - {"base"}


def read_settings(recipe: str | None, overrides: Iterable[str] = (), **given: Any) -> RetrainSettings:
    """Read a recipe for retraining and put what is given in place of what it says; see `recipes.read_recipe`.

    Raises:
        UnusableRecipe: there is no such recipe, or a setting is unknown or cannot be right.
    """
    settings = merge_recipe(recipe, overrides, **given)
    if settings.get("start", "champion") == "champion":
        settings = _on_top(merge_recipe(_CHAMPIONS), settings)
    return validate_settings(RetrainSettings, settings)


def _on_top(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _on_top(below[name], above[name])
        for name in below.keys() & above.keys()
        if isinstance(below[name], Mapping) and isinstance(above[name], Mapping)
    }
    return {**below, **above, **both}
