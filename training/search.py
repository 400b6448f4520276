"""Search for settings: each trial fits a student, and poor ones are cut short."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import structlog
import torch
import yaml
from accelerate import PartialState
from sklearn.metrics import average_precision_score
from transformers import TrainerCallback

from training.augmentation import as_spoken
from training.checkpoints import Checkpoints
from training.errors import UnusableRecipe
from training.examples import Examples, fingerprint
from training.finishing import measured
from training.fitting import run_fingerprint, training_sets, with_teaching
from training.network import score
from training.recipes import read_recipe, write_recipe
from training.settings import FitSettings
from training.student import fit_student

log = structlog.get_logger(__name__)

_LOOKS: Final = 5
"""How often a trial is looked at before it ends."""

_DONE: Final = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
_VARIED: Final = ("learning.", "augmentation.")


def search_recipe(
    space: Path, study: Path, output: Path, trials: int, *, recipe: str | None, **given: Any
) -> optuna.trial.FrozenTrial:
    """Run trials until there are so many, and write the best as a recipe.

    What is made larger is the weighted average precision, which needs no thresholds, on the half of the validation
    rows that a report tunes on first; the other half stays untouched. Teachers are fitted once, for all trials.

    Args:
        space: YAML file: for each setting of learning or augmentation `low` and `high` (and `log`), or `choices`.
        study: SQLite file; a search that was cut off goes on with it.
        output: the recipe to be written.
        trials: how many there are to be in all.
        recipe: what the trials vary.
        given: instead of what the recipe says.

    Raises:
        TrainingError: the space, the recipe or the data cannot be used.
    """
    ranges = _ranges(space)
    settings = read_recipe(recipe, output=output.with_suffix(""), **given)
    sets, evaluation, guarded = training_sets(settings)
    rows = measured(evaluation, settings)
    tuned = rows.take(np.flatnonzero(rows.parts(2) == 0))
    checkpoints = Checkpoints(study, run_fingerprint(settings, fingerprint(sets)))
    state = PartialState(cpu=not torch.cuda.is_available())
    sets = with_teaching(sets, guarded, settings, checkpoints, state)
    storage = optuna.storages.RDBStorage(f"sqlite:///{study}")
    record = optuna.create_study(
        study_name=study.stem,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    done = len(record.get_trials(states=_DONE))
    record.optimize(
        lambda trial: _try(trial, ranges, sets, tuned, recipe, settings, given), n_trials=max(0, trials - done)
    )
    best = record.best_trial
    write_recipe(_varied(recipe, best.params, settings, given), output)
    checkpoints.discard()
    return best


def _ranges(space: Path) -> dict[str, dict[str, Any]]:
    try:
        ranges = yaml.safe_load(space.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UnusableRecipe(f"{space} cannot be read: {' '.join(str(error).split())}") from error
    for name, range_ in ranges.items() if isinstance(ranges, dict) else [(space, None)]:
        known = isinstance(range_, dict) and ("choices" in range_ or {"low", "high"} <= range_.keys())
        if not known or not str(name).startswith(_VARIED):
            raise UnusableRecipe(
                f"{space}: {name} must be a setting of learning or augmentation, with low and high or with choices, "
                "such as `learning.learning_rate: {low: 5.0e-5, high: 5.0e-4, log: true}`"
            )
    return dict(ranges)


def _suggest(trial: optuna.Trial, name: str, range_: dict[str, Any]) -> Any:
    if "choices" in range_:
        return trial.suggest_categorical(name, range_["choices"])
    low, high = range_["low"], range_["high"]
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=bool(range_.get("log")))
    return trial.suggest_float(name, float(low), float(high), log=bool(range_.get("log")))


def _varied(recipe: str | None, values: dict[str, Any], settings: FitSettings, given: dict[str, Any]) -> FitSettings:
    overrides = [f"{name}={value}" for name, value in values.items()]
    return read_recipe(recipe, overrides, output=settings.output, **given)


def _try(  # noqa: PLR0913, PLR0917 - what makes a trial.
    trial: optuna.Trial,
    ranges: dict[str, dict[str, Any]],
    sets: list[Examples],
    tuned: Examples,
    recipe: str | None,
    settings: FitSettings,
    given: dict[str, Any],
) -> float:
    values = {name: _suggest(trial, name, range_) for name, range_ in ranges.items()}
    look = _Look(trial, tuned, settings.learning.max_tokens)
    student = fit_student(sets, _varied(recipe, values, settings, given), callbacks=[look])
    return look.precision(student.model, student.tokenizer)


class _Look(TrainerCallback):
    """Tells optuna how a trial does, and ends it where optuna says so."""

    def __init__(self, trial: optuna.Trial, tuned: Examples, max_tokens: int) -> None:
        self._trial = trial
        self._targets = tuned.targets
        self._texts = [as_spoken(text) for text in tuned.texts]
        self._max_tokens = max_tokens

    def precision(self, model: Any, tokenizer: Any) -> float:
        """Return the weighted average precision."""
        logits = score(model, tokenizer, self._texts, self._max_tokens)
        seen = self._targets.any(axis=0)
        return float(average_precision_score(self._targets[:, seen], logits[:, seen], average="weighted"))

    def on_step_end(self, args: Any, state: Any, control: Any, **kept: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Look now and then."""
        every = max(1, state.max_steps // _LOOKS)
        if state.global_step % every or state.global_step == state.max_steps:
            return
        self._trial.report(self.precision(kept["model"], kept["processing_class"]), state.global_step // every)
        if self._trial.should_prune():
            raise optuna.TrialPruned
