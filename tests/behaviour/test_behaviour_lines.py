"""The lines that measure behaviour are sound themselves: enough of them, in ASR form, and in no corpus that teaches."""

import string
from collections import Counter, defaultdict

import pytest

from schemas.emotions import EMOTIONS
from training.data.calls_corpus import load_calls
from training.data.text_forms import as_spoken
from training.evaluate.behaviour import Line, read_lines

PHENOMENA = {
    "greeting", "agreement", "thanks", "question", "negation", "intensifier", "sarcasm", "understatement",
    "short reply", "name", "swear word as praise", "threat", "plea", "number", "recognition error",
}  # fmt: skip
LINES = [(phenomenon, line) for phenomenon, lines in read_lines().items() for line in lines]

TOO_NEAR = 0.7
"""Jaccard index of two texts' runs of five characters."""


def runs(text: str) -> frozenset[str]:
    heard = " ".join(as_spoken(text).split())
    return frozenset(heard[at : at + 5] for at in range(max(1, len(heard) - 4)))


def test_each_phenomenon_has_twenty_lines_and_no_line_stands_twice() -> None:
    counted = Counter(phenomenon for phenomenon, _ in LINES)
    assert counted.keys() >= PHENOMENA
    assert min(counted.values()) >= 20
    assert len({as_spoken(line.text) for _, line in LINES}) == len(LINES)


@pytest.mark.parametrize("phenomenon", sorted(set(read_lines())))
def test_lines_are_in_asr_form_and_what_they_ask_for_can_be(phenomenon: str) -> None:
    for line in read_lines()[phenomenon]:
        assert line.text == " ".join(line.text.lower().split())
        assert not set(line.text) & set(string.punctuation)
        asked = [emotion for choice in line.must for emotion in choice.split("|")]
        assert asked
        assert {*asked, *line.must_not} <= set(EMOTIONS)
        assert not set(asked) & set(line.must_not)
        assert "neutral" not in asked or line == Line(line.text, ("neutral",))


def test_no_line_is_in_the_corpus_of_calls_or_nearly_so() -> None:
    own = [runs(line.text) for _, line in LINES]
    by_run: dict[str, list[int]] = defaultdict(list)
    for at, each in enumerate(own):
        for run in each:
            by_run[run].append(at)
    near = []
    for text in (text for split in ("train", "validation", "test") for text in load_calls(split).texts):
        there = runs(text)
        shared = Counter(at for run in there for at in by_run.get(run, ()))
        near += [
            (LINES[at][1].text, text)
            for at, count in shared.items()
            if count > TOO_NEAR * (len(own[at]) + len(there) - count)
        ]
    assert not near
