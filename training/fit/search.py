"""Search for settings: each trial fits a student, and poor ones are cut short."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
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

from training.data.conventions import require_tuning_rows
from training.data.examples import Examples, fingerprint
from training.data.own_tables import may_choose
from training.data.text_forms import as_spoken
from training.distill.teach import FitContext, teach
from training.errors import UnusableRecipe
from training.fit.run import Rows, read_rows, run_fingerprint
from training.fit.settings import FitSettings
from training.learn.checkpoints import Checkpoints
from training.learn.final_model import fit_student
from training.learn.network import score
from training.recipes import read_recipe, write_recipe

log = structlog.get_logger(__name__)

_LOOKS: Final = 5
"""How often a trial is looked at before it ends."""

_DONE: Final = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
_VARIED: Final = ("learning.", "augmentation.")


def search_recipe(
    space: Path, study: Path, output: Path, trials: int, *, recipe: str | None, **given: Any
) -> optuna.trial.FrozenTrial:
    """Run trials until their number is reached, and write the best as a recipe.

    What is made larger is the weighted average precision, which needs no thresholds, on the half of the validation
    rows that a report tunes on first; the other half stays untouched. Teachers are fitted once, for all trials and all
    processes that share the study; their scores stay, for a search that goes on.

    Args:
        space: YAML file: for each setting of learning or augmentation `low` and `high` (and `log`), or `choices`.
        study: SQLite file; a search that was stopped goes on with it, and several processes may share it.
        output: the recipe to be written.
        trials: how many there are to be in all.
        recipe: what the trials vary.
        given: instead of what the recipe says.

    Raises:
        UserError: the space, the recipe or the data cannot be used.
    """
    ranges = _ranges(space)
    settings = read_recipe(recipe, output=output.with_suffix(""), **given)
    rows = read_rows(settings)
    validation = require_tuning_rows(rows.evaluation, may_choose(settings.measured, settings.data), rows.conventions[0])
    tuned = validation.take(np.flatnonzero(validation.parts(2) == 0))
    of_run = run_fingerprint(settings, fingerprint(rows.learned))
    processes = PartialState(cpu=not torch.cuda.is_available())
    with _alone(study):
        # Two processes that both make the tables would fail one of them.
        record = optuna.create_study(
            study_name=study.stem,
            storage=optuna.storages.RDBStorage(f"sqlite:///{study}"),
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )
        _require_same_run(record, of_run, study)
        checkpoints = Checkpoints(study, of_run)
        context = FitContext(rows.conventions, settings.start, settings.plan, checkpoints, processes)
        taught = rows._replace(learned=teach(rows.learned, settings.teaching, context, rows.guarded))
        checkpoints.discard_networks()
    if len(record.get_trials(states=_DONE)) < trials:
        record.optimize(
            lambda trial: _try(trial, ranges, taught, tuned, recipe, settings, given),
            callbacks=[optuna.study.MaxTrialsCallback(trials, states=_DONE)],
        )
    best = record.best_trial
    write_recipe(_varied(recipe, best.params, settings, given), output)
    return best


@contextmanager
def _alone(study: Path) -> Iterator[None]:
    """Wait until no other process works on the checkpoints of a study, and keep others from it meanwhile."""
    with study.with_name(f".{study.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _require_same_run(record: optuna.Study, of_run: str, study: Path) -> None:
    """Make sure that earlier trials had these data and settings: others' scores cannot be compared."""
    if record.user_attrs.get("run", of_run) != of_run:
        raise UnusableRecipe(f"{study} holds trials of other data or settings: name another --study")
    record.set_user_attr("run", of_run)


def _ranges(space: Path) -> dict[str, dict[str, Any]]:
    try:
        ranges = yaml.safe_load(space.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UnusableRecipe(f"{space} cannot be read: {' '.join(str(error).split())}") from error
    for name, range_ in ranges.items() if isinstance(ranges, dict) else [(space, None)]:
        if not (isinstance(range_, dict) and _is_range(range_)) or not str(name).startswith(_VARIED):
            raise UnusableRecipe(
                f"{space}: {name} must be a setting of learning or augmentation, with numbers low and high, or with a "
                "list of choices, such as `learning.learning_rate: {low: 5.0e-5, high: 5.0e-4, log: true}`"
            )
    return dict(ranges)


def _is_range(range_: dict[str, Any]) -> bool:
    if "choices" in range_:
        return isinstance(range_["choices"], list) and bool(range_["choices"])
    try:
        # YAML takes 1e-5 for a string.
        low, high = (float(range_[name]) for name in ("low", "high"))
    except (KeyError, TypeError, ValueError):
        return False
    return low <= high and (low > 0 or not range_.get("log"))


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
    rows: Rows,
    tuned: Examples,
    recipe: str | None,
    settings: FitSettings,
    given: dict[str, Any],
) -> float:
    # A seed of the whole search would draw the first trials again after a stop, and in each process. TPE draws nothing
    # before this.
    seed = np.random.SeedSequence((settings.seed, trial.number)).generate_state(1)
    trial.study.sampler = optuna.samplers.TPESampler(seed=int(seed[0]))
    values = {name: _suggest(trial, name, range_) for name, range_ in ranges.items()}
    look = _Look(trial, tuned, settings.learning.max_tokens)
    varied = _varied(recipe, values, settings, given)
    student = fit_student(rows.learned, rows.conventions, varied.start, varied.plan, callbacks=[look])
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
