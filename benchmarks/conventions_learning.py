"""How a job of `benchmarks/conventions.py` learns: several networks at once, each with an order of rows of its own."""

import time
from typing import Any, Final

import numpy as np
import torch
from conventions_network import MASK, Networks, opened
from conventions_rows import BATCH, WIDTHS, World, batches, targets_of
from torch.nn import functional

DEEP: Final = 12
WARM_UP: Final = 0.06
ASKED: Final = 25
"""Steps between two looks at the clock."""


def optimizer_of(networks: Networks, job: dict[str, Any]) -> torch.optim.Optimizer:
    """Return AdamW, its rate less for each layer further down."""
    depth = len(networks.layers)
    decay = job["decay"] if depth == DEEP else job["decay"] ** (DEEP / depth)
    groups: dict[int, list[Any]] = {}
    for name, weight in networks.named_parameters():
        top = name.startswith(("pooler", "classifier"))
        at = depth + 1 if top else int(name.split(".")[1]) + 1 if name.startswith("layers") else 0
        groups.setdefault(at, []).append(weight)
    cuda = next(networks.parameters()).is_cuda
    options = [
        {
            "params": weights,
            "lr": torch.tensor(0.0, device=weights[0].device) if cuda else 0.0,
            "scale": 5.0 if at > depth else decay ** (depth - at),
        }
        for at, weights in groups.items()
    ]
    return torch.optim.AdamW(options, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, fused=cuda, capturable=cuda)


class Step:
    """One step of learning; on a GPU a graph for each width."""

    def __init__(self, world: World, job: dict[str, Any], networks: Networks) -> None:
        targets, weights = (torch.from_numpy(array).to(world.device) for array in targets_of(world, job))
        self._world, self._job, self._networks = world, job, networks
        self._targets, self._weights = targets, weights
        self._row = torch.from_numpy(world.entries.astype(np.int64)).to(world.device)
        self._adam = optimizer_of(networks, job)
        self._weights_now = list(networks.parameters())
        for weight in self._weights_now:
            weight.grad = torch.zeros_like(weight)
        self._gradients = [weight.grad for weight in self._weights_now]
        self.average = [weight.detach().clone() for weight in self._weights_now]
        self._entries = torch.zeros(job["networks"], BATCH, dtype=torch.int64, device=world.device)
        self._graphs: dict[int, Any] = {}
        self._pool: Any = None

    def rate(self, share: float) -> None:
        """Set the learning rate, as a share of the highest."""
        for group in self._adam.param_groups:
            now = self._job["rate"] * group["scale"] * share
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(now)
            else:
                group["lr"] = now

    def _do(self, width: int) -> None:
        torch._foreach_zero_(self._gradients)
        entries = self._entries
        ids = self._world.ids[entries][:, :, :width].long()
        if self._job["hidden"]:
            hide = (torch.rand(ids.shape, device=ids.device) < self._job["hidden"]) & (ids > 2)
            ids = torch.where(hide, MASK, ids)
        rows = self._row[entries]
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=ids.is_cuda, cache_enabled=False):
            logits = self._networks(ids).float()
        each = functional.binary_cross_entropy_with_logits(logits, self._targets[rows], reduction="none")
        loss = (each * self._weights[rows]).sum() / (7 * BATCH)
        loss.backward()
        for at in range(len(entries)):
            own = [gradient[at] for gradient in self._gradients]
            norm = torch.stack(torch._foreach_norm(own)).norm()  # noqa: SLF001 - one kernel for all weights.
            torch._foreach_mul_(own, 1.0 / norm.clamp(min=1.0))
        self._adam.step()

    def warm(self) -> None:
        """Run each width once at a rate of zero, so that a graph can be taken of it."""
        if self._world.device.type != "cuda" or not self._job["graphs"]:
            return
        self.rate(0.0)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for width in (WIDTHS[0], WIDTHS[-1], WIDTHS[0]):
                self._do(width)
        torch.cuda.current_stream().wait_stream(stream)
        for width in reversed(WIDTHS):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                self._do(width)
            self._pool = graph.pool()
            self._graphs[width] = graph
        for group in self._adam.param_groups:
            for weight in group["params"]:
                for value in self._adam.state[weight].values():
                    value.zero_()

    def __call__(self, width: int, entries: torch.Tensor, decay: float) -> None:
        """Learn from the given entries, networks x rows."""
        self._entries.copy_(entries, non_blocking=True)
        if width in self._graphs:
            self._graphs[width].replay()
        else:
            self._do(width)
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self._weights_now, 1 - decay)


class Clock:
    """How far a job is: by its steps, or by its time where that ends first."""

    def __init__(self, device: torch.device, steps: int, end: float | None) -> None:
        self._device, self._steps, self._start = device, steps, time.time()
        self._seconds = None if end is None else max(1.0, end - self._start)
        self._done, self._pace = 0.0, 1 / steps

    def __call__(self, step: int) -> float:
        """Return the share that is done at the beginning of a step; 1 where none is left."""
        if self._seconds is None:
            return step / self._steps
        if step % ASKED == 0 and step:
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            gone = time.time() - self._start
            self._pace = max(gone / self._seconds / step, 1 / self._steps)
            self._done = step * self._pace
        return min(1.0, self._done + step % ASKED * self._pace)


def learn(world: World, job: dict[str, Any]) -> Networks:
    """Return the networks that a job ends with: the averages of their weights."""
    torch.manual_seed(job["seed"])
    found = world.weights(job["start"], job["shares"])
    layers = job["layers"] or range(DEEP)
    networks = opened([found] * job["networks"], layers, 7 * job["heads"]).to(world.device).train()
    steps = batches(world, job)
    step = Step(world, job, networks)
    step.warm()
    entries = torch.from_numpy(np.stack([rows for _, rows in steps])).to(world.device)
    clock = Clock(world.device, len(steps), job["until"] and world.began + job["until"])
    for at, (width, _) in enumerate(steps):
        done = clock(at)
        if done >= 1:
            break
        step.rate(min((done + 1 / len(steps)) / WARM_UP, (1 - done) / (1 - WARM_UP)))
        step(width, entries[at], min(job["ema"], (1 + at) / (10 + at)))
        job["steps"] = at + 1
    with torch.no_grad():
        for weight, average in zip(networks.parameters(), step.average, strict=True):
            weight.copy_(average)
    return networks.eval()
