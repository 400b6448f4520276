"""A network learns a curriculum, by transformers' Trainer: on one GPU, on several by torchrun, or on a CPU."""

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.trainer_utils import get_last_checkpoint

from training.checkpoints import Resumable
from training.errors import OutOfMemory, UnusableRecipe, first_line
from training.lessons import Curriculum, Lesson, collate
from training.losses import loss_function
from training.optimization import Average, optimizer_and_schedule
from training.settings import FitSettings
from training.stopping import StopSignal

_STEPS_TO_AGREE: Final = 10
"""A question that torchrun's processes wait for costs too much after each step."""

_CHECKPOINTS: Final = 5
"""How many a run leaves, evenly spread; only the last is kept."""


def curriculum(lessons: Sequence[Lesson], tokenizer: Any, settings: FitSettings, seed: int) -> Curriculum:
    """Return the order in which a network sees the lessons."""
    learning = settings.learning
    mark = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
    hidden = (learning.word_dropout if mark is not None else 0.0, mark or 0)
    return Curriculum(lessons, learning.batch_size, seed, hidden)


def fit(  # noqa: PLR0913 - what makes a run.
    model: Any,
    tokenizer: Any,
    lessons: Sequence[Lesson],
    settings: FitSettings,
    seed: int,
    *,
    resumable: Resumable | None = None,
    quiet: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Fit the model in place: on a GPU in bfloat16 with float32 master weights, else in float32.

    Args:
        model: of `open_base`.
        tokenizer: of the model.
        lessons: what it is to learn.
        settings: of the run.
        seed: of order and dropout.
        resumable: where checkpoints are left, and where a run that was cut off goes on from; None leaves none.
        quiet: show no bar.
        callbacks: of the Trainer, beside our own.

    Returns:
        What the Trainer logged: step, loss and rate, now and then.

    Raises:
        Interrupted: the signal came; there is a checkpoint of the step in which it came.
        OutOfMemory: the GPU has no memory for a step.
        UnusableRecipe: there is no optimizer, schedule or reporter of that name, or the network cannot be compiled.
    """
    learning, lined_up = settings.learning, curriculum(lessons, tokenizer, settings, seed)
    with ExitStack() as stack:
        own: list[TrainerCallback] = [Average(model, learning.ema)] if learning.ema else []
        if resumable:
            where = resumable.folder
            own.append(EndAtCheckpoint(resumable.stop))
            stack.enter_context(resumable.stop.held())
        else:
            where = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        steps = -(-len(lined_up) // learning.batch_size)
        arguments = _arguments(where, settings, seed, steps, keeps=resumable is not None, quiet=quiet)
        trainer = _InOrder(
            model=model.train(),
            args=arguments,
            train_dataset=lined_up,
            processing_class=tokenizer,
            data_collator=partial(collate, tokenizer.pad_token_id or 0),
            compute_loss_func=loss_function(learning.loss, _positives(lessons, learning.class_weights)),
            optimizers=optimizer_and_schedule(model, learning, steps, arguments),
            callbacks=[*own, *_reporters(settings), *callbacks],
        )
        try:
            last: str | None = get_last_checkpoint(str(where)) if where.is_dir() else None  # type: ignore[no-untyped-call]
            trainer.train(resume_from_checkpoint=last)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"the GPU has no memory for {learning.batch_size} rows a step. Free it, or set learning.batch_size or "
                "learning.max_tokens lower"
            ) from error
        except torch._dynamo.exc.TorchDynamoException as error:  # noqa: SLF001 - the only name it has.
            raise UnusableRecipe(
                f"learning.torch_compile: torch cannot compile this network here ({first_line(error)}). Set it to "
                "false, or install what torch.compile needs, such as a C++ compiler"
            ) from error
        # Accelerate wraps forward in autocast, in place; scores are to be those of plain float32.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        return [entry for entry in trainer.state.log_history if "loss" in entry]


def _arguments(  # noqa: PLR0913 - the same.
    folder: Path, settings: FitSettings, seed: int, steps: int, *, keeps: bool, quiet: bool
) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        bf16=cuda,
        torch_compile=settings.learning.torch_compile,
        average_tokens_across_devices=False,  # Our loss is a mean over rows; the Trainer would multiply it by the GPUs.
        use_cpu=not cuda,
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ and not cuda else None,
        seed=seed,
        dataloader_num_workers=2 if cuda else 0,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,  # It would wait for the GPU at each step.
        save_strategy="steps" if keeps else "no",
        save_steps=max(1, -(-steps // _CHECKPOINTS)),
        save_total_limit=1,
        logging_steps=max(1, min(100, steps // 20)),
        disable_tqdm=quiet or not sys.stderr.isatty(),
        report_to="none",  # See _reporters.
    )
    # Of several GPUs one is used; all are by torchrun, since threads for each would be slower than one alone.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - the Trainer has no other way to say it.
    arguments.per_device_train_batch_size = max(1, settings.learning.batch_size // arguments.world_size)
    return arguments


def _reporters(settings: FitSettings) -> list[TrainerCallback]:
    try:
        named: Any = get_reporting_integration_callbacks(list(settings.report_to))  # type: ignore[no-untyped-call]
        return [reporter() for reporter in named]
    except (ValueError, RuntimeError) as error:
        raise UnusableRecipe(f"report_to: {first_line(error)}") from error


class EndAtCheckpoint(TrainerCallback):
    """Saves a checkpoint and ends the fit, after the step in which a signal came.

    Args:
        stop: set by the signal.
    """

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the fit, if it is time."""
        if args.world_size > 1:
            if state.global_step % _STEPS_TO_AGREE:
                return
            self._tell_the_others(args.device)
        if self._stop.is_set():
            control.should_save = control.should_training_stop = True

    def _tell_the_others(self, device: Any) -> None:
        """Have the signal come to all of torchrun's processes: they must end after the same step."""
        came = torch.tensor(int(self._stop.is_set()), device=device)
        torch.distributed.all_reduce(came, torch.distributed.ReduceOp.MAX)
        if came:
            self._stop.set()


def _positives(lessons: Sequence[Lesson], how: str) -> torch.Tensor | None:
    """Weigh each column's positives by the root of negatives over positives, at most 10, where that is wanted."""
    if how == "none":
        return None
    weight = sum((lesson.weights > 0).sum(0) for lesson in lessons)
    positive = sum(((lesson.weights > 0) * lesson.targets).sum(0) for lesson in lessons)
    return torch.from_numpy(np.sqrt(np.clip((weight - positive) / np.maximum(positive, 1), 1, 100)).astype(np.float32))


class _InOrder(Trainer):
    """A Trainer that keeps the curriculum's order, and spares the host what it can.

    Each step of a small network is over on the GPU before the host has started the next: what the Trainer asks of
    all modules, step by step, is time lost.
    """

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ARG002 - the Trainer's.
        """Return the loss of a batch, with its gradients taken."""
        network: Any = self.model
        if not network.training:  # It is scored now and then, in a search.
            model.train()
        with self.compute_loss_context_manager():
            loss: Any = self.compute_loss(model, self._prepare_inputs(inputs))
        self.accelerator.backward(loss)
        taken: torch.Tensor = loss.detach()
        return taken

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:  # noqa: ARG002 - the Trainer's.
        """Count none: nobody asks."""
        return 0

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:  # noqa: ARG002 - the Trainer's.
        optimizer: Any = self.optimizer
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return torch.nn.utils.clip_grad_norm_(parameters, self.args.max_grad_norm)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset: Any = train_dataset or self.train_dataset
        return SequentialSampler(dataset)
