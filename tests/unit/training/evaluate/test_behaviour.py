"""Lines that show one phenomenon each: when one holds, and what is told of a model."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from manifests import manifest

from schemas.bundle import Calibration, Tuning
from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.data.leakage import find_leaks
from training.evaluate.behaviour import Line, behave, follows_calls, guarded_lines, read_lines, show
from training.evaluate.predictor import Served
from training.evaluate.report import evaluate


@pytest.mark.parametrize(
    ("must", "must_not", "assigned", "holds"),
    [
        (("neutral",), (), {"neutral"}, True),
        (("neutral",), (), {"neutral", "joy"}, False),
        (("neutral",), (), set(), False),
        (("anger",), ("joy",), {"anger"}, True),
        (("anger",), ("joy",), {"anger", "disgust"}, True),
        (("anger",), ("joy",), {"anger", "joy"}, False),
        (("anger",), (), {"anger", "neutral"}, False),
        (("joy|surprise",), (), {"surprise"}, True),
        (("joy|surprise",), (), {"fear"}, False),
        (("joy", "surprise"), (), {"joy"}, False),
        (("joy", "surprise"), (), {"joy", "surprise"}, True),
    ],
)
def test_a_line_holds_where_all_that_must_be_is_there_and_nothing_that_must_not(
    must: tuple[str, ...], must_not: tuple[str, ...], assigned: set[str], *, holds: bool
) -> None:
    assert Line("что", must, must_not).holds(frozenset(assigned)) is holds


def always(emotion: str, **changes: object) -> Served:
    """Return a model that assigns one emotion to everything."""
    row = np.where(np.array(EMOTIONS) == emotion, 5, -5).astype(np.float32)

    served = manifest(**changes)

    def outputs(texts: Sequence[str]) -> np.ndarray:
        return np.tile(row, (len(texts), len(served.tunings)))

    return Served(served, outputs)


def test_the_share_counts_the_lines_that_hold_by_phenomenon_and_in_all() -> None:
    found = behave(always("neutral"))
    lines = {phenomenon: [line.must == ("neutral",) for line in lines] for phenomenon, lines in read_lines().items()}
    for phenomenon, (share, count) in found.phenomena.items():
        assert count == len(lines[phenomenon])
        assert share == pytest.approx(np.mean(lines[phenomenon]))
    every = [each for neutral in lines.values() for each in neutral]
    assert found.share == pytest.approx(np.mean(every))
    assert len(found.failing) == len(every) - sum(every)
    assert not found.suffices


def test_another_convention_of_the_bundle_decides_by_its_own_thresholds() -> None:
    strict = Tuning(
        thresholds=dict.fromkeys(EMOTIONS, 0.999),
        calibration=dict.fromkeys(EMOTIONS, Calibration()),
        neutral="exclusive",
    )
    served = always("joy", others={"calls": strict})
    assert not follows_calls(served)
    calls = replace(served, convention="calls")
    assert follows_calls(calls)
    # 0.993 is below: no emotion is there, so neutral is.
    assert {tuple(emotions) for _, _, emotions in behave(calls).failing} == {("neutral",)}
    assert behave(calls).convention == "calls"


def rows() -> Examples:
    targets = np.eye(len(EMOTIONS), dtype=np.float32)
    texts = [f"строка {at}" for at in range(len(EMOTIONS))]
    return Examples("ru_calls", "ru", texts, texts, targets, targets >= 0)


def test_the_report_tells_the_shares_and_the_lines_that_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = always("joy", convention="calls")
    found = behave(served)
    evaluate(served, [rows()], tmp_path, behaviour=found)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{100 * found.share:.1f} % of its lines hold" in page
    assert all(line.text in page for _, line, _ in found.failing)
    told = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["behaviour"]
    assert told["share"] == found.share
    assert told["phenomena"].keys() == read_lines().keys()
    show(found)
    printed = capsys.readouterr().out
    assert f"behaviour: {found.share:.1%}" in printed
    assert all(line.text in printed for _, line, _ in found.failing)


def test_a_report_without_them_is_silent_on_behaviour(tmp_path: Path) -> None:
    evaluate(always("joy"), [rows()], tmp_path)
    assert "Phenomenon by phenomenon" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "behaviour" not in json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))


def test_a_row_to_be_learnt_that_is_near_one_of_them_is_found() -> None:
    line = read_lines()["sarcasm"][0]
    teaching = replace(rows(), texts=[f"{line.text}!", *rows().texts[1:]])
    [leak] = find_leaks(teaching, [guarded_lines()])
    assert leak.evaluation_text == line.text
