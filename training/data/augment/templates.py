"""Rows for rare emotions from templates: sentences with slots, each filled with one of its phrases.

The phrases are in `phrases/EMOTION.toml`, in the grammatical form that their slot needs, so that every sentence is
correct. "{slot}" stands for a phrase; "[он|она]" for what a man and a woman say of themselves, one of them for the
whole sentence.
"""

import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np

from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.errors import UnusableData

SOURCE: Final = "synthetic"
"""The name of the set that synthesized rows form."""

_PHRASES: Final = Path(__file__).with_name("phrases")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_GENDERS: Final = re.compile(r"\[(.*?)\|(.*?)\]")


@dataclass(frozen=True)
class Template:
    """A sentence with slots.

    Attributes:
        text: with "{slot}" and "[он|она]".
        fillers: the phrases of each slot, in the order of the slots.
        also: further emotions that it carries.
        undecided: emotions that a listener may hear in it or not.
    """

    text: str
    fillers: tuple[tuple[str, ...], ...]
    also: frozenset[str]
    undecided: frozenset[str]

    @property
    def capacity(self) -> int:
        """How many sentences it makes."""
        return math.prod(map(len, self.fillers))

    def sentence(self, number: int, gender: int) -> str:
        """Return one of its sentences.

        Args:
            number: of the sentence, below `capacity`.
            gender: 1 for a man's words, 2 for a woman's.
        """
        chosen = iter(np.unravel_index(number, [len(phrases) for phrases in self.fillers]))
        phrases = iter([phrases[next(chosen)] for phrases in self.fillers])
        text = _GENDERS.sub(lambda words: words[gender], _SLOT.sub(lambda _: next(phrases), self.text))
        return text[0].upper() + text[1:]

    def order(self, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """Shuffle the numbers of its sentences: some that differ from each other in two phrases at least; the rest."""
        sizes = [len(phrases) for phrases in self.fillers]
        numbers = random.permutation(self.capacity)
        taken: set[tuple[int, ...]] = set()
        apart: list[int] = []
        rest: list[int] = []
        for number, chosen in zip(
            numbers.tolist(), np.stack(np.unravel_index(numbers, sizes), 1).tolist(), strict=True
        ):
            # All but one phrase of the sentence, and which one is left out.
            shared = {(slot, *chosen[:slot], *chosen[slot + 1 :]) for slot in range(len(sizes))}
            if shared & taken:
                rest.append(number)
            else:
                taken |= shared
                apart.append(number)
        return apart, rest


@cache
def templates(emotion: str) -> tuple[Template, ...]:
    """Read the templates of an emotion.

    Raises:
        UnusableData: there is no such emotion.
    """
    if emotion not in EMOTIONS:
        raise UnusableData(f"there are no templates for {emotion}; name one of {', '.join(EMOTIONS)}")
    own, common = _read(emotion), _read("common")
    slots = common["slots"] | own["slots"]
    undecided = frozenset(own.get("undecided", ()))
    groups = [(frozenset[str](), own["templates"])]
    groups += [(frozenset([other]), texts) for other, texts in own.get("with", {}).items()]
    return tuple(
        Template(text, tuple(tuple(slots[slot]) for slot in _SLOT.findall(text)), also, undecided - also)
        for also, texts in groups
        for text in texts
    )


def synthesize(emotion: str, count: int, seed: int) -> Examples:
    """Make rows that carry an emotion: distinct texts, as unlike each other as the templates allow.

    Args:
        emotion: one of `EMOTIONS`.
        count: of the rows; with more of them, the first ones stay the same.
        seed: random seed for the choice.

    Returns:
        A set named `SOURCE`, its ids "synthetic-fear-0" and so on. Of the emotions, those count as not annotated that
        a listener may hear in the template or not.

    Raises:
        UnusableData: there is no such emotion, or the templates make fewer rows.
    """
    ours = templates(emotion)
    most = sum(template.capacity for template in ours)
    if count > most:
        raise UnusableData(f"the templates of {emotion} make {most} rows, not {count}; ask for no more than {most}")
    drawn = list(islice(_in_turn(ours, np.random.default_rng(seed)), count))
    carried = [[name in {emotion, *template.also} for name in EMOTIONS] for template, _ in drawn]
    decided = [[name not in template.undecided for name in EMOTIONS] for template, _ in drawn]
    return Examples(
        source=SOURCE,
        language="ru",
        ids=[f"{SOURCE}-{emotion}-{at}" for at in range(count)],
        texts=[text for _, text in drawn],
        targets=np.array(carried, np.float32).reshape(count, len(EMOTIONS)),
        annotated=np.array(decided, np.bool_).reshape(count, len(EMOTIONS)),
    )


def _in_turn(ours: tuple[Template, ...], random: np.random.Generator) -> Iterator[tuple[Template, str]]:
    """Yield all sentences, a template after the other, those first that are least alike."""
    shuffled = [ours[at] for at in random.permutation(len(ours))]
    orders = [template.order(random) for template in shuffled]
    for numbers in zip(*orders, strict=True):
        for turn in zip_longest(*numbers):
            for template, number in zip(shuffled, turn, strict=True):
                if number is not None:
                    yield template, template.sentence(number, int(random.integers(1, 3)))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_PHRASES / f"{name}.toml").read_text(encoding="utf-8"))
