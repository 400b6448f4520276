"""What a retraining is told; docs/retraining.md says what each figure is for."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.bundle import Manifest
from training.recipes import merge_recipe, validate_settings
from training.retrain.checks import Limits
from training.settings import OTHER, Augmentation, FitSettings, Learning, Network, Taken, Teaching

_CHAMPIONS = "retrain"
"""The recipe on which a retraining from the champion stands."""

_ON_LIMITS = Limits()


class GateSettings(BaseModel):
    """What is asked of a candidate; see `training.retrain.checks.Limits`.

    Attributes:
        margin: the lower bound of the gain in weighted F1 must lie above it.
        error: chance, in a year, that a candidate no better than the champion is promoted.
        fall: F1 that an emotion may lose; where labels are enough, they must show that it lost no more.
        growth: factor by which latency and size may grow.
        calibration: mean calibration error that may be added beyond doubt.
        public_veto: refuse a candidate whose weighted F1 on the sets of `public` falls beyond noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = _ON_LIMITS.margin
    error: float = Field(default=_ON_LIMITS.error, gt=0, lt=0.5)
    fall: float = Field(default=_ON_LIMITS.fall, ge=0)
    growth: float = Field(default=_ON_LIMITS.growth, gt=0)
    calibration: float = Field(default=_ON_LIMITS.calibration, ge=0)
    public_veto: bool = _ON_LIMITS.public_veto

    def limits(self) -> Limits:
        """Return them as the gate takes them."""
        return Limits(**self.model_dump())


class RetrainSettings(BaseModel):
    """How to retrain.

    Attributes:
        store: folder or URL of the bundles; None is the folder `models` in `work`.
        work: folder for what a run has on the disk while it lasts, and for the last run's snapshot.
        name: of the bundles; their versions are this and the time.
        start: go on from the champion, or fit the base encoder anew.
        base: hub name or folder of that encoder.
        champion: bundle to begin with while the registry has no champion.
        min_labels: new ones that make a retraining worth while.
        folds: more fits, each without its part of the new labels, so that these judge too; 0 for none.
        tune: let the champion be a candidate too, with thresholds and calibration fitted to the labels.
        public: sets on whose published validation rows both models are compared too: folders, files or hub names.
        gate: what is asked of a candidate.
        fewest_positives: as for `fit`, and so are the others.
        aim: what thresholds are chosen for.
        precision: the one that is wanted, where that is the aim.
        report_to: services that the Trainer reports to.
        seed: of weights, order, forms and bootstrap samples.
        network: of a base that is fitted anew.
        learning: on what the recipe `retrain` says, where a run starts from the champion.
        teaching: the same.
        augmentation: of texts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str | None = None
    work: Path = Path("runs")
    name: str = Field(default="retrained", pattern=r"^[\w.-]{1,80}$")
    start: Literal["champion", "base"] = "champion"
    base: str = "intfloat/multilingual-e5-small"
    champion: Path | None = None
    min_labels: int = Field(default=300, ge=1)
    folds: int = Field(default=4, ge=0)
    tune: bool = True
    public: tuple[str, ...] = ()
    gate: GateSettings = GateSettings()
    fewest_positives: int = Field(default=FitSettings.model_fields["fewest_positives"].default, ge=0)
    aim: Literal["f1", "precision"] = "f1"
    precision: float = Field(default=0.8, ge=0, le=1)
    report_to: tuple[str, ...] = ()
    seed: int = 0
    network: Network = Network()
    learning: Learning = Learning()
    teaching: Teaching = Teaching()
    augmentation: Augmentation = Augmentation()

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
            manifest: of that bundle; labels follow the convention that it serves by default.
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
