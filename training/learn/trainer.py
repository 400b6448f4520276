"""transformers' Trainer for a fixed order of batches."""

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import torch
from torch.utils.data import DataLoader, Sampler, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from training.learn.checkpoints import keep_whole, of_step
from training.learn.cuda_graphs import Passes
from training.signals import StopSignal

log = structlog.get_logger(__name__)

_STEPS_TO_AGREE: Final = 10
"""A question that torchrun's processes wait for costs too much after each step."""

_CHECKPOINTS: Final = 5
"""How many a run leaves, evenly spread; only the last whole one is kept."""


def trainer_arguments(  # noqa: PLR0913 - what makes a run.
    folder: Path, batch_size: int, seed: int, steps: int, *, keeps: bool, quiet: bool
) -> TrainingArguments:
    """Return the arguments of the Trainer.

    Args:
        folder: Folder for checkpoints.
        batch_size: Rows a step, over all GPUs.
        seed: Random seed for dropout.
        steps: Number of steps.
        keeps: Whether to leave checkpoints.
        quiet: Whether to hide the progress bar.
    """
    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        bf16=cuda,
        average_tokens_across_devices=False,  # Our loss is a mean over rows; the Trainer would multiply it by the GPUs.
        use_cpu=not cuda,
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ and not cuda else None,
        seed=seed,
        dataloader_num_workers=2 if cuda else 0,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,  # It would wait for the GPU at each step.
        save_strategy="steps" if keeps else "no",
        save_steps=max(1, -(-steps // _CHECKPOINTS)),
        logging_steps=max(1, min(100, steps // 20)),
        disable_tqdm=quiet or not sys.stderr.isatty(),
        report_to="none",  # Ours are given as callbacks.
    )
    # Of several GPUs one is used; all are by torchrun, since threads for each would be slower than one alone.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - the Trainer has no other way to say it.
    arguments.per_device_train_batch_size = max(1, batch_size // arguments.world_size)
    return arguments


class InOrder(Trainer):
    """A Trainer that keeps the order of the rows, and spares the host what it can.

    Each step of a small network is over on the GPU before the host has started the next: what the Trainer asks of
    all modules, step by step, is time lost.

    Attributes:
        graphed: whether passes are to be CUDA graphs.
        passes: those graphs, and the memory they hold, once there are some.
    """

    graphed = False
    passes: Passes | None = None

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ARG002 - the Trainer's.
        """Return the loss of a batch, with its gradients taken."""
        network: Any = self.model
        if not network.training:  # It is scored now and then, in a search.
            model.train()
        prepared = self._prepare_inputs(inputs)
        if self.graphed and self.passes is None:
            rows, pad = self.args.per_device_train_batch_size, network.config.pad_token_id or 0
            self.passes = Passes(network, partial(self._loss_of, model), rows, pad)
        if self.passes is not None and self.passes.fit(prepared):
            return self.passes(prepared)
        loss = self._loss_of(model, prepared)
        self.accelerator.backward(loss)
        return loss.detach()

    def _loss_of(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        with self.compute_loss_context_manager():
            loss: Any = self.compute_loss(model, inputs)
        taken: torch.Tensor = loss
        return taken

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the batches; the processes that make them leave signals to this one, which checkpoints first."""
        loader: DataLoader[Any] = super().get_train_dataloader()
        within = getattr(loader, "base_dataloader", loader)  # Accelerate puts a loader of its own around torch's.
        within.worker_init_fn = partial(_apart, within.worker_init_fn)
        return loader

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


def _apart(begin: Callable[[int], None] | None, worker: int) -> None:
    """Take a process that makes batches out of the reach of signals to all of a group, as `timeout` and Ctrl-C send.

    Its parent's own still end it, and so does its parent's end.
    """
    os.setsid()
    if begin:
        begin(worker)


class Tell(TrainerCallback):
    """Says in the log how far a fit is, and how long the rest takes, where no bar can be shown.

    It speaks when the fit begins, after the first step, and whenever the Trainer would log on stdout.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Say how many steps there are."""
        self._began, self._start = time.monotonic(), state.global_step
        log.info("learning begins", step=state.global_step, of=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Say how long all takes, once that can be told."""
        if state.global_step == self._start + 1:
            log.info("learning", step=state.global_step, of=state.max_steps, left=self._left(state))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Log the loss."""
        if "loss" in (logs or {}):
            loss = round(float(logs["loss"]), 4)
            log.info("learning", step=state.global_step, of=state.max_steps, loss=loss, left=self._left(state))

    def _left(self, state: Any) -> str:
        """Return the time left, by the pace so far, as hours, minutes and seconds."""
        pace = (time.monotonic() - self._began) / max(state.global_step - self._start, 1)
        return str(timedelta(seconds=round(pace * (state.max_steps - state.global_step))))


class Whole(TrainerCallback):
    """Marks a checkpoint as whole, and only then removes the one before: a kill may leave half of one.

    It comes after all that save something of their own.
    """

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Mark it."""
        if state.is_world_process_zero:
            keep_whole(of_step(args, state))


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
