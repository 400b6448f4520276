"""Fit a network to encoded sets by transformers' Trainer: on one GPU, on several by torchrun, or on a CPU."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, TrainerCallback
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from training.errors import OutOfMemory, UnusableRecipe, first_line
from training.learn.batches import BatchOrder, EncodedSet, collate
from training.learn.checkpoints import Resumable, last_whole
from training.learn.cuda_graphs import can_be_graphed
from training.learn.losses import loss_function
from training.learn.optimizer import Average, optimizer_and_schedule
from training.learn.repeatable import repeatable
from training.learn.trainer import EndAtCheckpoint, InOrder, Tell, Whole, trainer_arguments
from training.settings import Learning, LearningPlan


def order_batches(sets: Sequence[EncodedSet], tokenizer: Any, learning: Learning, seed: int) -> BatchOrder:
    """Return the order in which a network sees the rows of all sets."""
    mark = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.unk_token_id
    hidden = (learning.word_dropout if mark is not None else 0.0, mark or 0)
    return BatchOrder(sets, learning.batch_size, seed, hidden)


def fit(  # noqa: PLR0913 - what makes a run.
    model: Any,
    tokenizer: Any,
    sets: Sequence[EncodedSet],
    plan: LearningPlan,
    *,
    resumable: Resumable | None = None,
    quiet: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Fit the model in place: on a GPU in bfloat16 with float32 master weights, else in float32.

    Args:
        model: Model that `open_base` or `warm_start` opened.
        tokenizer: Tokenizer of the model.
        sets: Encoded sets.
        plan: How the network learns; its seed draws the order of rows and dropout.
        resumable: Folder of checkpoints, from which an interrupted fit resumes; None leaves none.
        quiet: Whether to hide the progress bar.
        callbacks: Further callbacks of the Trainer.

    Returns:
        What the Trainer logged: step, loss and rate, now and then.

    Raises:
        Interrupted: the signal came; there is a checkpoint of the step in which it came.
        OutOfMemory: the GPU has no memory for a step.
        UnusableRecipe: there is no optimizer, schedule or reporter of that name.
    """
    learning, order = plan.learning, order_batches(sets, tokenizer, plan.learning, plan.seed)
    own: list[TrainerCallback] = [Average(model, learning.ema)] if learning.ema else []
    with _folder(resumable) as where:
        if resumable:
            own += [EndAtCheckpoint(resumable.stop), Whole()]
        steps = -(-len(order) // learning.batch_size)
        arguments = trainer_arguments(
            where, learning.batch_size, plan.seed, steps, keeps=resumable is not None, quiet=quiet
        )
        positives = _positives(sets, learning.class_weights, arguments.device)
        trainer = InOrder(
            model=model.train(),
            args=arguments,
            train_dataset=order,
            processing_class=tokenizer,
            data_collator=partial(collate, tokenizer.pad_token_id or 0),
            compute_loss_func=loss_function(learning.loss, positives),
            optimizers=optimizer_and_schedule(model, learning, steps, arguments),
            callbacks=[*own, *_reporters(plan.report_to), *callbacks],
        )
        trainer.remove_callback(PrinterCallback)
        if arguments.disable_tqdm and not quiet:
            trainer.add_callback(Tell())
        trainer.graphed = learning.cuda_graphs and can_be_graphed(model)
        last = last_whole(where)
        with _problems(learning), repeatable(model):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        trainer.passes = None
        model.zero_grad()
        # Accelerate wraps forward in autocast, in place; scores are to be those of plain float32.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        return [entry for entry in trainer.state.log_history if "loss" in entry]


@contextmanager
def _folder(resumable: Resumable | None) -> Iterator[Path]:
    """Give a folder for checkpoints; where they outlast the fit, a signal ends it at one."""
    if resumable:
        with resumable.stop.held():
            yield resumable.folder
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


@contextmanager
def _problems(learning: Learning) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"the GPU has no memory for {learning.batch_size} rows a step. Free it, or set learning.batch_size or "
            "learning.max_tokens lower"
        ) from error


def _reporters(names: Sequence[str]) -> list[TrainerCallback]:
    try:
        named: Any = get_reporting_integration_callbacks(list(names))  # type: ignore[no-untyped-call]
        return [reporter() for reporter in named]
    except (ValueError, RuntimeError) as error:
        raise UnusableRecipe(f"report_to: {first_line(error)}") from error


def _positives(sets: Sequence[EncodedSet], how: str, device: torch.device) -> torch.Tensor | None:
    """Weigh each column's positives by the root of negatives over positives, at most 10, where that is wanted."""
    if how == "none":
        return None
    weight = sum((encoded.weights > 0).sum(0) for encoded in sets)
    positive = sum(((encoded.weights > 0) * encoded.targets).sum(0) for encoded in sets)
    rarity = np.sqrt(np.clip((weight - positive) / np.maximum(positive, 1), 1, 100)).astype(np.float32)
    return torch.from_numpy(rarity).to(device)
