"""What a job of `benchmarks/conventions.py` learns from: rows, targets, and the order in which they are seen."""

import lzma
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from conventions_network import PAD, mixed, unpacked

SETS: Final = ("calls", "ru_go", "go_en", "brighter", "cedr", "lines", "ru_go_dev", "brighter_dev", "cedr_dev")
FORM_SHARES: Final = {0: 0.25, 1: 0.35, 2: 0.4}
WIDTHS: Final = (8, 16, 24, 32, 40, 48, 64)
JOY, SURPRISE, NEUTRAL = 3, 5, 6
BATCH: Final = 128
PUBLIC, CALLS = slice(0, 7), slice(-7, None)
TUNING_PARTS: Final = 2
"""Of ten: the first measures, the second chooses thresholds."""
TRAINING_ONLY: Final = [ord(author) - ord("a") for author in "dltuvwxyz"]
"""Authors whose dialogues resemble each other."""
FINE: Final = """
    admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust
    embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse
    sadness surprise neutral
    """.split()  # noqa: SIM905 - a list of words reads best as words.
JOYS: Final = """
    joy amusement approval excitement gratitude love optimism relief pride admiration desire caring
    """.split()  # noqa: SIM905 - a list of words reads best as words.
SURPRISES: Final = ("surprise", "realization", "confusion", "curiosity")


class World:
    """All rows, forms and weights, read once a process."""

    def __init__(self, folder: Path, output: Path, began: float) -> None:
        self.output, self.began = output, began
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with np.load(folder / "conventions.npz") as file:
            self.rows = {
                name: file[name]
                for name in [
                    "set",
                    "gold",
                    "annotated",
                    "fine",
                    "part",
                    "fold",
                    "author",
                    "twin",
                    "row",
                    "form",
                    "length",
                    "packed_ids",
                ]
            }
        self.starts: dict[str, dict[str, torch.Tensor]] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as file:
                starts = {name.split(":")[0] for name in file.files if ":" in name}
                self.starts |= {start: unpacked(file, start) for start in starts}
        flat = np.frombuffer(lzma.decompress(self.rows.pop("packed_ids").tobytes()), np.uint16)
        taught = (self.rows["set"] == 0) & np.isin(self.rows["author"], TRAINING_ONLY)
        self.rows["part"] = np.where(taught, max(TUNING_PARTS, self.rows["part"].max()), self.rows["part"])
        self.lengths = self.rows["length"].astype(np.int64)
        padded = np.full((len(self.lengths), WIDTHS[-1]), PAD, np.int32)
        padded[np.arange(WIDTHS[-1]) < self.lengths[:, None]] = flat
        self.ids = torch.from_numpy(padded).to(self.device)
        self.set = self.rows["set"]
        self.entries = self.rows["row"]
        development = [SETS.index(name) for name in ("ru_go_dev", "brighter_dev", "cedr_dev")]
        self.measured = np.isin(self.set, development) | (self.of("calls") & (self.rows["part"] < TUNING_PARTS))

    def of(self, name: str) -> np.ndarray:
        """Return which rows a set has, as a mask."""
        return self.set == SETS.index(name)

    def kept(self, name: str) -> np.ndarray:
        """Return the probabilities that an earlier job gave each row (n x columns; NaN where it said nothing)."""
        return np.load(self.output / f"{name}.npy").astype(np.float32)

    def weights(self, names: str | list[str], shares: list[float] | None) -> dict[str, torch.Tensor]:
        """Return the weights of a start or of an earlier job, or the mean of several."""
        if isinstance(names, list):
            return mixed([self.weights(name, None) for name in names], shares)
        if names in self.starts:
            return self.starts[names]
        return torch.load(self.output / "weights" / f"{names}.pt")

    def mean(self, names: list[str], columns: slice) -> np.ndarray:
        """Return the mean of what several said in these columns, of those that said anything."""
        told = np.stack([self.kept(name)[:, columns] for name in names])
        there = ~np.isnan(told)
        return np.where(there, told, 0).sum(0) / np.maximum(there.sum(0), 1)


def regrouped(world: World, scores: np.ndarray) -> np.ndarray:
    """Return what the public convention's scores are for calls: curiosity, approval, thanks by formula are neutral."""
    fine, changed = world.rows["fine"].astype(bool), scores.copy()
    short = np.zeros(len(fine), bool)
    np.logical_or.at(short, world.entries, (world.rows["form"] == 0) & (world.lengths <= 10))
    gone = {JOY: ["approval"], SURPRISE: ["curiosity"]}
    for column, group in ((JOY, JOYS), (SURPRISE, SURPRISES)):
        left = fine[:, [FINE.index(name) for name in group if name not in gone[column]]]
        if column == JOY:
            left[:, [name for name in group if name not in gone[column]].index("gratitude")] &= ~short
        had = fine[:, [FINE.index(name) for name in group]].any(1)
        taken = np.where(had & ~left.any(1), scores[:, column], 0)
        changed[:, column] -= taken
        changed[:, NEUTRAL] = 1 - (1 - changed[:, NEUTRAL]) * (1 - taken)
    return changed


def public_targets(world: World, job: dict[str, Any]) -> np.ndarray:
    """Return the targets of the public convention, n x 7."""
    targets = world.mean(job["public_from"], PUBLIC)
    if job["public"] == "labels":
        return world.rows["gold"].astype(np.float32)
    if job["public"] != "released":
        english = world.mean(job["public_teachers"], PUBLIC)
        twin, own = world.rows["twin"], world.of("go_en")
        heard = np.where((twin >= 0)[:, None], english[np.maximum(twin, 0)], english)
        known = ((twin >= 0) & world.of("ru_go")) | own
        share = 1.0 if job["public"] == "teachers" else 0.5
        targets = np.where(known[:, None], share * heard + (1 - share) * targets, targets)
    native = world.of("brighter") | world.of("cedr")
    mixed = job["native_gold"] * world.rows["gold"] + (1 - job["native_gold"]) * targets
    return np.where(native[:, None] & (world.rows["annotated"] > 0), mixed, targets).astype(np.float32)


def targets_of(world: World, job: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and weights, each n x columns, of a job."""
    calls, gold = world.of("calls"), world.rows["gold"].astype(np.float32)
    public = public_targets(world, job)
    if job["calls_hard"] < 1:
        heard = world.mean(job["calls_teachers"], CALLS)
        own = np.where(calls[:, None], job["calls_hard"] * gold + (1 - job["calls_hard"]) * heard, heard)
    else:
        own = gold
    on_public = np.full(len(calls), float(job["calls_on_public"] in {"regroup", "teachers"}))
    if job["calls_on_public"] == "lines":
        on_public[world.of("lines")] = 1.0
    if job["calls_on_public"] == "regroup":
        own = np.where(calls[:, None], own, regrouped(world, public))
    elif job["calls_on_public"] in {"teachers", "lines"}:
        own = np.where(calls[:, None], own, world.mean(job["calls_teachers"], CALLS))
    ones = np.ones((1, 7), np.float32)
    if job["heads"] == 1:
        return np.where(calls[:, None], own, public).astype(np.float32), np.repeat(ones, len(own), 0)
    weights = np.concatenate(
        [
            np.where(calls, job["public_on_calls"], job["public_weight"])[:, None] * ones,
            np.where(calls, 1.0, on_public)[:, None] * ones,
        ],
        axis=1,
    )
    return np.concatenate([public, own], 1).astype(np.float32), weights.astype(np.float32)


def learnt_rows(world: World, job: dict[str, Any], name: str) -> np.ndarray:
    """Return the rows of a set that a job may learn from."""
    rows = world.of(name)
    left = job["left_out"] or {}
    if name == "calls":
        rows &= world.rows["part"] != 0
        if not job.get("all_parts"):
            rows &= world.rows["part"] != 1
        if "author" in left:
            rows &= world.rows["author"] != left["author"]
    if name == left.get("set") or (name, left.get("set")) == ("ru_go", "go_en"):
        rows &= world.rows["fold"] != left["fold"]
    return np.flatnonzero(rows)


def drawn_forms(world: World, starts: np.ndarray, ends: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return which form of each row is seen; the forms of a row lie from its start to its end."""
    forms, drawn, found = world.rows["form"], random.random(len(starts)), np.zeros(len(starts), np.int64)
    kinds = forms[starts].astype(np.int64) * 100 + (ends - starts)
    for kind in np.unique(kinds):
        alike = np.flatnonzero(kinds == kind)
        own = forms[starts[alike[0]] : ends[alike[0]]]
        shares = np.array([FORM_SHARES[form] / (own == form).sum() for form in own])
        found[alike] = np.searchsorted(np.cumsum(shares / shares.sum())[:-1], drawn[alike])
    return found


def entries_of(world: World, job: dict[str, Any], seed: int, epochs: int) -> list[np.ndarray]:
    """Return the entries (forms of rows) of each epoch, in random order."""
    random = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(epochs)]
    ends = np.searchsorted(world.entries, np.arange(len(world.set) + 1))
    for name, passes in job["passes"].items():
        rows = learnt_rows(world, job, name)
        whole = [random.permutation(rows) for _ in range(int(passes))]
        seen = np.concatenate([*whole, random.permutation(rows)[: int(len(rows) * (passes % 1))]])
        entry = ends[seen] + drawn_forms(world, ends[seen], ends[seen + 1], random)
        for part, some in zip(parts, np.array_split(entry, epochs), strict=True):
            part.append(some)
    return [random.permutation(np.concatenate(part)) for part in parts]


def batches(world: World, job: dict[str, Any]) -> list[tuple[int, np.ndarray]]:
    """Return width and entries (networks x rows) of each step; the networks of a step see texts of like lengths."""
    random = np.random.default_rng(job["seed"])
    epochs = max(1, *(int(np.ceil(passes)) for passes in job["passes"].values()))
    orders = [entries_of(world, job, job["seed"] + 1000 * at, epochs) for at in range(job["networks"])]
    steps = []
    for epoch in range(epochs):
        order = np.stack([entries[epoch] for entries in orders])
        for start in range(0, order.shape[1], BATCH * 50):
            chunk = order[:, start : start + BATCH * 50]
            chunk = np.take_along_axis(chunk, np.argsort(world.lengths[chunk], axis=1, kind="stable"), axis=1)
            cuts = [chunk[:, at : at + BATCH] for at in range(0, chunk.shape[1] - BATCH + 1, BATCH)]
            steps += [cuts[at] for at in random.permutation(len(cuts))]
    return [(next(w for w in WIDTHS if w >= world.lengths[step].max()), step) for step in steps]
