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
from transformers.trainer_utils import get_last_checkpoint

from training.errors import OutOfMemory
from training.lessons import Curriculum, Lesson, collate
from training.losses import loss_function
from training.optimization import Average, optimizer_and_schedule
from training.settings import FitSettings

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
    folder: Path | None = None,
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
        folder: where checkpoints are left, and where a run that was cut off goes on from; None leaves none.
        quiet: show no bar.
        callbacks: of the Trainer, beside our own.

    Returns:
        What the Trainer logged: step, loss and rate, now and then.

    Raises:
        OutOfMemory: the GPU has no memory for a step.
        UnusableRecipe: there is no optimizer or schedule of that name.
    """
    learning, lined_up = settings.learning, curriculum(lessons, tokenizer, settings, seed)
    with ExitStack() as stack:
        where = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        steps = -(-len(lined_up) // learning.batch_size)
        arguments = _arguments(where, settings, seed, steps, keeps=folder is not None, quiet=quiet)
        own: list[TrainerCallback] = [Average(model, learning.ema)] if learning.ema else []
        trainer = _InOrder(
            model=model,
            args=arguments,
            train_dataset=lined_up,
            processing_class=tokenizer,
            data_collator=partial(collate, tokenizer.pad_token_id or 0),
            compute_loss_func=loss_function(learning.loss, _positives(lessons, learning.class_weights)),
            optimizers=optimizer_and_schedule(model, learning, steps, arguments),
            callbacks=[*own, *callbacks],
        )
        try:
            last: str | None = get_last_checkpoint(str(where)) if where.is_dir() else None  # type: ignore[no-untyped-call]
            trainer.train(resume_from_checkpoint=last)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"the GPU has no memory for {learning.batch_size} rows a step. Free it, or set learning.batch_size or "
                "learning.max_tokens lower"
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
        report_to=list(settings.report_to) or "none",
    )
    # Of several GPUs one is used; all are by torchrun, since threads for each would be slower than one alone.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - the Trainer has no other way to say it.
    arguments.per_device_train_batch_size = max(1, settings.learning.batch_size // arguments.world_size)
    return arguments


def _positives(lessons: Sequence[Lesson], how: str) -> torch.Tensor | None:
    """Weigh each column's positives by the root of negatives over positives, at most 10, where that is wanted."""
    if how == "none":
        return None
    weight = sum((lesson.weights > 0).sum(0) for lesson in lessons)
    positive = sum(((lesson.weights > 0) * lesson.targets).sum(0) for lesson in lessons)
    return torch.from_numpy(np.sqrt(np.clip((weight - positive) / np.maximum(positive, 1), 1, 100)).astype(np.float32))


class _InOrder(Trainer):
    """A Trainer that keeps the curriculum's order."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset: Any = train_dataset or self.train_dataset
        return SequentialSampler(dataset)
