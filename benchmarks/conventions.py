"""Which way of teaching serves two conventions of labels: that of calls, and that of the public sets.

    python benchmarks/conventions_data.py …          # makes FOLDER/conventions.npz
    python benchmarks/conventions.py FOLDER --plan benchmarks/conventions.json --output OUT [--at-once 8]

It needs PyTorch, numpy and scikit-learn, and nothing else of this project. The plan names jobs in stages; a
stage begins when the one before has ended. What a job says of each row is kept in OUT, and so are weights where the
plan says so.
A network has 7 outputs, or 14: first those of the public sets' convention, then those of calls.
"""

import argparse
import json
import multiprocessing
import time
import traceback
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from conventions_figures import figures, title
from conventions_learning import learn
from conventions_network import Networks, mixed, opened, stored
from conventions_rows import SETS, WIDTHS, World

DEFAULTS: Final[dict[str, Any]] = {
    "start": "released",
    "layers": None,
    "heads": 2,
    "passes": {"calls": 5, "ru_go": 5, "brighter": 5, "cedr": 5},
    "calls_hard": 1.0,
    "calls_on_public": "none",
    "public": "released",
    "public_from": ["released"],
    "native_gold": 0.5,
    "public_on_calls": 0.0,
    "public_weight": 1.0,
    "left_out": None,
    "rate": 1.5e-4,
    "decay": 0.9,
    "ema": 0.998,
    "networks": 1,
    "graphs": True,
    "shares": None,
    "until": None,
    "hidden": 0.0,
    "seed": 0,
    "scores": "measured",
}


@torch.inference_mode()
def logits_of(world: World, network: Networks, entries: np.ndarray) -> np.ndarray:
    """Return the logits of entries by one network."""
    order = np.argsort(world.lengths[entries], kind="stable")
    found = []
    for start in range(0, len(order), 1024):
        batch = entries[order[start : start + 1024]]
        width = next(w for w in WIDTHS if w >= world.lengths[batch].max())
        ids = world.ids[torch.from_numpy(batch).to(world.device)][None, :, :width].long()
        found.append(network(ids)[0].float().cpu())
    return torch.cat(found).numpy()[np.argsort(order, kind="stable")]


def asked_rows(world: World, job: dict[str, Any]) -> np.ndarray:
    """Return which rows a job scores, as a mask."""
    asked, left = world.measured.copy(), job["left_out"] or {}
    if job["scores"] == "all":
        asked[:] = True
    elif job["scores"] == "author":
        asked |= world.of("calls") & (world.rows["author"] == left["author"])
    elif job["scores"] == "fold":
        asked = world.of(left["set"])
    if "set" in left:  # Rows that it learnt from are not asked, since it remembers them.
        asked &= ~(world.of(left["set"]) & (world.rows["fold"] != left["fold"]) & (world.rows["part"] > 0))
        if left["set"] == "go_en":
            asked &= ~(world.of("go_en") & (world.rows["fold"] != left["fold"]))
    return asked


def said(world: World, network: Networks, asked: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return probabilities of the rows asked about (n x columns, NaN elsewhere), and logits of measured forms."""
    form, rows = world.rows["form"], world.entries
    first = np.concatenate([[True], rows[1:] != rows[:-1]])
    spoken = np.where(world.of("go_en")[rows], first, form == 1)
    entries = np.flatnonzero(spoken & asked[rows])
    logits = logits_of(world, network, entries)
    table = np.full((len(world.set), logits.shape[1]), np.nan, np.float16)
    table[rows[entries]] = 1 / (1 + np.exp(-logits))
    if not world.measured[rows[entries]].any():
        return table, {}
    spoken_logits = np.full(table.shape, np.nan, np.float32)
    spoken_logits[rows[entries]] = logits
    written = np.flatnonzero((form == 0) & world.measured[rows])
    written_logits = np.full_like(spoken_logits, np.nan)
    written_logits[rows[written]] = logits_of(world, network, written)
    return table, {"spoken": spoken_logits, "written": written_logits}


def keep(world: World, name: str, weights: dict[str, torch.Tensor], asked: np.ndarray) -> dict[str, np.ndarray]:
    """Keep what a network says, and its weights; return its logits of measured rows."""
    layers = 1 + max(int(key.split(".")[2]) for key in weights if key.startswith("encoder.layer"))
    network = opened([weights], range(layers), len(weights["classifier.bias"])).to(world.device).eval()
    table, logits = said(world, network, asked)
    np.save(world.output / f"{name}.npy", table)
    if logits:
        rows = np.flatnonzero(world.measured)
        halves = {form: values[rows].astype(np.float16) for form, values in logits.items()}
        np.savez(world.output / f"{name}.logits.npz", **halves)
    (world.output / "weights").mkdir(exist_ok=True)
    torch.save(weights, world.output / "weights" / f"{name}.pt")
    return logits


def do(world: World, job: dict[str, Any]) -> str:
    """Run a job and return its line of figures; several networks are measured by the mean of their weights."""
    job = DEFAULTS | job
    start, name, asked = time.perf_counter(), job["name"], asked_rows(world, job)
    if not job["passes"]:
        weights = world.weights(job["start"], job["shares"])
    else:
        networks = learn(world, job)
        every = [stored(networks, at) for at in range(job["networks"])]
        weights = mixed(every)
        if len(every) > 1:
            for at, own in enumerate(every):
                keep(world, f"{name}-{at}", own, world.measured)
    logits = keep(world, name, weights, asked)
    measured = logits and "set" not in (job["left_out"] or {})
    line = figures(name, world.rows, SETS, logits) if measured else name
    return f"{line}  [{job.get('steps', 0)} steps, {time.perf_counter() - start:.0f} s]"


def work(folder: Path, output: Path, began: float, jobs: Any, lines: Any) -> None:
    """Do jobs until there are none."""
    torch.set_num_threads(2)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cuda.enable_cudnn_sdp(False)
    world = World(folder, output, began)
    while (job := jobs.get()) is not None:
        try:
            lines.put(do(world, job))
        except Exception:  # noqa: BLE001 - one job's failure must not cost the others.
            lines.put(f"{job['name']}: {traceback.format_exc()}")


def main() -> None:
    """Do the stages of a plan."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], help="NAME=JSON, for all jobs")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    shared = {name: json.loads(value) for name, value in (item.split("=", 1) for item in given.set)}
    context = multiprocessing.get_context("spawn")
    jobs, lines = context.Queue(), context.Queue()
    start = time.time()
    processes = [
        context.Process(target=work, args=(given.folder, given.output, start, jobs, lines))
        for _ in range(given.at_once)
    ]
    for process in processes:
        process.start()
    print(title(), flush=True)
    for stage in json.loads(given.plan.read_text(encoding="utf-8")):
        for job in stage:
            jobs.put(shared | job if job.get("passes", True) else job)
        for _ in stage:
            print(lines.get(), f"at {time.time() - start:.0f} s", flush=True)
    for _ in processes:
        jobs.put(None)
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
