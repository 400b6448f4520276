"""How a model behaves on lines that show one phenomenon each: a greeting, a negation, sarcasm, a plea.

The lines are in `data/behaviour/calls.toml`, with what each must and must not be assigned. They follow the convention
of calls and measure any model, by the outputs that it is served by. Nothing is trained on them; see `guarded_lines`.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from schemas.emotions import EMOTIONS
from training.data.examples import CALLS, Examples
from training.data.text_forms import as_spoken
from training.evaluate.predictor import Served

FILE: Final = Path(__file__).parents[1] / "data" / "behaviour" / "calls.toml"

NEEDED: Final = 0.9
"""Share of all lines that must hold before a model for calls is released."""

NEEDED_EACH: Final = 0.75
"""The same for the lines of each phenomenon."""

_NEUTRAL: Final = frozenset({"neutral"})


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """What was said, the emotions that must be assigned ("joy|surprise" is a choice), and those that must not."""

    text: str
    must: tuple[str, ...]
    must_not: tuple[str, ...] = ()

    def holds(self, assigned: frozenset[str]) -> bool:
        """Whether a model that assigns these emotions is right; neutral must stand alone or not at all."""
        if self.must == ("neutral",):
            return assigned == _NEUTRAL
        found = all(assigned & set(choice.split("|")) for choice in self.must)
        return found and not assigned & {*self.must_not, "neutral"}


class Behaviour(Struct, frozen=True):
    """What a model does with the lines.

    Attributes:
        convention: of the outputs that decided.
        share: share of the lines that hold, 0 to 1.
        phenomena: the share of each, and how many lines it has.
        failing: the lines that do not hold: phenomenon, line, and the emotions assigned.
    """

    convention: str
    share: float
    phenomena: dict[str, tuple[float, int]]
    failing: list[tuple[str, Line, list[str]]]

    @property
    def suffices(self) -> bool:
        """Whether a model for calls may be released with it."""
        return self.share >= NEEDED and all(share >= NEEDED_EACH for share, _ in self.phenomena.values())


def read_lines() -> dict[str, list[Line]]:
    """Return the lines of each phenomenon."""
    return msgspec.convert(tomllib.loads(FILE.read_text(encoding="utf-8")), dict[str, list[Line]])


def guarded_lines() -> Examples:
    """Return the lines without labels, for the leak guard: no row that is near one of them is trained on."""
    texts = [line.text for lines in read_lines().values() for line in lines]
    nothing = np.zeros((len(texts), len(EMOTIONS)), np.float32)
    return Examples(
        source="behaviour",
        language="ru",
        ids=[f"behaviour/{at}" for at in range(len(texts))],
        texts=texts,
        targets=nothing,
        annotated=nothing > 0,
        conventions=(CALLS,),
    )


def behave(served: Served) -> Behaviour:
    """Ask a model for every line, in ASR form, by the convention that it is served by."""
    lines = [(phenomenon, line) for phenomenon, lines in read_lines().items() for line in lines]
    logits = served.logits([as_spoken(line.text) for _, line in lines])
    assigned = served.rule.assign(served.scores(logits))
    failing = []
    for (phenomenon, line), row in zip(lines, assigned, strict=True):
        emotions = [emotion for emotion, there in zip(EMOTIONS, row, strict=True) if there]
        if not line.holds(frozenset(emotions)):
            failing.append((phenomenon, line, emotions))
    there, failed = Counter(phenomenon for phenomenon, _ in lines), Counter(each for each, _, _ in failing)
    return Behaviour(
        convention=served.convention or served.manifest.convention,
        share=1 - len(failing) / len(lines),
        phenomena={each: (1 - failed[each] / count, count) for each, count in there.items()},
        failing=failing,
    )


def follows_calls(served: Served) -> bool:
    """Whether a model is served by the convention that the lines follow."""
    return (served.convention or served.manifest.convention) == CALLS


def summed_up(found: Behaviour) -> dict[str, Any]:
    """Return the shares, as metrics.json holds them."""
    shares = {phenomenon: share for phenomenon, (share, _) in found.phenomena.items()}
    return {"convention": found.convention, "share": found.share, "phenomena": shares}


def show(found: Behaviour) -> None:
    """Print the share of each phenomenon, and the lines that fail."""
    console = Console()
    table = Table("phenomenon", "lines", "share that holds", title=f"behaviour, convention {found.convention}")
    for phenomenon, (share, lines) in found.phenomena.items():
        table.add_row(phenomenon, str(lines), f"{share:.0%}{'' if share >= NEEDED_EACH else '  too few'}")
    console.print(table)
    for phenomenon, line, emotions in found.failing:
        said = f"{phenomenon}: {line.text}: {_said(line)}, got {', '.join(emotions) or 'nothing'}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    console.print(f"behaviour: {found.share:.1%} of {sum(n for _, n in found.phenomena.values())} lines hold")


def _said(line: Line) -> str:
    forbidden = f", must not be {_listed(line.must_not)}" if line.must_not else ""
    return f"must be {_listed(line.must)}{forbidden}"


def _listed(emotions: Sequence[str]) -> str:
    return " and ".join(each.replace("|", " or ") for each in emotions)
