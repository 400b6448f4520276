"""What one step of learning costs: milliseconds, and operators that the host starts.

    python benchmarks/training_step.py [--rows 256] [--steps 60] [--no-graphs]

A network of the base's shape learns random rows as long as transcripts are, by `training.learn.fine_tune.fit`. The
first third of the steps is not counted. Operators are on a GPU the kernels that are launched; on a CPU those of torch
that call no other.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoTokenizer, TrainerCallback

from registry.pooled_head import AutoModelForSequenceClassification
from training.learn.batches import EncodedSet, Ids
from training.learn.fine_tune import fit
from training.settings import Augmentation, Learning, LearningPlan

COLUMNS = 35
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx")


class Clock(TrainerCallback):
    """Notes when each step has ended, and profiles the last one."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self.ended: list[float] = []
        gpu = [torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []
        self.profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU, *gpu])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        """Take the time."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ended.append(time.perf_counter())
        if state.global_step == self._steps - 1:
            self.profile.start()
        if state.global_step == self._steps:
            self.profile.stop()

    def operators(self) -> int:
        """Count what the last step started."""
        events: Any = self.profile.events()
        launched = sum(event.name in LAUNCHES for event in events)
        return launched or sum(event.name.startswith("aten::") and not event.cpu_children for event in events)


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="models/ru-emotions-small")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--no-graphs", action="store_true")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    count = given.rows * given.steps
    targets = random.random((count, COLUMNS)).astype(np.float32)
    config = AutoConfig.from_pretrained(given.base)
    config.num_labels = COLUMNS
    ids = [random.integers(4, config.vocab_size, length) for length in random.integers(6, 32, count)]
    encoded = EncodedSet([(1.0, Ids(ids))], targets, np.ones_like(targets), 1)
    learning = Learning(batch_size=given.rows, cuda_graphs=not given.no_graphs)
    plan = LearningPlan(learning, Augmentation())
    factory: Any = AutoModelForSequenceClassification
    clock = Clock(given.steps)
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    torch.manual_seed(0)
    network = factory.from_config(config)
    history = fit(network, tokenizer, [encoded], plan, quiet=True, callbacks=[clock])
    took = np.diff(clock.ended[given.steps // 3 : -1])
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    graphs = torch.cuda.is_available() and not given.no_graphs
    how = "as CUDA graphs" if graphs else "operator by operator"
    print(
        f"{device}, {given.rows} rows a step, {how}: "
        f"{1e3 * statistics.median(took):.1f} ms and {clock.operators():,} operators a step, "
        f"loss {history[-1]['loss']:.4f} in the end"
    )


if __name__ == "__main__":
    main()
