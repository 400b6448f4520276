"""Files that the report reads: which are taken for what `classify` wrote, and which are refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.emotions import EMOTIONS
from worker.errors import ConfigurationError
from worker.report.build import Wish, build_report
from worker.report.file import open_file
from worker.report.model import Period, Report
from worker.report.page import page
from worker.report.run import Order, write_report
from worker.settings import Settings

FROM_1970 = Period(datetime(1970, 1, 1, tzinfo=UTC), datetime(9_999, 12, 31, tzinfo=UTC))
NO_MODEL = {"model": "/no/such/bundle"}


def answer(number: int, **known: Any) -> dict[str, Any]:
    facts = {"id": f"a-{number}", "session_id": "c", "text": "да", "emotions": ["anger"]}
    scores = {"scores": dict.fromkeys(EMOTIONS, 0.9), "model_version": "m", "convention": "calls"}
    return facts | scores | known


@contextmanager
def reading(file: Path, *lines: dict[str, Any], period: Period | None = None) -> Iterator[Report]:
    file.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    # Without a model, what is not taken for answers is refused.
    with open_file(str(file), Settings.load(**NO_MODEL)) as rows:
        yield build_report(rows, Wish(period or Period(), 200, with_texts=True))


def test_answers_with_attributes_are_not_classified_again(tmp_path: Path) -> None:
    with reading(tmp_path / "a.jsonl", answer(1, attributes={"agent": "anna"})) as report:
        assert [group.name for group in report.agents] == ["anna"]


def test_a_name_with_signs_of_a_pattern_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "calls1.jsonl").write_bytes(msgspec.json.encode(answer(1, session_id="another")))
    for name in ("calls[1].jsonl", "calls?.jsonl", "calls*.jsonl"):
        with reading(tmp_path / name, answer(1), answer(2)) as report:
            assert report.texts == {"scored": 2}


@pytest.mark.parametrize(
    "strange",
    [
        {"text": "да", "session_id": "c"},
        answer(2, emotions=None),
        answer(2, emotions=["rage"]),
        answer(2, scores={"anger": 0.9}),
        answer(2, model_version=None),
        answer(2, spoken_at="12000-01-01T00:00:00Z"),
        answer(2, spoken_at="infinity"),
    ],
)
def test_a_line_among_answers_that_is_none_is_refused(tmp_path: Path, strange: dict[str, Any]) -> None:
    refused = pytest.raises(ConfigurationError, match="is not what `emotion-worker classify` writes")
    with refused, reading(tmp_path / "a.jsonl", answer(1), strange):
        pass


def test_a_period_that_nothing_can_precede_is_compared_with_what_there_may_be(tmp_path: Path) -> None:
    with reading(tmp_path / "a.jsonl", answer(1, spoken_at="2026-03-01T00:00:00Z"), period=FROM_1970) as report:
        assert "There are no calls of" in page(report)


def test_no_page_exceeds_five_megabytes(tmp_path: Path) -> None:
    words = " ".join(["очень&плохо"] * 64)
    lines = (answer(at, session_id=f"c-{at // 90}", segment=at, text=f"{at}: {words}") for at in range(9_000))
    with reading(tmp_path / "a.jsonl", *lines) as report:
        shown = page(report)

    assert 4_000_000 < len(shown.encode()) < 5_000_000
    assert "0: очень" in shown
    assert "89: очень" in shown
    assert all(len(call.turns) + call.left_out == 90 for call in report.worst)


def test_a_place_that_takes_no_page_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"{")

    for output, why in ((tmp_path, "a folder"), (tmp_path / "no/a.html", "not there"), (file, "is to be read")):
        with pytest.raises(ConfigurationError, match=why):
            write_report(Order(str(file)), Settings.load(), output)
    assert file.read_bytes() == b"{"


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot read"), open_file("x" * 5_000, Settings.load()):
        pass
