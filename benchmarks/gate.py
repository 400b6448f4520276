"""How far the gate can be believed: false promotions and power, by simulation, from the package's own gate.

    OMP_NUM_THREADS=1 python benchmarks/gate.py --model models/ru-emotions-small --data FOLDER --keep FOLDER

Without `--data` the real models are left out. The folder of the data holds ru_go_emotions as published; scores are
computed once and kept. A share of t tests has the standard error sqrt(share (1 - share) / t).
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from gate_models import Population, Scores, real, simulated, take, weighted_f1

from training.data.sampling import draw_by_chance
from training.evaluate.error_budget import BUDGET, Look, error_of_look, rows_needed
from training.evaluate.paired_bootstrap import Rows
from training.retrain.gate import Verdict, judge

ERROR = 0.025
"""Of each test in the tables of single tests."""

GAIN = 0.02
"""True gain of the better model."""

SIZES = (60, 200, 400, 1_000, 2_000)
START = datetime(2026, 1, 5, 3, tzinfo=UTC)

Draw = Callable[[Population, int, np.random.Generator], tuple[np.ndarray, np.ndarray | None]]
"""Draws rows to be labelled, and says what each counts for."""


def at_random(rows: Population, size: int, random: np.random.Generator) -> tuple[np.ndarray, None]:
    """Draw texts, each as likely as any other."""
    return random.choice(len(rows.call), size, replace=False), None


def whole_calls(rows: Population, size: int, random: np.random.Generator) -> tuple[np.ndarray, None]:
    """Draw whole calls."""
    calls = random.choice(rows.call[-1] + 1, size // 20, replace=False)
    return np.flatnonzero(np.isin(rows.call, calls)), None


def pool(rows: Population, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return texts to choose from, and how unsure the champion is of each."""
    at = random.choice(len(rows.call), 10_000, replace=False)
    scores = rows.champion.scores[at]
    return at, (scores * (1 - scores)).sum(1)


def most_unsure(rows: Population, size: int, random: np.random.Generator) -> tuple[np.ndarray, None]:
    """Take those of 10,000 texts that the champion is most unsure of."""
    at, unsure = pool(rows, random)
    return at[np.argsort(-unsure)[:size]], None


def unsure_by_chance(rows: Population, size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw as `labels export --strategy uncertain` does, with a random share; a text counts for one over its chance."""
    at, unsure = pool(rows, random)
    drawn, chance = draw_by_chance(unsure, random.random(len(at)), size)
    return at[drawn], 1 / chance[drawn]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for line in lines:
        print(f"| {' | '.join(line)} |", flush=True)


def verdicts(  # noqa: PLR0913 - what is drawn, and how often.
    rows: Population, candidate: Scores, draw: Draw, size: int, tests: int, *, calls: bool = True
) -> list[Verdict]:
    """Judge a candidate on many draws."""
    random = np.random.default_rng(size)
    found = []
    for _ in range(tests):
        at, weights = draw(rows, size, random)
        found.append(judge(rows.rows(candidate, at, calls=calls, weights=weights), error=ERROR))
    return found


def gained(found: Sequence[Verdict]) -> str:
    """Return how often the gain counted as sure."""
    return f"{np.mean([verdict.checks[0].passed for verdict in found]):.1%}"


def promoted(found: Sequence[Verdict]) -> str:
    """Return how often all checks were passed."""
    return f"{np.mean([verdict.promoted for verdict in found]):.0%}"


DRAWS: tuple[tuple[str, Draw, bool], ...] = (
    ("at random", at_random, False),
    ("the most uncertain of 10,000, without weights", most_unsure, False),
    ("uncertain ones by chance, weighted", unsure_by_chance, False),
    ("whole calls, resampled by call", whole_calls, True),
    ("whole calls, resampled by row", whole_calls, False),
)


def single_tests(rows: Population, tests: int) -> None:
    """Print false promotions and power of one test, by how its labels were drawn."""
    sizes = (200, 1_000)
    table(
        (
            "labels drawn",
            *(f"equal models promoted, {size:,} labels" for size in sizes),
            *(f"+2 points, {size:,}" for size in sizes),
        ),
        (
            (
                name,
                *(gained(verdicts(rows, rows.equal, draw, size, tests, calls=calls)) for size in sizes),
                *(promoted(verdicts(rows, rows.better, draw, size, tests // 4, calls=calls)) for size in sizes),
            )
            for name, draw, calls in DRAWS
        ),
    )


def by_labels(rows: Population, tests: int) -> None:
    """Print the power of one test by the number of labels that judge."""

    def lines() -> Iterable[Sequence[str]]:
        for size in SIZES:
            chance, unsure = (
                verdicts(rows, rows.better, draw, size, tests, calls=False) for draw in (at_random, unsure_by_chance)
            )
            shows = np.mean([verdict.shows for verdict in chance])
            yield f"{size:,}", f"{shows:+.1%}", promoted(chance), promoted(unsure)

    table(
        ("labels that judge", "smallest gain shown in 4 of 5 cases", "+2 points promoted", "drawn as uncertain ones"),
        lines(),
    )


def year(  # noqa: PLR0913 - what is drawn, and for how long.
    rows: Population,
    candidates: Callable[[np.random.Generator], Scores],
    draw: Draw,
    weekly: int,
    random: np.random.Generator,
    *,
    share: float = 1.0,
    weeks: int = 52,
) -> list[tuple[int, bool]]:
    """Run a retraining a week, as labels come in, until something is promoted; return each look's labels and end.

    Args:
        rows: to draw labels from.
        candidates: makes one for each run.
        draw: the labels of all weeks; they come in an order that is drawn, too.
        weekly: labels a week.
        random: draws all of it.
        share: of the labels that judge.
        weeks: how long.
    """
    at, weights = draw(rows, weekly * weeks, random)
    order = random.permutation(len(at))
    looks: list[Look] = []
    found = []
    new = 0
    for week in range(1, weeks + 1):
        new += weekly
        size = int(weekly * week * share)
        if new < 300 or size < rows_needed(looks, "champion"):
            continue
        new, now, these = 0, START + timedelta(weeks=week), order[:size]
        error = error_of_look(BUDGET, looks, now, size)
        # Rows that are drawn one by one are nearly all of calls of their own.
        judged = rows.rows(
            candidates(random),
            at[these],
            calls=draw is whole_calls,
            weights=None if weights is None else weights[these],
        )
        passed = judge(judged, error=error).promoted
        looks.append(Look(week, now, error, size, "champion"))
        found.append((weekly * week, passed))
        if passed:
            break
    return found


def years(rows: Population, count: int) -> None:
    """Print what comes of many looks: with equal candidates in a year, with better ones by 1,000 labels."""
    random = np.random.default_rng(1)

    def equals(random: np.random.Generator) -> Scores:
        """As good as the champion, and each different: rows of two equal models change places by chance."""
        swapped = random.random(len(rows.call)) < random.uniform(0.2, 1)
        mixed = np.where(swapped[:, None], rows.equal.scores, rows.champion.scores)
        limits = np.where(swapped[:, None], rows.equal.rule.thresholds, rows.champion.rule.thresholds)
        return Scores(mixed, rows.equal.rule._replace(thresholds=limits))

    def lines() -> Iterable[Sequence[str]]:
        for name, draw, share in (
            ("at random, a fifth judges", at_random, 0.2),
            ("at random, every label judges", at_random, 1.0),
            ("uncertain ones by chance, every label judges", unsure_by_chance, 1.0),
            ("whole calls, every label judges", whole_calls, 1.0),
        ):
            null = [year(rows, equals, draw, 50, random, share=share, weeks=40) for _ in range(count)]
            true = [year(rows, lambda _: rows.better, draw, 50, random, share=share, weeks=20) for _ in range(count)]
            looks = np.mean([len(each) for each in null])
            false, power = (np.mean([any(passed for _, passed in each) for each in found]) for found in (null, true))
            yield name, f"{looks:.1f}", f"{false:.1%}", f"{power:.0%}"

    table(
        (
            "labels drawn, 2,000 in a year",
            "looks",
            "years with a false promotion",
            "+2 points promoted within 1,000 labels",
        ),
        lines(),
    )


def on_real(model: Path, data: Path, keep: Path, tests: int) -> None:
    """Print what the gate says of the released model and its weakened copies."""
    scored, targets = real(model, data, keep)
    released = scored["released"]

    def swapped(random: np.random.Generator, pair: tuple[Scores, Scores]) -> tuple[Scores, Scores]:
        """Let two models change places row by row: equals, that differ as these two do."""
        coin = random.random((len(targets), 1)) < 0.5
        return tuple(
            Scores(
                np.where(coin, one.scores, other.scores),
                one.rule._replace(thresholds=np.where(coin, one.rule.thresholds, other.rule.thresholds)),
            )
            for one, other in (pair, pair[::-1])
        )

    def lines() -> Iterable[Sequence[str]]:
        for name, weak in scored.items():
            if weak is released:
                continue
            random = np.random.default_rng(0)
            true = weighted_f1(released, targets) - weighted_f1(weak, targets)
            cells = []
            for size in (200, 1_000):
                null, power = [], []
                for _ in range(tests):
                    at = random.choice(len(targets), size)
                    pair = [take(each, at) for each in swapped(random, (weak, released))]
                    null.append(judge(Rows(*pair, targets[at]), error=ERROR))
                    power.append(judge(Rows(take(weak, at), take(released, at), targets[at]), error=ERROR))
                cells += [gained(null), promoted(power)]
            yield name, f"{true:+.1%}", *cells

    head = [
        f"{what}, {size:,} labels" for size in (200, 1_000) for what in ("equal models promoted", "released promoted")
    ]
    table(("champion: a weakened copy", "true gain of the released model", *head), lines())


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("models/ru-emotions-small"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--keep", type=Path, default=Path("runs/gate-scores"))
    parser.add_argument("--tests", type=int, default=400, help="of each cell")
    parser.add_argument("--part", choices=("tests", "labels", "years", "real"), help="one of the tables alone")
    given = parser.parse_args()
    rows = simulated(GAIN)
    base, equal, better = (weighted_f1(model, rows.targets) for model in rows[:3])
    differ = (rows.champion.rule.assign(rows.champion.scores) != rows.equal.rule.assign(rows.equal.scores)).mean()
    print(f"simulated: weighted F1 {base:.3f}, equal {equal:.3f}, better {better:.3f}; {differ:.1%} of answers differ")
    if given.part in {None, "tests"}:
        single_tests(rows, given.tests)
    if given.part in {None, "labels"}:
        by_labels(rows, given.tests // 2)
    if given.part in {None, "years"}:
        years(rows, given.tests // 2)
    if given.data and given.part in {None, "real"}:
        on_real(given.model, given.data, given.keep, given.tests // 2)


if __name__ == "__main__":
    main()
