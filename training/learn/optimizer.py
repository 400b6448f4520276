"""How the weights move: rates by layer, optimizer and schedule by name, averaged weights."""

import re
from typing import Any, Final

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, get_scheduler
from transformers.training_args import OptimizerNames

from training.errors import UnusableRecipe, first_line
from training.learn.checkpoints import of_step
from training.settings import Learning

_LAYER: Final = re.compile(r"\.(?:layer|layers|h|block)\.(\d+)\.")
_ADAM: Final = {"betas": (0.9, 0.98), "eps": 1e-6}
_AVERAGE: Final = "average.pt"


def rates(model: Any, learning: Learning) -> list[dict[str, Any]]:
    """Return the optimizer's groups: a rate that falls from the top layer down, and no decay of biases and norms.

    Source of the layer-wise decay: Howard and Ruder (2018), https://aclanthology.org/P18-1031.
    """
    depths = {name: _depth(name, model) for name, _ in model.named_parameters()}
    top = max((depth for depth in depths.values() if depth is not None), default=0)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        depth = depths[name]
        share = learning.head_rate if depth is None else learning.layer_decay ** (top - depth)
        decay = learning.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((learning.learning_rate * share, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def _depth(name: str, model: Any) -> int | None:
    """Return a parameter's layer, 0 for the embeddings, None for what is new on top."""
    if not name.startswith(f"{model.base_model_prefix}.") or ".pooler." in name:
        return None
    layer = _LAYER.search(name)
    return int(layer[1]) + 1 if layer else 0


def optimizer_and_schedule(model: Any, learning: Learning, steps: int, arguments: TrainingArguments) -> tuple[Any, Any]:
    """Make both.

    Args:
        model: whose weights move.
        learning: of the run.
        steps: of the run.
        arguments: of the Trainer, which knows the optimizers by name.

    Raises:
        UnusableRecipe: there is no optimizer or schedule of that name, or its package is missing.
    """
    try:
        arguments.optim = OptimizerNames(learning.optimizer)
        kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
        if learning.optimizer.startswith("adamw_torch"):
            options |= _ADAM | {"fused": torch.cuda.is_available()}
        options.pop("lr", None)
        adam = kind(rates(model, learning), lr=learning.learning_rate, **options)
        schedule = get_scheduler(learning.schedule, adam, round(steps * learning.warm_up), steps)
    except (ValueError, ImportError) as error:
        raise UnusableRecipe(
            f"learning.optimizer={learning.optimizer}, learning.schedule={learning.schedule}: "
            f"{first_line(error)}. Take names that transformers' TrainingArguments know"
        ) from error
    return adam, schedule


class Average(TrainerCallback):
    """Keeps an exponential moving average of the weights, which takes their place in the end.

    It begins with the weights after the first step. Torch's own, AveragedModel, waits for the GPU at each step.
    Source: Polyak and Juditsky (1992), https://doi.org/10.1137/0330046; of the lower decay in the beginning:
    TensorFlow's ExponentialMovingAverage, `num_updates`.

    Args:
        model: whose weights are averaged.
        decay: of the average, a step; (1 + n) / (10 + n) after n steps, while that is less.
    """

    def __init__(self, model: Any, decay: float) -> None:
        self._weights: list[torch.Tensor] = list(model.parameters())
        self._decay = decay
        self._average: list[torch.Tensor] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Go on from the average of the checkpoint that the run goes on from."""
        file = of_step(args, state) / _AVERAGE
        if file.is_file():
            self._average = torch.load(file, map_location=args.device, weights_only=True)

    @torch.no_grad()
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Take the step's weights in."""
        if self._average is None:
            self._average = [weight.detach().clone() for weight in self._weights]
        else:
            decay = min(self._decay, (1 + state.global_step) / (10 + state.global_step))
            torch._foreach_lerp_(self._average, self._weights, 1 - decay)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Keep the average in the checkpoint's folder."""
        if state.is_world_process_zero:  # All have the same, and would write it at the same time.
            torch.save(self._average, of_step(args, state) / _AVERAGE)

    @torch.no_grad()
    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Put the average in the model's place."""
        for weight, average in zip(self._weights, self._average or self._weights, strict=True):
            weight.copy_(average)
